"""Where corpora are built, how they are identified, and how their order is shuffled."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from simlib.errors import InputError
from simlib.files import DAMAGED

log = logging.getLogger("simlib.corpora")

Manifest = dict[str, Any]
MANIFEST = "manifest.json"
_CHECK = "check"  # entry of notes that vouches for the others
_CHUNK = 1 << 22
_ABANDONED_AFTER = 3600.0  # seconds without a new file in a build's folder


def cache_root(cache: str | Path | None = None) -> Path:
    """The folder for built corpora: `cache`, else $SIMLIB_CACHE, else the user's cache folder."""
    chosen = cache or os.environ.get("SIMLIB_CACHE") or platformdirs.user_cache_dir("simlib")
    return Path(chosen) / "corpora"


def recipe_key(recipe: Manifest) -> str:
    """16 hex digits that name one way of building a corpus."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def sealed(notes: Manifest) -> str:
    """JSON text with a checksum of its own."""
    notes = json.loads(json.dumps(notes))  # as they will be read
    return json.dumps(notes | {_CHECK: recipe_key(notes)}, indent=1, sort_keys=True) + "\n"


def unsealed(text: str) -> Manifest:
    """What was `sealed`; notes from before there were checksums are taken as they are.

    Raises ValueError if the text is not as it was written.
    """
    notes = json.loads(text)
    if not isinstance(notes, dict) or notes.pop(_CHECK, None) not in (None, recipe_key(notes)):
        raise ValueError("the notes are not as they were written")
    return notes


def sha256_files(paths: Iterable[Path]) -> str:
    """SHA-256 of the files' bytes, one after another (what `cat FILES | sha256sum` prints)."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def built(root: Path, key: str, build: Callable[[Path], Manifest]) -> tuple[Path, Manifest]:
    """The folder `root/key` and its manifest; calls `build(folder)` only if it is not there.

    `build` fills an empty temporary folder and returns the manifest. Its entries "sizes" (file
    name -> bytes) and "sha256" (of these files, by name) decide later whether the folder is as it
    was built; every byte is looked at, so that what a record names is what was trained on. A
    damaged folder is set aside, with a warning, and built again. The folder is renamed into place
    when complete: a killed build leaves nothing that looks finished, and of two processes that
    build at once the second takes the first one's result.

    Raises InputError if the cache cannot be written.
    """
    target = root / key
    found = verified_manifest(target)
    if found is not None:
        return target, found
    with cache_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        _set_aside(target)
        _remove_abandoned(root, key)
        work = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=root))
        try:
            manifest = build(work)
            (work / MANIFEST).write_text(sealed(manifest))
            return target, _publish(work, target, manifest)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _set_aside(folder: Path) -> None:
    """Put a built folder out of the way, if it is there and still damaged."""
    aside = folder.with_name(folder.name + DAMAGED)
    with _alone(folder.parent):
        if not folder.exists() or verified_manifest(folder) is not None:
            return
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    log.warning(
        "%s is not as it was built: it is %s now, and the corpus is built again", folder, aside.name
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, where the file system can; the lock goes with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_abandoned(root: Path, key: str) -> None:
    """Delete what killed builds of the same corpus left behind."""
    for folder in root.glob(f".{key}-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cache_errors(root: Path) -> Iterator[None]:
    """Turns a full disk, a read-only folder and the like into one sentence (InputError)."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"cannot write the corpus cache in {root} ({reason}): free some space there, "
            "or set SIMLIB_CACHE to a folder that can be written"
        ) from error


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a built corpus; None unless every file it lists has its recorded size."""
    try:
        manifest = unsealed((folder / MANIFEST).read_text())
        sizes = manifest["sizes"].items()
        whole = all((folder / name).stat().st_size == size for name, size in sizes)
    except (OSError, ValueError, KeyError):
        return None
    return manifest if whole else None


def verified_manifest(folder: Path) -> Manifest | None:
    """The manifest of a built corpus; None unless every byte is as it was built."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    try:
        found = sha256_files(folder / name for name in sorted(manifest["sizes"]))
    except OSError:
        return None
    return manifest if found == manifest.get("sha256") else None


def _publish(work: Path, target: Path, manifest: Manifest) -> Manifest:
    """Rename `work` to `target`, unless another process has put a whole folder there."""
    try:
        work.rename(target)
    except OSError:
        theirs = read_manifest(target)
        if theirs is None:
            raise
        return theirs
    return manifest


def read_bytes(path: Path) -> bytes:
    """A source file's bytes. Raises InputError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error


def map_bytes(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A read-only uint8 memory map of a file (an empty file gives an empty array)."""
    if path.stat().st_size == 0:
        return np.zeros(shape or (0,), np.uint8)
    return np.memmap(path, np.uint8, mode="r", shape=shape)


def shuffled(index: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Positions in 0..size-1 for a running sample number, each once in every pass.

    index: int64 (B,), 0-based numbers of samples drawn so far; pass `index // size` is one
    pseudo-random permutation, another one in each pass and for each seed.
    Returns int64 (B,). No state and no memory: an alternating Feistel network over the next
    power of two, walked until it lands inside (Black and Rogaway 2002, "Ciphers with arbitrary
    finite domains").
    """
    epoch, place = np.divmod(index.astype(np.uint64), np.uint64(size))
    bits = max(2, int(size - 1).bit_length())
    keys = _mix(_mix(np.array([seed % 2**64], np.uint64)) ^ (epoch + np.uint64(1)))
    place = _feistel(place, keys, bits)
    while (outside := place >= size).any():
        place[outside] = _feistel(place[outside], keys[outside], bits)
    return place.astype(np.int64)


def _feistel(value: np.ndarray, keys: np.ndarray, bits: int) -> np.ndarray:
    low, high = bits // 2, bits - bits // 2
    for number in range(4):  # four rounds: pseudo-random (Luby and Rackoff 1988)
        left, right = value >> np.uint64(low), value & np.uint64((1 << low) - 1)
        noise = (right ^ keys ^ np.uint64(number << 56)) * np.uint64(0xBF58476D1CE4E5B9)
        noise = (noise ^ (noise >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
        value = (right << np.uint64(high)) | (left ^ (noise >> np.uint64(64 - high)))
        low, high = high, low  # the halves change places, so their widths do too
    return value


def _mix(value: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: every input bit reaches every output bit."""
    value = (value + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def check_count(name: str, value: int, least: int = 1) -> None:
    """Raise InputError unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {value!r}, but must be a whole number of at least {least}")
