"""Random distortions of small images: affine maps, contrast, noise; vectorised over a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simlib.errors import InputError

_GROUP_PIXELS = 1 << 14  # sampled at a time, so that what is in work stays in the cache


@dataclass(frozen=True)
class Strength:
    """How far images are distorted. Each number is the half-width of a uniform draw."""

    rotation: float  # degrees
    scale: float  # of log2 of the magnification
    shear: float  # horizontal shift per unit of height
    shift: float  # share of the image's side
    flip: bool  # mirror half of the images
    contrast: float  # smallest share of the full range between ink and paper, or of the original
    noise: float  # largest standard deviation of the noise, share of the full range
    clutter: int  # foreign shapes in the picture (glyphs only)

    @property
    def is_none(self) -> bool:
        """Whether images stay as they are."""
        return self in (GLYPHS["none"], PHOTOS["none"])


GLYPHS = {
    "none": Strength(0, 0, 0, 0, False, 1.0, 0, 0),
    "light": Strength(10, 0.2, 0.15, 0.08, False, 0.5, 0.06, 0),
    "heavy": Strength(25, 0.45, 0.3, 0.12, False, 0.3, 0.12, 2),
}
PHOTOS = {
    "none": Strength(0, 0, 0, 0, False, 1.0, 0, 0),
    "light": Strength(0, 0.1, 0, 0.1, True, 1.0, 0, 0),
    "heavy": Strength(15, 0.4, 0.15, 0.12, True, 0.5, 0.05, 0),
}


def strength_of(name: str, known: dict[str, Strength]) -> Strength:
    """The strength called `name`. Raises InputError for any other name."""
    if name not in known:
        raise InputError(f"augment is '{name}', but must be one of {', '.join(known)}")
    return known[name]


def random_affine(
    rng: np.random.Generator, count: int, strength: Strength, size_in: float, size_out: int
) -> np.ndarray:
    """Maps from output to source pixels about both centres: float32 (count, 2, 3).

    A matrix takes (row, column, 1), measured from the output's centre, to a place measured from
    the source's centre. Undistorted, the output shows `size_in` source pixels a side.
    """
    draw = rng.uniform(-1, 1, (6, count))
    angle = np.deg2rad(strength.rotation) * draw[0]
    zoom = size_in / size_out * np.exp2(strength.scale * draw[1])
    shear = strength.shear * draw[2]
    mirror = np.where((draw[5] < 0) & strength.flip, -1.0, 1.0)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    matrix = np.empty((count, 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 0, 1] = cos, -sin * mirror
    matrix[:, 1, 0], matrix[:, 1, 1] = sin + shear * cos, (cos - shear * sin) * mirror
    matrix[:, :, 2] = (strength.shift * size_in * draw[3:5]).T
    return matrix


def warp(source: np.ndarray, which: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Bilinear samples of source images under affine maps; beyond the edge, the edge's value.

    source: uint8 (N, H, W, C), memory-mapped or not; which: (B,) image numbers;
    matrix: (B, 2, 3) as from random_affine. Returns float32 (B, size, size, C) in 0..255.
    """
    made = np.empty((len(which), size, size, source.shape[3]), np.float32)
    group = max(1, _GROUP_PIXELS // size**2)
    for first in range(0, len(which), group):
        part = slice(first, first + group)
        made[part] = _warp_group(source, which[part], matrix[part], size)
    return made


def _warp_group(source: np.ndarray, which: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    _, height, width, channels = source.shape
    grid = np.arange(size, dtype=np.float32) - (size - 1) / 2
    row_Bx2xhx1 = matrix[:, :, 0, None, None] * grid[:, None] + matrix[:, :, 2, None, None]
    column_Bx2x1xw = matrix[:, :, 1, None, None] * grid[None, :]
    place_Bx2xhxw = row_Bx2xhx1 + column_Bx2x1xw
    y = np.clip(place_Bx2xhxw[:, 0] + np.float32((height - 1) / 2), 0, height - 1)
    x = np.clip(place_Bx2xhxw[:, 1] + np.float32((width - 1) / 2), 0, width - 1)
    top = np.minimum(y.astype(np.int32), height - 2)
    left = np.minimum(x.astype(np.int32), width - 2)
    down, right = (y - top)[..., None], (x - left)[..., None]  # float64

    pixels = np.take(source, which, axis=0).reshape(-1, channels)
    first = (np.arange(len(which), dtype=np.int32) * (height * width))[:, None, None]
    corner = (first + top * width + left).astype(np.intp)  # what `take` would make of it each time

    def pick(offset: int) -> np.ndarray:
        return pixels[offset:].take(corner, axis=0, mode="clip").astype(np.float64)

    # a + weight * (b - a) in place: most of the time is spent on memory
    upper, lower = pick(0), pick(width)
    for left_pixels, right_pixels in ((upper, pick(1)), (lower, pick(width + 1))):
        right_pixels -= left_pixels
        right_pixels *= right
        left_pixels += right_pixels
    lower -= upper
    lower *= down
    upper += lower
    return upper


def to_bytes(images: np.ndarray, rng: np.random.Generator, strength: Strength) -> np.ndarray:
    """Images in 0..255 (float32) with noise added, each its own amount, as uint8."""
    if strength.noise:
        amount = rng.uniform(0, 255 * strength.noise, (len(images), 1, 1, 1)).astype(np.float32)
        images = images + amount * rng.standard_normal(images.shape, dtype=np.float32)
    return np.clip(images + 0.5, 0, 255).astype(np.uint8)
