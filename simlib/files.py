"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from simlib.errors import InputError


def replace_file(path: str | Path, content: bytes, what: str) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part.

    Raises InputError, naming the file and `what` it was to hold, if it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"{path}: the {what} could not be written ({error})") from error
