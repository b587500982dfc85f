"""Finite image sets: decoded once into memory-mapped files, drawn by step number."""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from simlib.corpora.augment import Strength, random_affine, to_bytes, warp
from simlib.corpora.base import Manifest, check_count, map_bytes, sha256_files, shuffled
from simlib.corpora.text import in_validation
from simlib.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

Part = Literal["train", "valid"]
PARTS: tuple[Part, Part] = ("train", "valid")


class ImageRecord(NamedTuple):
    """One encoded image of a source; `part` None lets the hash of its bytes decide."""

    part: Part | None
    content: bytes
    label: int
    where: str  # for messages


@dataclass(frozen=True, eq=False)
class ImageCorpus:
    """Colour images with labels, memory-mapped: `images[part]` is uint8 (n, size, size, 3).

    `sha256` is that of the pixels and labels of both parts, as decoded here, also where only a
    part of the training images is used.
    """

    name: str
    images: dict[Part, np.ndarray] = field(repr=False)
    labels: dict[Part, np.ndarray] = field(repr=False)
    classes: tuple[str, ...]
    sha256: str
    strength: Strength
    manifest: Manifest = field(repr=False)
    kind: Literal["images"] = "images"

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        _, height, width, channels = self.images["train"].shape
        return (height, width, channels)

    def limited(self, images: int) -> ImageCorpus:
        """The same set with `images` of its training images, drawn at random once and for all.

        Fewer images are among the first of more. Raises InputError if there are not so many.
        """
        check_count("images", images)
        available = len(self.labels["train"])
        if images > available:
            raise InputError(
                f"'{self.name}' asks for {images} training images, but the set has {available}"
            )
        chosen = np.sort(shuffled(np.arange(images), available, seed=0))
        pixels = {**self.images, "train": self.images["train"][chosen]}
        return replace(
            self, images=pixels, labels={**self.labels, "train": self.labels["train"][chosen]}
        )

    def sampler(self, batch: int = 32, seed: int = 0) -> ImageSampler:
        """Training batches by step number; see ImageSampler."""
        return ImageSampler(self, batch, seed)

    def validation(self, images: int = 2048) -> tuple[np.ndarray, np.ndarray]:
        """The same undistorted images for every run, spread evenly over the validation part.

        Returns uint8 (images, H, W, C) and int64 (images,). Raises InputError if there are fewer.
        """
        check_count("images", images)
        available = len(self.labels["valid"])
        if images > available:
            raise InputError(
                f"the validation part of '{self.name}' has {available} images, fewer than the "
                f"{images} asked for: ask for fewer"
            )
        chosen = np.arange(images) * available // images
        return self.images["valid"][chosen], self.labels["valid"][chosen]


