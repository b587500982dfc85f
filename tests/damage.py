"""What disks and editors do to files."""

import os
from pathlib import Path


def flip(path: Path, place: int | None = None) -> None:
    """Change one bit of a file, in its middle or at `place`; its size and times stay."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    overwrite(path, bytes(content))


def zeros(path: Path, start: int, length: int) -> None:
    """Overwrite a part of a file with zeros; its size and times stay."""
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(len(content[start : start + length]))
    overwrite(path, bytes(content))


def overwrite(path: Path, content: bytes) -> None:
    """Write other content where the file is, as a disk does it: nothing else tells of it."""
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
