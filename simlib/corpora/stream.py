"""Text that arrives as a stream: written down as far as asked for, resumed where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from simlib.corpora.base import cache_errors, map_bytes, sealed, unsealed
from simlib.corpora.text import SEPARATOR, TRAIN, VALID, DocumentWriter, TextCorpus
from simlib.errors import InputError
from simlib.files import DAMAGED, set_aside

log = logging.getLogger("simlib.corpora")

_ENDS, _POSITION, _LOCK = "ends.bin", "position.json", ".lock"
_SAVE_EVERY = 8 << 20  # bytes of text that an interrupted download may lose


class DocumentSource(Protocol):
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
    sums: dict[str, str] | None = None  # SHA-256 by file; older notes have none

    @property
    def lengths(self) -> dict[str, int]:
        """Bytes of each file that this vouches for."""
        return {TRAIN: self.train, VALID: self.valid, _ENDS: 16 * self.documents}


def stream_corpus(
    name: str, root: Path, key: str, source: DocumentSource, wanted: int
) -> TextCorpus:
    """The first documents of `source` that hold `wanted` bytes of training text, or all.

    A larger request continues an earlier one and begins with the same bytes; a killed one
    continues at the document after the last that was saved. What is damaged is set aside, with a
    warning, and read again from the source. Several processes may ask at once. Raises InputError
    if the source is empty or the cache cannot be written.
    """
    folder = root / key
    found = _prefix(name, folder, wanted)
    if found is None:
        with cache_errors(root):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder):
                _fill(folder, source, wanted, f"corpus '{name}'")
        found = _prefix(name, folder, wanted)
    if found is None:
        raise InputError(f"the corpus '{name}' has no text to train on")
    return found


def read_position(folder: Path) -> Position:
    """How far the stream in `folder` was saved. Raises ValueError if the note is damaged."""
    try:
        return Position(**unsealed((folder / _POSITION).read_text()))
    except FileNotFoundError:
        return Position()
    except TypeError as error:
        raise ValueError(str(error)) from error


def _verified(folder: Path) -> tuple[Position, dict[str, Any]]:
    """How far the stream was saved, and the running SHA-256 of each file up to there.

    Begins anew, with a warning, if what was saved is damaged.
    """
    try:
        position = read_position(folder)
        sums = {
            file: hashlib.sha256(_part(folder, file, n).data)
            for file, n in position.lengths.items()
        }
        if position.sums in (None, _hex(sums)):
            return position, sums
    except ValueError:
        pass
    for file in (_POSITION, TRAIN, VALID, _ENDS):
        set_aside(folder / file)
    log.warning(
        "%s is not as it was written: its files end in %s now, and the text is read again",
        folder,
        DAMAGED,
    )
    return Position(), {file: hashlib.sha256() for file in (TRAIN, VALID, _ENDS)}


def _part(folder: Path, file: str, length: int) -> np.ndarray:
    """The first `length` bytes of a file. Raises ValueError if it has fewer."""
    path = folder / file
    if length > (path.stat().st_size if path.exists() else 0):
        raise ValueError(f"{path} is shorter than it was")
    return map_bytes(path, (length,)) if length else np.zeros(0, np.uint8)


def _hex(sums: dict[str, Any]) -> dict[str, str]:
    return {file: digest.hexdigest() for file, digest in sums.items()}


def _enough(position: Position, wanted: int) -> bool:
    return position.finished or position.train >= wanted


def _fill(folder: Path, source: DocumentSource, wanted: int, describe: str) -> None:
    position, sums = _verified(folder)
    if _enough(position, wanted):
        return  # another process did it while this one waited
    about = position.about or source.about()
    _cut_back(folder, position)
    writer = DocumentWriter(folder)
    documents, saved = position.documents, position.train
    bar = tqdm(
        total=wanted, initial=saved, desc=describe, unit="B", unit_scale=True, delay=2, leave=False
    )
    with bar, (folder / _ENDS).open("ab") as ends, contextlib.closing(writer):
        finished = True
        for document in source.read(position.documents, position.state):
            sums[VALID if writer.add(document) else TRAIN].update(document + SEPARATOR)
            train, valid = writer.sizes()
            end = np.array([train, valid], "<i8").tobytes()
            ends.write(end)
            sums[_ENDS].update(end)
            documents += 1
            bar.update(train - bar.n)
            if train >= wanted:
                finished = False
                break
            if train - saved >= _SAVE_EVERY:
                saved = train
                _save(
                    folder,
                    writer,
                    ends,
                    Position(documents, train, valid, False, source.state(), about, _hex(sums)),
                )
        state = None if finished else source.state()
        last = Position(documents, *writer.sizes(), finished, state, about, _hex(sums))
        _save(folder, writer, ends, last)


def _save(folder: Path, writer: DocumentWriter, ends: Any, position: Position) -> None:
    """Text first, then the position that vouches for it."""
    for part in (*writer.files, ends):
        part.flush()
        os.fsync(part.fileno())
    temporary = folder / f"{_POSITION}.new"
    with temporary.open("w") as file:
        file.write(sealed(asdict(position)))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / _POSITION)


def _cut_back(folder: Path, position: Position) -> None:
    """Drop what was written after the last saved position."""
    for file, length in position.lengths.items():
        (folder / file).touch()
        os.truncate(folder / file, length)


def _prefix(name: str, folder: Path, wanted: int) -> TextCorpus | None:
    """The text asked for; None if there is not as much of it, or any of it is damaged."""
    try:
        position = read_position(folder)
        if not position.train or not _enough(position, wanted):
            return None
        train, valid, ends = (_part(folder, file, n) for file, n in position.lengths.items())
    except ValueError:
        return None
    documents, train_size, valid_size = _cut(ends, position.documents, wanted)
    digest, sums = hashlib.sha256(train[:train_size].data), {_ENDS: hashlib.sha256(ends.data)}
    sums[TRAIN], sums[VALID] = digest.copy(), hashlib.sha256(valid.data)
    sums[TRAIN].update(train[train_size:].data)
    if position.sums not in (None, _hex(sums)):
        return None
    digest.update(valid[:valid_size].data)
    manifest = {
        "name": name,
        "kind": "text",
        "documents": documents,
        "sizes": {TRAIN: train_size, VALID: valid_size},
        "sha256": digest.hexdigest(),
        "source": position.about,
    }
    return TextCorpus(name, train[:train_size], valid[:valid_size], digest.hexdigest(), manifest)


def _cut(ends: np.ndarray, documents: int, wanted: int) -> tuple[int, int, int]:
    """Documents that hold `wanted` bytes of training text, and the bytes of both parts."""
    table = ends.view("<i8").reshape(-1, 2)
    chosen = min(int(np.searchsorted(table[:, 0], wanted)) + 1, documents)
    train, valid = map(int, table[chosen - 1])
    return chosen, train, valid


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
