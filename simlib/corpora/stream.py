"""Text that arrives as a stream: written down as far as asked for, resumed where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from simlib.corpora.base import cache_errors, map_bytes
from simlib.corpora.text import TRAIN, VALID, DocumentWriter, TextCorpus
from simlib.errors import InputError

_ENDS, _POSITION, _LOCK = "ends.bin", "position.json", ".lock"
_SAVE_EVERY = 8 << 20  # bytes of text that an interrupted download may lose


class Source(Protocol):
    """Documents in a fixed order, readable from any of them on."""

    def read(self, documents: int, state: Any) -> Iterator[bytes]:
        """The documents after the first `documents`; `state` is what state() said there."""

    def state(self) -> Any:
        """JSON values that mark the place after the last document read."""

    def about(self) -> dict[str, Any]:
        """JSON values that identify the source; asked for once, before the first document."""


@dataclass(frozen=True)
class Position:
    """How far a stream has been written down."""

    documents: int = 0
    train: int = 0  # bytes
    valid: int = 0
    finished: bool = False  # the source has no more
    state: Any = None
    about: dict[str, Any] | None = None


def stream_corpus(name: str, root: Path, key: str, source: Source, wanted: int) -> TextCorpus:
    """The first documents of `source` that hold `wanted` bytes of training text, or all.

    A larger request continues an earlier one and begins with the same bytes; a killed one
    continues at the document after the last that was saved. Several processes may ask at once.
    Raises InputError if the source is empty or the cache cannot be written.
    """
    folder = root / key
    if not _enough(read_position(folder), wanted):
        with cache_errors(root):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder):
                _fill(folder, source, wanted, f"corpus '{name}'")
    position = read_position(folder)
    if not position.train:
        raise InputError(f"the corpus '{name}' has no text to train on")
    return _prefix(name, folder, position, wanted)


def read_position(folder: Path) -> Position:
    """How far the stream in `folder` was saved."""
    try:
        return Position(**json.loads((folder / _POSITION).read_text()))
    except FileNotFoundError:
        return Position()


def _enough(position: Position, wanted: int) -> bool:
    return position.finished or position.train >= wanted


def _fill(folder: Path, source: Source, wanted: int, describe: str) -> None:
    position = read_position(folder)
    if _enough(position, wanted):
        return  # another process did it while this one waited
    about = position.about or source.about()
    _cut_back(folder, position)
    writer = DocumentWriter(folder)
    documents, saved = position.documents, position.train
    bar = tqdm(total=wanted, initial=saved, desc=describe, unit="B", unit_scale=True, delay=2,
               leave=False)  # fmt: skip
    with bar, (folder / _ENDS).open("ab") as ends, contextlib.closing(writer):
        finished = True
        for document in source.read(position.documents, position.state):
            writer.add(document)
            train, valid = writer.sizes()
            ends.write(np.array([train, valid], "<i8").tobytes())
            documents += 1
            bar.update(train - bar.n)
            if train >= wanted:
                finished = False
                break
            if train - saved >= _SAVE_EVERY:
                saved = train
                _save(folder, writer, ends, Position(documents, train, valid, False,
                      source.state(), about))  # fmt: skip
        state = None if finished else source.state()
        last = Position(documents, *writer.sizes(), finished, state, about)
        _save(folder, writer, ends, last)


def _save(folder: Path, writer: DocumentWriter, ends: Any, position: Position) -> None:
    """Text first, then the position that vouches for it."""
    for part in (*writer.files, ends):
        part.flush()
        os.fsync(part.fileno())
    temporary = folder / f"{_POSITION}.new"
    with temporary.open("w") as file:
        json.dump(asdict(position), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / _POSITION)


def _cut_back(folder: Path, position: Position) -> None:
    """Drop what was written after the last saved position."""
    lengths = {TRAIN: position.train, VALID: position.valid, _ENDS: 16 * position.documents}
    for file, length in lengths.items():
        (folder / file).touch()
        os.truncate(folder / file, length)


def _prefix(name: str, folder: Path, position: Position, wanted: int) -> TextCorpus:
    ends = map_bytes(folder / _ENDS, (16 * position.documents,)).view("<i8").reshape(-1, 2)
    documents = min(int(np.searchsorted(ends[:, 0], wanted)) + 1, position.documents)
    train_size, valid_size = map(int, ends[documents - 1])
    train = map_bytes(folder / TRAIN, (train_size,))
    valid = map_bytes(folder / VALID, (valid_size,)) if valid_size else np.zeros(0, np.uint8)
    digest = _hash_prefix(folder, documents, train, valid)
    manifest = {
        "name": name,
        "kind": "text",
        "documents": documents,
        "sizes": {TRAIN: train_size, VALID: valid_size},
        "sha256": digest,
        "source": position.about,
    }
    return TextCorpus(name, train, valid, digest, manifest)


def _hash_prefix(folder: Path, documents: int, train: np.ndarray, valid: np.ndarray) -> str:
    """SHA-256 of the prefix; remembered, as text once saved never changes."""
    note = folder / f"sha256-{documents}.txt"
    if note.exists():
        return note.read_text()
    digest = hashlib.sha256(train.data)
    digest.update(valid.data)
    with contextlib.suppress(OSError):  # a cache that can only be read is good enough here
        temporary = note.with_suffix(f".{os.getpid()}")
        temporary.write_text(digest.hexdigest())
        temporary.replace(note)
    return digest.hexdigest()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process, however it ends."""
    try:
        from filelock import FileLock
    except ImportError as error:
        raise InputError(
            "text streams need the packages datasets and filelock: run `pip install datasets`"
        ) from error
    with FileLock(folder / _LOCK):
        yield
