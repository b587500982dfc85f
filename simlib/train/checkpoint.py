"""State on disk: written whole or not at all, read back to the bit."""

from __future__ import annotations

import fcntl
import json
import logging
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from simlib.errors import InputError
from simlib.files import put_bytes, put_whole, set_aside

log = logging.getLogger("simlib.train")

Tree = dict[str, Any]


class DamagedError(InputError):
    """A file that does not hold what was written to it."""


def save_state(path: Path, tree: Tree, before: Path | None = None) -> None:
    """Write nested dictionaries of tensors and JSON values to a safetensors file.

    The file appears in one step, after its bytes have reached the disk; with `before` the file
    that was there is kept under that name. Raises InputError if it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    plain = json.dumps(_split(tree, "", tensors))
    # one note only: safetensors writes several in any order, and equal states are equal files
    note = {"tree": _checksum(plain, tensors) + plain}
    try:
        put_whole(path, lambda temporary: save_file(tensors, temporary, note), before)
    except (OSError, SafetensorError) as error:
        raise cannot_write(path, error) from error


def load_state(path: Path, device: str = "cpu") -> Tree:
    """What `save_state` wrote, which is known by its checksum where the file has one.

    Raises DamagedError if it is not, and InputError if there is no file that can be read.
    """
    try:
        with safe_open(path, framework="pt", device=device) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            note = file.metadata()["tree"]
        plain = note[note.index("{") :]
        if note != plain and note != _checksum(plain, tensors) + plain:
            raise ValueError("its checksum is not that of what was written")
        return _join(json.loads(plain), tensors)
    except OSError as error:
        raise InputError(f"{path} cannot be read as a checkpoint: {error}") from error
    except RecursionError as error:
        raise DamagedError(f"{path} is nested too deeply to be a checkpoint") from error
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"{path} cannot be read as a checkpoint: {error}") from error


def is_whole(path: Path) -> bool:
    """Whether there is a state at `path`, as it was written."""
    try:
        load_state(path)
    except InputError:
        return False
    return True


def first_whole(paths: Iterable[Path]) -> tuple[Path, Tree] | None:
    """The first of `paths` with a state as it was written, and the state.

    Damaged ones before it are set aside, with a warning. Raises InputError for one that is there
    and cannot be read.
    """
    for path in paths:
        try:
            return path, load_state(path)
        except DamagedError as error:
            aside = set_aside(path)
            log.warning("%s: it is %s now, and what was saved before it is used", error, aside.name)
        except InputError:
            if path.exists():
                raise
    return None


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step. Raises InputError if it cannot be written."""
    try:
        put_bytes(path, text.encode())
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Keep other processes away from what `path` guards; wait until they have left it.

    The lock goes with its holder, however that ends, so a worker that outlives a killed sweep
    and the worker of the next sweep never write the same run.
    """
    with _opened(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def claim(path: Path, *, alone: bool = False) -> Iterator[None]:
    """Work in the folder of `path` beside others who share it, or `alone`.

    Raises InputError at once if somebody works there alone, or anybody where `alone` is asked.
    """
    with _opened(path) as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another sweep works in {path.parent} now: wait for its end, or choose another "
                "folder"
            ) from error
        yield


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w")
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: Exception) -> InputError:
    """The sentence for a full disk or a read-only folder."""
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"{path} could not be written ({reason}): free some space or choose another folder, then "
        "repeat the command; what is recorded is kept"
    )


def _checksum(plain: str, tensors: dict[str, Tensor]) -> str:
    """CRC-32 of everything that a file says: 8 hex digits."""
    total = zlib.crc32(plain.encode())
    for name, tensor in sorted(tensors.items()):
        about = f"{name} {tensor.dtype} {tuple(tensor.shape)}"
        content = tensor.cpu().reshape(-1).view(torch.uint8).numpy().data
        total = zlib.crc32(content, zlib.crc32(about.encode(), total))
    return f"{total:08x}"


def _split(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The value with every tensor moved to `tensors` and replaced by a reference."""
    if isinstance(value, Tensor):
        tensors[place] = value.detach().contiguous()
        return {"tensor": place}
    if isinstance(value, dict):
        return {"dict": {k: _split(v, f"{place}/{k}", tensors) for k, v in value.items()}}
    return {"value": value}


def _join(node: Any, tensors: dict[str, Tensor]) -> Any:
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "dict" in node:
        return {k: _join(v, tensors) for k, v in node["dict"].items()}
    return node["value"]
