"""Text as bytes: documents in two memory-mapped files, and windows of them by step number."""

from __future__ import annotations

import contextlib
import hashlib
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from tqdm import tqdm

from simlib.corpora.base import (
    Manifest,
    check_count,
    map_bytes,
    read_bytes,
    sha256_files,
    shuffled,
)
from simlib.errors import InputError

SEPARATOR = b"\0"  # between documents; source code and prose do not contain it
VALID_SHARE = 0.02  # of the documents, by hash
_TOKENS_AHEAD = 1 << 18  # read at a time: finding a small batch takes longer than copying it
TRAIN, VALID = "train.bin", "valid.bin"


@dataclass(frozen=True, eq=False)
class TextCorpus:
    """Bytes (uint8) or other tokens in order: `train` and `valid` are memory-mapped arrays (n,).

    `sha256` is that of train.bin followed by valid.bin.
    """

    name: str
    train: np.ndarray = field(repr=False)
    valid: np.ndarray = field(repr=False)
    sha256: str
    manifest: Manifest = field(repr=False)
    kind: Literal["text"] = "text"
    vocab_size: int = 256

    def sampler(self, batch: int = 32, seq_len: int = 128, seed: int = 0) -> TextSampler:
        """Training batches by step number; see TextSampler."""
        return TextSampler(self.train, batch, seq_len, seed, self.name)

    def validation(self, seq_len: int = 128, windows: int = 512) -> np.ndarray:
        """The same windows for every run: int64 (windows, seq_len + 1), spread evenly.

        Raises InputError if the validation part holds fewer than `windows` of them.
        """
        check_count("windows", windows)
        available = _count_windows(self.valid, seq_len, f"the validation part of '{self.name}'")
        if windows > available:
            raise InputError(
                f"the validation part of '{self.name}' has {available} windows of "
                f"{seq_len} tokens, fewer than the {windows} asked for: ask for fewer"
            )
        chosen = np.arange(windows, dtype=np.int64) * available // windows
        return _windows(self.valid, chosen, seq_len).astype(np.int64)


