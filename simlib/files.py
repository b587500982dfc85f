"""Files that are written whole or not at all, and names for what was found damaged."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path

from simlib.errors import InputError

DAMAGED = ".damaged"  # at the end of a name: set aside, and read by nothing


def replace_file(path: str | Path, content: bytes, what: str, before: Path | None = None) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part.

    With `before` the old file is kept under that name. Raises InputError, naming the file and
    `what` it was to hold, if it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, path, before)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"{path}: the {what} could not be written ({error})") from error


def put_in_place(temporary: Path, path: Path, before: Path | None = None) -> None:
    """Give a file that is whole its name, and the file that had it the name `before`, if wanted.

    A kill between the two leaves the old file as `before` and none at `path`.
    """
    if before is not None:
        with suppress(FileNotFoundError):
            path.replace(before)
    temporary.replace(path)


def extend_file(file: io.FileIO, kept: int, content: bytes) -> None:
    """Put `content` on the disk after the first `kept` bytes of a file opened to append.

    If that fails, only those bytes are left. Raises OSError.
    """
    file.truncate(kept)
    try:
        while content:
            content = content[file.write(content) :]
        os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            file.truncate(kept)
        raise


def set_aside(path: Path) -> Path:
    """Rename what is damaged, in place of what was set aside there before; its new name."""
    aside = path.with_name(path.name + DAMAGED)
    with suppress(FileNotFoundError):  # another process did it
        path.replace(aside)
    return aside
