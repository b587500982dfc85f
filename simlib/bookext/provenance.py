"""The line at the end of a page that says what its numbers were made with."""

import hashlib
import html
import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from simlib.errors import InputError

PACKAGES = ("numpy", "scipy", "torch")
_HASH_DIGITS = 12


def _installed(names: tuple[str, ...]) -> list[str]:
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def short_hash(source: Any) -> str:
    """First digits of the SHA-256 of a file's bytes, of an object's `sha256`, or of a hex digest.

    Raises:
        InputError: `source` is none of them, or the file does not exist.
    """
    digest = source if isinstance(source, str) else getattr(source, "sha256", None)
    if isinstance(digest, str) and len(digest) == 64:
        return digest[:_HASH_DIGITS]
    if isinstance(source, str | Path):
        if not Path(source).is_file():
            raise InputError(f"no file {source!s}: give a table's path or its SHA-256")
        return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:_HASH_DIGITS]
    raise InputError(f"no hash for a {type(source).__name__}: give a path or a SHA-256")


def _seconds_since_start() -> float:
    """Wall-clock seconds since this kernel's process began."""
    import psutil  # type: ignore[import-untyped]

    return time.time() - float(psutil.Process(os.getpid()).create_time())


class Provenance:
    """A line of text that a notebook shows as a paragraph."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, str]:
        line = f'<p class="provenance">{html.escape(self.text)}</p>'
        return {"text/html": line, "text/plain": self.text}


def provenance(
    seed: int | None = None, tables: Mapping[str, Any] | None = None, **settings: object
) -> Provenance:
    """Versions, seed, hash of each table and seconds taken so far; let it be a page's last value.

    `tables` maps a name to a path, a SHA-256 or an object with a `sha256`; `settings` are shown as
    they are (`grid="ci"`).

    Raises:
        InputError: a table whose hash cannot be had.
    """
    parts = [f"simlib {version('simlib')}", f"Python {platform.python_version()}"]
    parts += _installed(tuple(name for name in PACKAGES if name in sys.modules))
    parts += [f"seed {seed}"] if seed is not None else []
    parts += [f"{name} {value}" for name, value in settings.items()]
    parts += [f"{name} SHA-256 {short_hash(table)}" for name, table in (tables or {}).items()]
    parts.append(f"{_seconds_since_start():.0f} s")
    return Provenance("Made with " + " · ".join(parts) + ".")
