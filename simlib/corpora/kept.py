"""Drawn images by position: drawn once, kept in the corpus cache, read by every run of a seed."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

CHUNK = 4096  # images that are drawn, kept and read at a time
KEPT_BYTES = 2 << 30  # of one sequence of images; what lies beyond is drawn whenever it is needed
SPARE_BYTES = 1 << 30  # of the disk that are left for what cannot be drawn again
_LABEL = np.dtype("<u2")
_DIGEST = hashlib.sha256().digest_size

Images = tuple[np.ndarray, np.ndarray]  # uint8 (n, height, width, channels), classes int64 (n,)


class KeptImages:
    """A sequence of images and their classes; `draw` makes those of one chunk from its number.

    What is read is what `draw` makes, whether it is kept or not: a chunk that is missing, damaged
    or beyond KEPT_BYTES is drawn. Several processes may read the same sequence: a file appears
    whole or not at all, and of two that write it at once either one's bytes will do. A cache that
    cannot be written, or a disk with less than SPARE_BYTES left, causes a UserWarning.
    """

    def __init__(
        self, draw: Callable[[int], Images], folder: Path, shape: tuple[int, int, int]
    ) -> None:
        self._draw, self._folder, self._shape = draw, folder, shape
        self._number, self._chunk = -1, (np.empty(0), np.empty(0))

    def read(self, first: int, count: int) -> Images:
        """Images `first` to `first + count - 1` (0-based), in memory of their own."""
        last = first + count
        numbers = range(first // CHUNK, -(-last // CHUNK))
        parts = [self._part(n, max(first - n * CHUNK, 0), last - n * CHUNK) for n in numbers]
        pictures, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return pictures, labels

    def bytes_for(self, count: int) -> int:
        """Bytes that the first `count` images will take in the cache, at most KEPT_BYTES."""
        return min(-(-count // CHUNK), self._most) * self._size

    @property
    def _pixels(self) -> int:
        """Bytes of the pictures of a chunk."""
        return CHUNK * int(np.prod(self._shape))

    @property
    def _size(self) -> int:
        """Bytes of a chunk's file: pictures, classes, and the SHA-256 of both."""
        return self._pixels + CHUNK * _LABEL.itemsize + _DIGEST

    @property
    def _most(self) -> int:
        """Chunks that are kept."""
        return KEPT_BYTES // self._size

    def _part(self, number: int, begin: int, end: int) -> Images:
        if number != self._number:
            self._chunk, self._number = self._load(number), number
        pictures, labels = self._chunk
        return pictures[begin:end], labels[begin:end]

    def _load(self, number: int) -> Images:
        path = self._folder / f"{number:06d}.bin"
        found = self._found(path)
        if found is None:
            found = self._draw(number)
            if number < self._most:
                self._keep(path, *found)
        return found

    def _found(self, path: Path) -> Images | None:
        """The chunk in a file; None if it is not there, or not as it was written."""
        try:
            content = memoryview(path.read_bytes())
        except OSError:
            return None
        body, digest = content[:-_DIGEST], content[-_DIGEST:]
        if len(content) != self._size or hashlib.sha256(body).digest() != digest:
            return None
        pictures = np.frombuffer(body[: self._pixels], np.uint8).reshape(CHUNK, *self._shape)
        return pictures, np.frombuffer(body[self._pixels :], _LABEL).astype(np.int64)

    def _keep(self, path: Path, pictures: np.ndarray, labels: np.ndarray) -> None:
        body = pictures.tobytes() + labels.astype(_LABEL).tobytes()
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self._folder).free < SPARE_BYTES + self._size:
                raise OSError(f"less than {SPARE_BYTES / 2**30:g} GiB are free")
            # not waiting for the disk: a power cut leaves a file that its digest gives away
            temporary.write_bytes(body + hashlib.sha256(body).digest())
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            warnings.warn(
                f"images are drawn anew by every run, because they cannot be kept in "
                f"{self._folder} ({error.strerror or error}): free some space there, or set "
                "SIMLIB_CACHE to a folder that can be written",
                stacklevel=2,
            )
