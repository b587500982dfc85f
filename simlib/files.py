"""Every file that the library keeps is written here: whole or not at all.

Names for what was found damaged are here, too.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from simlib.errors import InputError

DAMAGED = ".damaged"  # at the end of a name: set aside, and read by nothing


class Disk:
    """The steps of which every write consists; tests put a disk that fails in the place of `disk`.

    Each raises OSError.
    """

    def folder(self, path: Path) -> None:
        """Make a folder, unless it is there."""
        path.mkdir(parents=True, exist_ok=True)

    def open(self, path: Path, mode: str) -> io.FileIO:
        """Open a file to be written, without a buffer; `mode` as in Python's `open`."""
        return path.open(mode, buffering=0)  # type: ignore[return-value]

    def write(self, file: io.FileIO, content: bytes) -> int:
        """Write some of `content`; returns how many bytes."""
        return file.write(content) or 0

    def truncate(self, file: io.FileIO, size: int) -> None:
        """Cut a file off after `size` bytes."""
        file.truncate(size)

    def fill(self, path: Path, fill: Callable[[Path], None]) -> None:
        """Let another library write a file of its own format."""
        fill(path)

    def sync(self, place: io.FileIO | Path) -> None:
        """Wait until a file, or the names in a folder, are on the disk."""
        if isinstance(place, io.FileIO):
            os.fsync(place.fileno())
            return
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, path: Path, new: Path) -> None:
        """Give a file another name, in place of what had it."""
        path.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)


disk = Disk()


def replace_file(path: str | Path, content: bytes, what: str, before: Path | None = None) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part.

    With `before` the old file is kept under that name. Raises InputError, naming the file and
    `what` it was to hold, if it cannot be written.
    """
    path = Path(path)
    try:
        put_bytes(path, content, before)
    except OSError as error:
        raise InputError(f"{path}: the {what} could not be written ({error})") from error


def put_bytes(path: Path, content: bytes, before: Path | None = None) -> None:
    """The same; raises OSError."""

    def fill(temporary: Path) -> None:
        with disk.open(temporary, "wb") as file:
            _write(file, content)

    put_whole(path, fill, before)


def put_whole(path: Path, fill: Callable[[Path], None], before: Path | None = None) -> None:
    """The same, where `fill` writes to the path that it is given. Raises OSError, or as `fill`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        disk.folder(path.parent)
        disk.fill(temporary, fill)
        disk.sync(temporary)
        _put_in_place(temporary, path, before)
    except BaseException:
        with suppress(OSError):
            disk.remove(temporary)
        raise


def _put_in_place(temporary: Path, path: Path, before: Path | None) -> None:
    """Give a file that is whole its name, and the file that had it the name `before`, if wanted.

    A kill between the two leaves the old file as `before` and none at `path`.
    """
    if before is not None:
        with suppress(FileNotFoundError):
            disk.rename(path, before)
    disk.rename(temporary, path)
    with suppress(OSError):  # not every system can; a row must not outlive what it promises
        disk.sync(path.parent)


def extend_file(file: io.FileIO, kept: int, content: bytes) -> None:
    """Put `content` on the disk after the first `kept` bytes of a file opened to append.

    If that fails, only those bytes are left. Raises OSError.
    """
    disk.truncate(file, kept)
    try:
        _write(file, content)
        disk.sync(file)
    except BaseException:
        with suppress(OSError):
            disk.truncate(file, kept)
        raise


def _write(file: io.FileIO, content: bytes) -> None:
    while content:
        content = content[disk.write(file, content) :]


def remove(path: Path) -> None:
    """Remove a file, if it is there. Raises OSError."""
    disk.remove(path)


def set_aside(path: Path) -> Path:
    """Rename what is damaged, in place of what was set aside there before; its new name."""
    aside = path.with_name(path.name + DAMAGED)
    with suppress(FileNotFoundError):  # another process did it
        disk.rename(path, aside)
    return aside
