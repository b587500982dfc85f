"""Patterns: zeros lie where the pattern says, in exactly the number asked for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simlib.errors import InputError
from simlib.sparsify import NM, Block, Global, Pattern, nonzero_target


def uniform(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("text", ["unstructured", "global", "2:4", "4:8", "3:7", "block4x2"])
def test_patterns_read_what_they_write(text: str):
    assert str(Pattern.parse(text)) == text


@pytest.mark.parametrize("text", ["4:2", "4:4", "0:4", "block0x4", "block4", "2-4", "random", ""])
def test_impossible_patterns_are_refused(text: str):
    with pytest.raises(InputError):
        Pattern.parse(text)


@pytest.mark.slow
@given(st.integers(1, 7), st.integers(2, 8), st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_nm_protects_its_choice_on_the_way_and_is_exact_at_the_end(
    n: int, m: int, way: float, seed: int
):
    n = min(n, m - 1)
    pattern, score = NM(n, m), uniform((6, 2 * m), seed)
    least = score.numel() * n // m
    keep = least + round(way * (score.numel() - least))
    (end,), (mid,) = pattern.select([score], [least]), pattern.select([score], [keep])
    assert (end.view(-1, m).sum(1) == n).all()
    assert mid.sum() == keep
    assert (mid & end).sum() == least
    # outside the protected entries the contest is by score alone
    spare, lost = score[mid & ~end], score[~mid]
    assert spare.numel() == 0 or lost.numel() == 0 or spare.min() >= lost.max()


def test_nm_groups_lie_along_the_inputs_of_linear_and_convolution():
    scores = uniform((4, 8, 3, 3))
    (mask,) = NM(2, 4).select([scores], [scores.numel() // 2])
    assert (mask.view(4, 2, 4, 3, 3).sum(2) == 2).all()


def test_global_meets_the_total_by_one_threshold_and_empties_no_tensor():
    scores = [uniform((20, 30)), 100 + uniform((10, 10), 1), 1e-6 * uniform((5, 4), 2)]
    masks = Global().select(scores, [200, 30, 2])
    assert sum(int(mask.sum()) for mask in masks) == 232
    assert masks[2].sum() == 1
    # the middle tensor is far above the rest and stays whole, the first fills what is left
    assert masks[1].sum() == 100
    first, mask = scores[0], masks[0]
    assert first[mask].min() >= first[~mask].max()


def test_blocks_live_or_die_whole_by_their_sum():
    pattern, entries = Block(2, 3), uniform((8, 12))
    pooled = pattern.pool(entries)
    tiles = entries.view(4, 2, 4, 3).sum((1, 3))
    assert torch.allclose(pooled, tiles)
    (kept,) = pattern.select([pooled], [5])
    mask = pattern.expand(kept, entries.shape)
    assert torch.equal(mask.view(4, 2, 4, 3).float().mean((1, 3)), kept.float())
    assert pooled[kept].min() >= pooled[~kept].max()


@pytest.mark.parametrize(
    ("text", "shape", "sparsity"),
    [
        ("2:4", (8, 6), 0.5),
        ("2:4", (8,), 0.5),
        ("block4x4", (6, 8), 0.5),
        ("block4x4", (8, 6), 0.5),
        ("2:4", (8, 8), 0.75),
        ("1:3", (6, 6), 0.5),
        ("unstructured", (2, 4), 0.95),
        ("block4x4", (8, 8), 0.9),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_by_name(
    text: str, shape: tuple[int, ...], sparsity: float
):
    with pytest.raises(InputError, match=r"'body\.weight'"):
        Pattern.parse(text).final_sparsity("body.weight", torch.Size(shape), sparsity)


@pytest.mark.parametrize("asked", [0.667, 2 / 3, 0.6667])
def test_a_typed_third_means_the_pattern_exactly(asked: float):
    sparsity = NM(1, 3).final_sparsity("w", torch.Size((600, 600)), asked)
    assert nonzero_target(360_000, sparsity) == 120_000
