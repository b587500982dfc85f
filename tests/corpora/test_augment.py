"""Affine sampling: exact where it can be, and bounded everywhere."""

import numpy as np
import pytest

from simlib.corpora.augment import GLYPHS, PHOTOS, Strength, random_affine, to_bytes, warp

STILL = Strength(0, 0, 0, 0, False, 1.0, 0, 0)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), np.uint8)


def test_no_distortion_is_the_identity(pictures):
    matrix = random_affine(np.random.default_rng(0), 5, STILL, 12, 12)
    same = warp(pictures, np.arange(5), matrix, 12)
    assert np.abs(same - pictures).max() < 1e-3


def test_a_quarter_turn_and_a_mirror_are_exact(pictures):
    turn = np.array([[[0, -1, 0], [1, 0, 0]]], np.float32)
    mirror = np.array([[[1, 0, 0], [0, -1, 0]]], np.float32)
    turned, mirrored = (warp(pictures[:1], np.array([0]), m, 12)[0] for m in (turn, mirror))
    assert np.abs(turned - np.rot90(pictures[0], -1)).max() < 1e-3
    assert np.abs(mirrored - pictures[0][:, ::-1]).max() < 1e-3


def test_a_shift_moves_by_its_pixels_and_repeats_the_edge(pictures):
    shift = np.array([[[1, 0, 3], [0, 1, 0]]], np.float32)
    moved = warp(pictures[:1], np.array([0]), shift, 12)[0]
    assert np.abs(moved[:9] - pictures[0, 3:]).max() < 1e-3
    assert np.abs(moved[9:] - pictures[0, 11]).max() < 1e-3


def test_linear_pictures_are_sampled_exactly():
    """Bilinear sampling reproduces a plane at every place inside."""
    row, column = np.mgrid[:20, :20]
    plane = (3 * row + 5 * column).astype(np.uint8)[None, :, :, None]
    strength = Strength(20, 0.2, 0.2, 0.05, True, 1, 0, 0)
    matrix = random_affine(np.random.default_rng(1), 50, strength, 8, 8)
    found = warp(plane, np.zeros(50, int), matrix, 8)[..., 0]
    grid = np.arange(8) - 3.5
    place = np.stack(np.broadcast_arrays(grid[:, None], grid[None, :], 1.0))
    y, x = np.einsum("bij,jhw->ibhw", matrix, place) + 9.5
    np.testing.assert_allclose(found, 3 * y + 5 * x, atol=1e-3)


@pytest.mark.parametrize("strength", [*GLYPHS.values(), *PHOTOS.values()])
def test_draws_stay_within_the_strength(strength):
    matrix = random_affine(np.random.default_rng(0), 2000, strength, 32, 32).astype(float)
    area = np.abs(np.linalg.det(matrix[:, :, :2]))
    assert np.all(np.abs(np.log2(area)) <= 2 * strength.scale + 1e-5)
    assert np.all(np.abs(matrix[:, :, 2]) <= strength.shift * 32 + 1e-5)
    mirrored = (np.linalg.det(matrix[:, :, :2]) < 0).mean()
    assert mirrored == pytest.approx(0.5 if strength.flip else 0, abs=0.05)


def test_noise_is_bounded_and_absent_when_not_asked_for(pictures):
    same = to_bytes(pictures.astype(np.float32), np.random.default_rng(0), STILL)
    assert np.array_equal(same, pictures)
    grey = np.full((500, 8, 8, 1), 128, np.float32)
    noisy = to_bytes(grey, np.random.default_rng(0), GLYPHS["heavy"]).astype(float)
    spread = noisy.std(axis=(1, 2, 3))
    assert spread.max() < 1.5 * 255 * GLYPHS["heavy"].noise
    assert spread.min() < 5


@pytest.mark.parametrize(("channels", "size"), [(1, 16), (3, 20)])
def test_sampling_keeps_the_bits_that_published_runs_saw(channels, size):
    """Arithmetic in 64 bits, whatever number of images is sampled at a time."""
    rng = np.random.default_rng(2)
    source = rng.integers(0, 256, (30, 24, 18, channels), np.uint8)
    which = rng.integers(30, size=150)
    matrix = random_affine(rng, 150, GLYPHS["heavy"], 24, size)
    plain = [plainly(source[n], m, size) for n, m in zip(which, matrix, strict=True)]
    assert np.array_equal(warp(source, which, matrix, size), plain)


def plainly(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The samples of one image, with nothing done in place."""
    grid = np.arange(size, dtype=np.float32) - (size - 1) / 2
    y, x = (
        m[0] * grid[:, None] + m[2] + m[1] * grid[None, :] + np.float32((side - 1) / 2)
        for m, side in zip(matrix, image.shape, strict=False)
    )
    y, x = (np.clip(p, 0, s - 1) for p, s in zip((y, x), image.shape, strict=False))
    top, left = (
        np.minimum(p.astype(int), s - 2) for p, s in zip((y, x), image.shape, strict=False)
    )
    down, right = (y - top)[..., None], (x - left)[..., None]
    a, b, c, d = (image[top + i, left + j].astype(float) for i in (0, 1) for j in (0, 1))
    upper, lower = a + right * (b - a), c + right * (d - c)
    return (upper + down * (lower - upper)).astype(np.float32)
