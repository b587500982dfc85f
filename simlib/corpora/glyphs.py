"""The embedded image corpus: characters of the DejaVu fonts, distorted afresh at every step.

matplotlib's wheel carries the fonts. Each character that all twelve faces have is rendered once
per face; training draws a class, a face and a distortion for every image, so data never repeats
and one class is seen in many shapes. Class frequencies have a long tail, as those of web-scale
photographs do.

There are two ways to draw. "random" draws everything at random for every batch anew.
"quasirandom" spreads the classes evenly over the sequence of images, so that the first n images,
whatever n is, hold every class about as often as its frequency says; images are then a function
of their place, drawn once and kept.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tqdm import tqdm

from simlib.corpora.augment import GLYPHS, Strength, random_affine, strength_of, to_bytes, warp
from simlib.corpora.base import (
    Manifest,
    built,
    cache_root,
    check_count,
    map_bytes,
    recipe_key,
    sha256_files,
    shuffled,
)
from simlib.corpora.kept import CHUNK, KeptImages
from simlib.errors import InputError

if TYPE_CHECKING:
    from PIL import ImageFont

DRAWS = ("random", "quasirandom")
POLARITIES = ("random", "fixed")

# What the shipped hash of the rendered faces was made with.
VERSIONS = {"matplotlib": "3.10.8", "pillow": "13.0.0"}
SHA256 = "3cdd125d774a0642c53c3f1c4469e0d447046325f05d3883d932ac8dea3749f3"

_RECIPE = 1  # raise it when rendering, drawing or distortion changes
_SIDE = 48  # pixels of a rendered character, margin included
_VIEW = 32.0  # of them shown by an undistorted image
_FONT_PIXELS = 28
_BASELINE = 31
_ATLAS, _CHARACTERS = "atlas.bin", "characters.txt"
_TRAIN, _VALID, _LIMITED, _SHIFT = range(4)  # purposes of random streams
_VALIDATION_CHUNK = 256
_GROUP = 256  # images drawn at a time
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 (sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class GlyphCorpus:
    """Images of characters, made on demand; `characters[k]` is what class k shows.

    Class k, from 0, has a frequency proportional to `(k + offset)^-exponent`. With polarity
    "fixed" ink is always brighter than paper, with "random" in half of the images.
    `atlas` is uint8 (characters, faces, 48, 48), memory-mapped, in the order of the classes.
    `sha256` covers the atlas and every option that changes the images. Images that are drawn by
    their place are kept in `cache`.
    """

    name: str
    atlas: np.ndarray = field(repr=False)
    characters: str = field(repr=False)
    sha256: str
    strength: Strength
    size: int
    manifest: Manifest = field(repr=False)
    cache: Path
    images: int | None = None
    exponent: float = 1.0
    offset: float = 1.0
    polarity: str = "random"
    quasirandom: bool = False
    kind: Literal["images"] = "images"

    @property
    def num_classes(self) -> int:
        return len(self.characters)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.size, self.size, 1)

    @cached_property
    def class_shares(self) -> np.ndarray:
        """Probability of each class (num_classes,), in training and validation alike."""
        weight = (np.arange(self.num_classes) + self.offset) ** -self.exponent
        return np.asarray(weight / weight.sum())

    def sampler(self, batch: int = 32, seed: int = 0) -> GlyphSampler:
        """Training batches by step number; see GlyphSampler."""
        return GlyphSampler(self, batch, seed)

    def validation(self, images: int = 2048) -> tuple[np.ndarray, np.ndarray]:
        """The same images for every run, from random streams that training never uses.

        Returns uint8 (images, size, size, 1) and int64 (images,). Drawn at random, fewer images
        are the first ones of more. Drawn quasi-randomly they are a systematic sample (Madow and
        Madow 1944) in random order: every class comes as often as its share of `images` says,
        rounded up or down. Mean losses need no weights and vary half as much as those of random
        images; their standard error by the formula for random ones is an upper estimate.
        """
        check_count("images", images)
        if self.quasirandom:
            start = _stream(_SHIFT, _VALID).random()
            kept = self._kept(f"valid-{images}", _VALID, 0, lambda n: systematic(n, images, start))
            return kept.read(0, images)
        chunks = -(-images // _VALIDATION_CHUNK)
        made = [self.draw(_stream(_VALID, 0, n), _VALIDATION_CHUNK) for n in range(chunks)]
        pictures, labels = (np.concatenate(part)[:images] for part in zip(*made, strict=True))
        return pictures, labels

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """`count` random images, uint8 (count, size, size, 1), and classes, int64 (count,)."""
        labels = self._classes_at(rng.random(count))
        return self._pictures(rng, labels), labels

    def training(self, seed: int) -> KeptImages:
        """The training images of a seed by their place, drawn quasi-randomly."""
        return self._spread(f"train-{seed}", _TRAIN, seed)

    def limited(self) -> tuple[np.ndarray, np.ndarray]:
        """The training images of a corpus that has `images` of them, the same for every seed."""
        count = self.images or 0
        if self.quasirandom:
            return self._spread("limited", _LIMITED, 0).read(0, count)
        return self.draw(_stream(_LIMITED, 0, 0), count)

    def _spread(self, folder: str, purpose: int, seed: int) -> KeptImages:
        start = _stream(_SHIFT, purpose, seed).integers(2**64, dtype=np.uint64)
        return self._kept(folder, purpose, seed, lambda numbers: weyl(numbers, start))

    def _kept(
        self, folder: str, purpose: int, seed: int, places: Callable[[np.ndarray], np.ndarray]
    ) -> KeptImages:
        """Images whose classes follow from `places` of their numbers, all else from `seed`."""

        def draw(chunk: int) -> tuple[np.ndarray, np.ndarray]:
            labels = self._classes_at(places(np.arange(chunk * CHUNK, (chunk + 1) * CHUNK)))
            rng = _stream(purpose, seed, chunk)
            groups = np.split(labels, CHUNK // _GROUP)
            return np.concatenate([self._pictures(rng, group) for group in groups]), labels

        return KeptImages(draw, self.cache / folder, self.image_shape)

    def _classes_at(self, place: np.ndarray) -> np.ndarray:
        """Classes (int64) for numbers in [0, 1): evenly spread ones give each class its share."""
        return np.searchsorted(self._edges, place, "right")

    @cached_property
    def _edges(self) -> np.ndarray:
        return np.asarray(np.cumsum(self.class_shares)[:-1])

    def _pictures(self, rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
        """An image of each class in `labels`, uint8 (len(labels), size, size, 1)."""
        faces, count = self.atlas.shape[1], len(labels)
        ink = self._ink(rng, labels * faces + rng.integers(faces, size=count), _VIEW, 0.0)
        for _ in range(self.strength.clutter):
            foreign = rng.integers(len(self.atlas) * faces, size=count)
            ink = np.maximum(ink, self._ink(rng, foreign, _VIEW * 1.2, _VIEW * 0.7))
        paper, pen = self._levels(rng, count)
        return to_bytes(paper + (pen - paper) * (ink / 255), rng, self.strength)

    def _levels(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Brightness of paper and ink (count, 1, 1, 1), at least `contrast` of the range apart."""
        between = 255 * rng.uniform(self.strength.contrast, 1, count)
        darker = rng.random(count) * (255 - between)
        levels = np.stack([darker, darker + between])
        if self.polarity == "random":
            swap = rng.random(count) < 0.5
            levels = np.where(swap, levels, levels[::-1])
        paper, pen = levels.astype(np.float32)[:, :, None, None, None]
        return paper, pen

    def _ink(
        self, rng: np.random.Generator, which: np.ndarray, view: float, away: float
    ) -> np.ndarray:
        """Distorted characters, 255 where ink is; `away` pixels off the centre."""
        matrix = random_affine(rng, len(which), self.strength, view, self.size)
        if away:
            turn = rng.uniform(0, 2 * np.pi, len(which))
            matrix[:, :, 2] += away * np.stack([np.sin(turn), np.cos(turn)], axis=1)
        return warp(self.atlas.reshape(-1, _SIDE, _SIDE, 1), which, matrix, self.size)


