"""The embedded language corpus: Python source of wheels that requirements.txt installs.

Real text that is on every machine already. Left out is what differs between builds of one
version: generated version and configuration files, each package's top-level __init__.py (wheels
for Windows patch it), and numpy.distutils (absent from wheels for Python 3.12 and later). The
corpus is then the same to the byte on Linux, macOS and Windows and on Python 3.11 to 3.13.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

from simlib.corpora.base import Manifest, built, cache_root, recipe_key
from simlib.corpora.text import TextCorpus, open_text, write_files
from simlib.errors import InputError

# What the shipped hash was made with: the pins of requirements.txt.
VERSIONS = {
    "fonttools": "4.68.0",
    "matplotlib": "3.10.8",
    "mpmath": "1.3.0",
    "networkx": "3.6.1",
    "numpy": "2.4.6",
    "pandas": "3.1.1",
    "pygments": "2.21.0",
    "scipy": "1.17.1",
    "sqlalchemy": "2.1.9",
    "sympy": "1.14.0",
}
SHA256 = "b29308c7afe969af461615c244162ded9a215451d8677a73d267c23f866d424c"

_RECIPE = 1  # raise it when the rule that selects or orders files changes
_GENERATED = {"__config__.py", "_distributor_init.py", "_version.py", "version.py"}
_REMEDY = "`pip install -r requirements.txt` restores it"


def load_python(name: str = "python", cache: str | Path | None = None) -> TextCorpus:
    """The corpus 'python', built on first use (some 110 MB in the cache, a few seconds).

    Warns if the installed packages are not those of the recorded hash. Raises InputError if
    one of them is missing or the cache cannot be written.
    """
    versions = installed_versions()

    def build(folder: Path) -> Manifest:
        made = write_files(source_files(), folder, "corpus 'python'")
        return {"name": "python", "packages": versions, **made}

    key = f"python-{recipe_key({'recipe': _RECIPE, 'packages': versions})}"
    corpus = open_text(name, *built(cache_root(cache), key, build))
    _warn_if_different(versions, corpus.sha256)
    return corpus


def installed_versions() -> dict[str, str]:
    """Installed version of every package of the corpus. Raises InputError if one is missing."""
    return {package: _distribution(package).version for package in sorted(VERSIONS)}


def source_files() -> Iterator[Path]:
    """The source files that belong to the corpus, where they are installed."""
    for package in sorted(VERSIONS):
        for file in _distribution(package).files or ():
            if _belongs(file):
                yield Path(str(file.locate()))


def _belongs(file: PurePosixPath) -> bool:
    return (
        file.suffix == ".py"
        and file.parts[0] != ".."  # scripts, which installers write
        and file.name not in _GENERATED
        and not (len(file.parts) == 2 and file.name == "__init__.py")
        and file.parts[:2] != ("numpy", "distutils")
    )


def _distribution(package: str) -> metadata.Distribution:
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        found = None
    if found is None or not found.files:
        raise InputError(
            f"the corpus 'python' is made of the source of {package}, which is not installed: "
            f"run `pip install {package}=={VERSIONS[package]}`"
        )
    return found


def _warn_if_different(versions: dict[str, str], sha256: str) -> None:
    if sha256 == SHA256:
        return
    changed = [
        f"{name} {have} (recorded: {VERSIONS[name]})"
        for name, have in versions.items()
        if have != VERSIONS[name]
    ]
    cause = ", ".join(changed) or "files of the pinned versions that were changed after install"
    warnings.warn(
        f"the corpus 'python' differs from the recorded one because of {cause}: losses cannot be "
        f"compared exactly with recorded runs; {_REMEDY}",
        stacklevel=4,
    )