class TextSampler:
    """Windows of `seq_len + 1` training tokens, a pure function of (seed, step).

    Neighbouring windows share one token, the last target of one being the first input of the
    next, so one pass predicts every token once and repeats none. A later pass takes the same
    windows in another order; the first batch that reaches into it causes a UserWarning.

    Raises InputError if the corpus is shorter than one window.
    """

    def __init__(self, tokens: np.ndarray, batch: int, seq_len: int, seed: int, name: str) -> None:
        check_count("batch", batch)
        check_count("seed", seed, least=0)
        self.windows = _count_windows(tokens, seq_len, f"the corpus '{name}'")
        self.batch_size, self.seq_len, self.seed, self.name = batch, seq_len, seed, name
        self._tokens = tokens
        self._warned = False
        self._first, self._group = 0, np.empty(0)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that repeat nothing."""
        return self.windows // self.batch_size

    def epochs(self, steps: int) -> float:
        """Passes over the training part that `steps` steps make."""
        return steps * self.batch_size / self.windows

    def batch(self, step: int) -> np.ndarray:
        """Step `step` (0-based): int64 (batch, seq_len + 1), inputs [:, :-1], targets [:, 1:]."""
        check_count("step", step, least=0)
        self.warn_if_repeated(step)
        if not 0 <= step - self._first < len(self._group):
            steps = max(1, _TOKENS_AHEAD // (self.batch_size * (self.seq_len + 1)))
            self._first = step // steps * steps
            self._group = self.tokens(self._first, steps)
        return np.asarray(self._group[step - self._first].astype(np.int64))

    def tokens(self, first: int, steps: int) -> np.ndarray:
        """The batches of `steps` steps from `first` on, (steps, batch, seq_len + 1), as stored.

        Reading many at once takes a tenth of the time a batch. Says nothing of repetition.
        """
        begin = first * self.batch_size
        numbers = np.arange(begin, begin + steps * self.batch_size, dtype=np.int64)
        chosen = shuffled(numbers, self.windows, self.seed)
        read = _windows(self._tokens, chosen, self.seq_len)
        return read.reshape(steps, self.batch_size, self.seq_len + 1)

    def warn_if_repeated(self, step: int) -> None:
        """Cause a UserWarning, once, if step `step` reaches beyond the first pass."""
        if (step + 1) * self.batch_size > self.windows and not self._warned:
            self._warned = True
            warnings.warn(
                f"step {step} passes the end of the corpus '{self.name}' (one epoch is "
                f"{self.steps_per_epoch} steps here): from here on data repeats in another order",
                stacklevel=3,
            )


def _count_windows(tokens: np.ndarray, seq_len: int, what: str) -> int:
    check_count("seq_len", seq_len)
    if seq_len + 1 > len(tokens):
        raise InputError(
            f"seq_len {seq_len} needs {seq_len + 1} tokens, but {what} has only {len(tokens)}: "
            "take a shorter seq_len or a larger corpus"
        )
    return (len(tokens) - 1) // seq_len


def _windows(tokens: np.ndarray, window: np.ndarray, seq_len: int) -> np.ndarray:
    """Windows (len(window), seq_len + 1), in the type of `tokens`."""
    every = np.lib.stride_tricks.sliding_window_view(np.asarray(tokens), seq_len + 1)
    return every[window * seq_len]


class DocumentWriter:
    """Appends documents to train.bin and valid.bin, split by the hash of their content.

    A document is in the validation part if the last 8 bytes of its SHA-256, as a number, are
    in the lowest `VALID_SHARE`: equal documents are never on both sides.
    """

    def __init__(self, folder: Path) -> None:
        self.files: tuple[BinaryIO, BinaryIO] = (
            (folder / TRAIN).open("ab"),
            (folder / VALID).open("ab"),
        )

    def add(self, document: bytes) -> bool:
        """Write a document; whether it belongs to the validation part."""
        held_out = in_validation(hashlib.sha256(document).digest())
        self.files[held_out].write(document + SEPARATOR)
        return held_out

    def sizes(self) -> tuple[int, int]:
        """Bytes in (train.bin, valid.bin) so far."""
        return self.files[0].tell(), self.files[1].tell()

    def close(self) -> None:
        for file in self.files:
            file.close()


def in_validation(digest: bytes) -> bool:
    """Whether a document with this SHA-256 belongs to the validation part."""
    return int.from_bytes(digest[-8:], "big") < math.floor(VALID_SHARE * 2**64)


def read_document(path: Path) -> bytes:
    """A file's bytes with line ends as \\n (a wheel for Windows differs in nothing else)."""
    return read_bytes(path).replace(b"\r\n", b"\n")


def write_files(paths: Iterable[Path], folder: Path, describe: str) -> Manifest:
    """Write the distinct non-empty files at `paths`, ordered by hash; returns sizes and hash.

    Each file is read twice, first for its hash and then to copy it, so that memory does not
    limit the size of a corpus.
    """
    found: dict[bytes, Path] = {}
    listed = list(paths)
    for path in tqdm(listed, desc=f"{describe}: reading", unit="file", delay=2, leave=False):
        document = read_document(path)
        if document:
            found.setdefault(hashlib.sha256(document).digest(), path)
    order = sorted(found)
    with contextlib.closing(DocumentWriter(folder)) as writer:
        for digest in tqdm(order, desc=f"{describe}: writing", unit="file", delay=2, leave=False):
            writer.add(read_document(found[digest]))
    return text_manifest(folder) | {"files_read": len(listed), "documents": len(found)}


def text_manifest(folder: Path) -> Manifest:
    """Sizes and SHA-256 of a folder that holds train.bin and valid.bin."""
    paths = [folder / TRAIN, folder / VALID]
    sizes = {path.name: path.stat().st_size for path in paths}
    return {"kind": "text", "sizes": sizes, "sha256": sha256_files(paths)}


def open_text(name: str, folder: Path, manifest: Mapping[str, object]) -> TextCorpus:
    """The corpus in a built folder. Raises InputError if it holds no training text."""
    train = map_bytes(folder / TRAIN)
    if not len(train):
        raise InputError(f"the corpus '{name}' has no text to train on")
    return TextCorpus(
        name, train, map_bytes(folder / VALID), str(manifest["sha256"]), dict(manifest)
    )