class GlyphSampler:
    """Batches of images, a pure function of (seed, step): fresh ones, so that no epoch ends.

    Where the corpus limits its images, that many are drawn once, the same for every seed, and
    come in another order in each pass.
    """

    def __init__(self, corpus: GlyphCorpus, batch: int, seed: int) -> None:
        check_count("batch", batch)
        check_count("seed", seed, least=0)
        self.corpus, self.batch_size, self.seed = corpus, batch, seed
        self._training = corpus.training(seed)

    @cached_property
    def _limited(self) -> tuple[np.ndarray, np.ndarray]:
        return self.corpus.limited()

    def epochs(self, steps: int) -> float:
        """Passes over the data: none is ever complete where no image comes twice."""
        return steps * self.batch_size / self.corpus.images if self.corpus.images else 0.0

    def kept_bytes(self, steps: int) -> int:
        """Most that `steps` steps leave in the corpus cache."""
        if not self.corpus.quasirandom:
            return 0
        return self._training.bytes_for(self.corpus.images or steps * self.batch_size)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Step `step` (0-based): uint8 (batch, size, size, 1) and classes, int64 (batch,)."""
        check_count("step", step, least=0)
        first = step * self.batch_size
        if self.corpus.images is not None:
            pictures, labels = self._limited
            numbers = np.arange(first, first + self.batch_size)
            chosen = shuffled(numbers, len(labels), self.seed)
            return pictures[chosen], labels[chosen]
        if self.corpus.quasirandom:
            return self._training.read(first, self.batch_size)
        return self.corpus.draw(_stream(_TRAIN, self.seed, step), self.batch_size)


def load_glyphs(
    name: str,
    classes: int = 256,
    augment: str = "light",
    size: int = 32,
    images: int | None = None,
    exponent: float = 1.0,
    offset: float = 1.0,
    polarity: str = "random",
    draw: str = "random",
    cache: str | Path | None = None,
) -> GlyphCorpus:
    """The corpus 'glyphs': `classes` characters as grey images of `size` pixels a side.

    Training images never repeat, unless `images` says how many distinct ones there are. Class k,
    from 0, has a frequency proportional to `(k + offset)^-exponent`; see GlyphCorpus for
    `polarity`, and the head of this file for how to `draw`.

    Which characters: those first in the order of the SHA-256 of their UTF-8 form, so that the
    classes of a small problem are among those of a larger one. Raises InputError for more
    classes than there are characters, numbers or words that mean nothing, or missing packages.
    """
    check_count("classes", classes, least=2)
    check_count("size", size, least=8)
    if images is not None:
        check_count("images", images)
    if not 0 <= exponent < math.inf:
        raise InputError(f"exponent is {exponent:g}, but must be a number of at least 0")
    if not 0 < offset < math.inf:
        raise InputError(f"offset is {offset:g}, but must be a number above 0")
    strength = strength_of(augment, GLYPHS)
    for word, value, known in (("polarity", polarity, POLARITIES), ("draw", draw, DRAWS)):
        if value not in known:
            raise InputError(f"{word} is '{value}', but must be one of {', '.join(known)}")
    versions = _installed_versions()
    key = f"glyphs-{recipe_key({'recipe': _RECIPE, 'versions': versions})}"
    root = cache_root(cache)
    folder, manifest = built(root, key, lambda folder: _render(folder, versions))
    _warn_if_different(manifest, versions)
    characters = (folder / _CHARACTERS).read_text(encoding="utf-8")
    if classes > len(characters):
        raise InputError(f"classes is {classes}, but only {len(characters)} characters are there")
    shape = (len(characters), manifest["faces"], _SIDE, _SIDE)
    options = f"recipe={_RECIPE} classes={classes} augment={augment} size={size}"
    later = (
        ("images", images, None),
        ("exponent", float(exponent), 1.0),
        ("offset", float(offset), 1.0),
        ("polarity", polarity, "random"),
        ("draw", draw, "random"),
    )
    # at its default an option that came later leaves the hash as it was
    options += "".join(f" {word}={value}" for word, value, usual in later if value != usual)
    digest = hashlib.sha256(f"{manifest['sha256']} {options}".encode()).hexdigest()
    return GlyphCorpus(
        name,
        np.asarray(map_bytes(folder / _ATLAS, shape)),
        characters[:classes],
        digest,
        strength,
        size,
        manifest,
        root / f"drawn-{digest[:16]}",
        images,
        exponent,
        offset,
        polarity,
        draw == "quasirandom",
    )


def weyl(number: np.ndarray, start: np.integer) -> np.ndarray:
    """Evenly spread places in [0, 1) of a sequence, float64: steps of the golden ratio, modulo 1.

    number: int64, 0-based; start: uint64, the first place times 2^64. Any n of them in a row put
    n p into an interval of length p, give or take 3 + 3.52 ln n (Kuipers and Niederreiter 1974,
    "Uniform distribution of sequences", theorem 2.3.4; Weyl's sequence for the golden ratio) and,
    as measured, less than 4 for n up to a million. A random start makes every place uniformly
    distributed (Cranley and Patterson 1976). Whole numbers, so that all machines agree.
    """
    turned = start + number.astype(np.uint64) * _GOLDEN
    return (turned >> np.uint64(11)) * 2.0**-53


def systematic(number: np.ndarray, total: int, start: float) -> np.ndarray:
    """Evenly spread places in [0, 1) of `total` images, float64, in random order.

    number: int64, 0-based; start: the first place times `total`, in [0, 1).
    """
    return (shuffled(number, total, seed=0) + start) / total


def _stream(*key: int) -> np.random.Generator:
    """An independent random stream for each (purpose, seed, step)."""
    return np.random.default_rng(key)


def _installed_versions() -> dict[str, str]:
    versions = {}
    for package in sorted([*VERSIONS, "fonttools"]):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError as error:
            raise InputError(
                f"the corpus 'glyphs' is drawn with {package}, which is not installed: "
                f"run `pip install {package}`"
            ) from error
    return versions


def _render(folder: Path, versions: dict[str, str]) -> Manifest:
    """Draw every usable character in every face; writes the atlas and the characters."""
    from PIL import ImageFont

    paths = _face_files()
    basic = ImageFont.Layout.BASIC  # the other engine is an optional part of Pillow
    faces = [ImageFont.truetype(str(path), _FONT_PIXELS, layout_engine=basic) for path in paths]
    seen: set[bytes] = set()
    kept: list[str] = []
    with (folder / _ATLAS).open("wb") as file:
        for character in tqdm(
            _common_characters(paths), desc="corpus 'glyphs'", delay=2, leave=False
        ):
            pictures = [_draw_character(character, face) for face in faces]
            # Two classes that look the same in some face could not be told apart.
            if all(any(picture) and picture not in seen for picture in pictures):
                file.writelines(pictures)
                kept.append(character)
            seen.update(pictures)
    (folder / _CHARACTERS).write_text("".join(kept), encoding="utf-8")
    files = [folder / _ATLAS, folder / _CHARACTERS]
    sizes = {path.name: path.stat().st_size for path in files}
    made = {"faces": len(faces), "characters": len(kept), "packages": versions}
    return {"name": "glyphs", "sizes": sizes, "sha256": sha256_files(files), **made}


def _draw_character(character: str, face: ImageFont.FreeTypeFont) -> bytes:
    from PIL import Image, ImageDraw

    image = Image.new("L", (_SIDE, _SIDE))
    place = (_SIDE / 2, _BASELINE)
    ImageDraw.Draw(image).text(place, character, font=face, fill=255, anchor="ms")
    pixels = np.asarray(image).copy()
    pixels[[0, -1], :] = pixels[:, [0, -1]] = 0  # what lies beyond the edge repeats the edge
    return pixels.tobytes()


def _face_files() -> list[Path]:
    """The twelve faces: Sans, Sans Mono and Serif, each plain, bold, oblique, bold oblique."""
    found = [
        Path(str(file.locate()))
        for file in metadata.distribution("matplotlib").files or ()
        if file.suffix == ".ttf" and file.name.startswith("DejaVu") and "Display" not in file.name
    ]
    if len(found) != 12:
        raise InputError(
            f"matplotlib carries {len(found)} DejaVu faces here instead of 12: "
            "run `pip install --force-reinstall matplotlib`"
        )
    return sorted(found, key=lambda path: path.name)


def _common_characters(paths: list[Path]) -> list[str]:
    """Characters of all faces with a shape of their own, in the order of the classes."""
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    tables = []
    for path in paths:
        with TTFont(path, lazy=True) as font:
            tables.append(set(font.getBestCmap()))
    common = map(chr, set.intersection(*tables))
    # No control characters, no spaces, no marks that need a letter to stand on.
    drawn = [sign for sign in common if unicodedata.category(sign)[0] not in "CMZ"]
    return sorted(drawn, key=lambda sign: hashlib.sha256(sign.encode()).digest())


def _warn_if_different(manifest: Manifest, versions: dict[str, str]) -> None:
    if manifest["sha256"] == SHA256:
        return
    changed = [
        f"{name} {versions[name]} (recorded: {have})"
        for name, have in VERSIONS.items()
        if versions[name] != have
    ]
    cause = ", ".join(changed) or "another build of FreeType in Pillow"
    warnings.warn(
        f"the corpus 'glyphs' differs from the recorded one because of {cause}: losses cannot be "
        "compared exactly with recorded runs; `pip install -r requirements.txt` restores it",
        stacklevel=4,
    )
