"""A grid as one file for a machine that has only PyTorch, and its runs back again."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import simlib
from simlib.corpora import load_corpus
from simlib.corpora.base import cache_root, read_manifest, verified_manifest
from simlib.errors import InputError
from simlib.files import put_whole
from simlib.pruning import is_place
from simlib.sweep import carried
from simlib.sweep.allotted import FASTEST
from simlib.sweep.grid import Grid, read_grid
from simlib.train.settings import CARRIED_COMMIT, commit

EMBEDDED = ("python", "glyphs")
# what training needs besides PyTorch, and what that needs
PACKAGES = (
    "numpy",
    "pydantic",
    "pydantic-core",
    "annotated-types",
    "typing-extensions",
    "typing-inspection",
    "safetensors",
    "platformdirs",
    "tqdm",
    "pyyaml",
)


def pack(grid_file: str | Path, path: str | Path, only: Sequence[str] = ()) -> Grid:
    """Write a zip that `python` runs: this library, its packages, the corpora and the grid.

    Meant for machines of this system, processor and Python version. Returns the grid. Raises
    InputError for a grid with other corpora than the embedded ones or with a pruner of the user's
    own, and if the file cannot be written.
    """
    grid = read_grid(grid_file).only(only)
    if own := sorted({c.pruner for c in grid.configs if is_place(c.pruner)}):
        raise InputError(
            f"{grid.name} names pruner {own[0]!r}, and a carried job holds only this library: "
            "train it where the module can be imported"
        )
    folders = [_corpus_folder(name) for name in sorted({c.corpus for c in grid.configs})]
    about = carried.machine() | {"grid": grid.name, "only": list(only)}

    def fill(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=FASTEST) as out:
            out.writestr("job.json", json.dumps(about))
            out.writestr(f"simlib-source/{CARRIED_COMMIT}", commit())
            out.write(carried.__file__, "__main__.py")
            out.write(grid_file, f"grids/{grid.name}.yaml")
            for file, inside in _contents(folders):
                out.write(file, inside)

    try:
        put_whole(Path(path), fill)
    except OSError as error:
        raise InputError(f"{path}: the job could not be written ({error})") from error
    return grid


def _corpus_folder(name: str) -> Path:
    """The folder of an embedded corpus, built if it was not."""
    if name.split(":")[0] not in EMBEDDED:
        raise InputError(
            f"corpus {name!r} cannot be carried, only {' and '.join(EMBEDDED)} can: give the other "
            "machine its own copy and use `simlib sweep` there"
        )
    wanted = load_corpus(name).manifest["sha256"]  # without the options of images
    for folder in sorted(cache_root().glob("*/")):
        manifest = read_manifest(folder)
        if manifest and manifest.get("sha256") == wanted and verified_manifest(folder):
            return folder
    raise InputError(f"corpus {name!r} is not in the cache {cache_root()}")


def _contents(corpora: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Files and their names in the zip."""
    source = Path(simlib.__file__).parent
    for file in sorted(source.rglob("*")):
        if file.suffix in (".py", ".c"):
            yield file, f"simlib-source/simlib/{file.relative_to(source)}"
    for folder in corpora:
        manifest = read_manifest(folder) or {}
        for file in sorted(folder.iterdir()):
            yield file, f"cache/corpora/{folder.name}/{file.name}"
        for package in manifest.get("packages", ()):
            yield from _files(package, "versions", notes=True)
    with suppress(metadata.PackageNotFoundError):  # records name this library's version
        yield from _files("simlib", "versions", notes=True)
    for package in PACKAGES:
        yield from _files(package, "packages")


def _files(package: str, inside: str, notes: bool = False) -> Iterator[tuple[Path, str]]:
    """The files of an installed package, or the `notes` of the installer alone."""
    for file in metadata.distribution(package).files or ():
        if file.parts[0] == ".." or file.suffix == ".pyc" or "tests" in file.parts:
            continue
        if not notes or (file.parts[0].endswith(".dist-info") and len(file.parts) == 2):
            found = Path(str(file.locate()))
            if found.is_file():
                yield found, f"{inside}/{file}"