class ImageSampler:
    """Training images by step: every image once in each pass, a pure function of (seed, step).

    The first batch that reaches beyond the first pass causes a UserWarning. Raises InputError
    if the set is smaller than one batch.
    """

    def __init__(self, corpus: ImageCorpus, batch: int, seed: int) -> None:
        check_count("batch", batch)
        check_count("seed", seed, least=0)
        self.images = len(corpus.labels["train"])
        if batch > self.images:
            raise InputError(
                f"batch is {batch}, but '{corpus.name}' has only {self.images} training images"
            )
        self.corpus, self.batch_size, self.seed = corpus, batch, seed
        self._warned = False

    @property
    def steps_per_epoch(self) -> int:
        """Steps that repeat nothing."""
        return self.images // self.batch_size

    def epochs(self, steps: int) -> float:
        """Passes over the training part that `steps` steps make."""
        return steps * self.batch_size / self.images

    def kept_bytes(self, steps: int) -> int:
        """Most that `steps` steps leave in the corpus cache: nothing, all images are there."""
        return 0

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Step `step` (0-based): uint8 (batch, H, W, C) and classes, int64 (batch,)."""
        check_count("step", step, least=0)
        first = step * self.batch_size
        if first + self.batch_size > self.images and not self._warned:
            self._warned = True
            warnings.warn(
                f"step {step} passes the end of the corpus '{self.corpus.name}' (one epoch is "
                f"{self.steps_per_epoch} steps here): from here on images repeat",
                stacklevel=2,
            )
        numbers = np.arange(first, first + self.batch_size, dtype=np.int64)
        chosen = shuffled(numbers, self.images, self.seed)
        labels = self.corpus.labels["train"][chosen]
        return self._distorted(chosen, np.random.default_rng((self.seed, step))), labels

    def _distorted(self, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        source, strength = self.corpus.images["train"], self.corpus.strength
        if strength.is_none:
            return np.take(source, chosen, axis=0)
        side = self.corpus.image_shape[0]
        matrix = random_affine(rng, len(chosen), strength, side, side)
        pictures = warp(source, chosen, matrix, side)
        keep = rng.uniform(strength.contrast, 1, (len(chosen), 1, 1, 1)).astype(np.float32)
        level = rng.uniform(0, 255, keep.shape).astype(np.float32)
        return to_bytes(level + keep * (pictures - level), rng, strength)


def write_images(
    records: Iterator[ImageRecord], folder: Path, size: int, describe: str, total: int | None
) -> Manifest:
    """Decode `records` to `size` x `size` pixels; returns sizes, counts and hash.

    Raises InputError for an image without a class or that cannot be decoded, naming it.
    """
    paths = {part: (folder / f"{part}_images.bin", folder / f"{part}_labels.bin") for part in PARTS}
    labels: dict[Part, list[int]] = {"train": [], "valid": []}
    with contextlib.ExitStack() as opened:
        files = {part: opened.enter_context(paths[part][0].open("wb")) for part in PARTS}
        for record in tqdm(records, desc=describe, total=total, unit="image", delay=2, leave=False):
            part = record.part or ("valid" if in_validation(_digest(record.content)) else "train")
            files[part].write(_decode(record, size))
            labels[part].append(_label(record))
    for part in PARTS:
        paths[part][1].write_bytes(np.array(labels[part], "<i8").tobytes())
    if not labels["train"]:
        raise InputError(f"{describe} has no training images")
    written = [path for part in PARTS for path in paths[part]]
    return {
        "kind": "images",
        "image_size": size,
        "counts": {part: len(labels[part]) for part in PARTS},
        "num_classes": 1 + max(max(labels[part], default=0) for part in PARTS),
        "sizes": {path.name: path.stat().st_size for path in written},
        "sha256": sha256_files(written),
    }


def open_images(name: str, strength: Strength, folder: Path, manifest: Manifest) -> ImageCorpus:
    """The corpus in a built folder; class names default to the label numbers."""
    images: dict[Part, np.ndarray] = {}
    labels: dict[Part, np.ndarray] = {}
    side = manifest["image_size"]
    for part in PARTS:
        shape = (manifest["counts"][part], side, side, 3)
        images[part] = np.asarray(map_bytes(folder / f"{part}_images.bin", shape))
        labels[part] = np.frombuffer((folder / f"{part}_labels.bin").read_bytes(), "<i8")
    classes = tuple(manifest.get("classes") or map(str, range(manifest["num_classes"])))
    return ImageCorpus(name, images, labels, classes, manifest["sha256"], strength, manifest)


def _label(record: ImageRecord) -> int:
    if not isinstance(record.label, int) or record.label < 0:
        raise InputError(f"{record.where} has the label {record.label!r}, not a class number")
    return record.label


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _decode(record: ImageRecord, size: int) -> bytes:
    """RGB pixels of the largest centred square, resized to `size`."""
    from PIL import Image, UnidentifiedImageError

    # Pillow tries its formats one after another, WebP last: half of the time of a small image
    likely = ["WEBP"] if record.content[8:12] == b"WEBP" else None
    try:
        with Image.open(io.BytesIO(record.content), formats=likely) as image:
            return _square(image.convert("RGB"), size).tobytes()
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise InputError(f"{record.where} is not an image that can be read ({error})") from error


def _square(image: Image.Image, size: int) -> Image.Image:
    from PIL import Image

    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.BICUBIC)
