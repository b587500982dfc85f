"""Selection: exactly the k best, ties to the lowest index, whatever the numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simlib.errors import InputError
from simlib.sparsify import OUT, nonzero_target
from simlib.sparsify.select import top_k, top_n_of_m

# few distinct values, so that ties are the rule; zeros, subnormals and huge numbers among them
SCORES = st.lists(
    st.one_of(
        st.sampled_from([OUT, 0.0, 1e-45, 1.0, 1.0000001, 3e38, float("inf")]),
        st.floats(0, 1e6, width=32),
    ),
    min_size=1,
    max_size=200,
)


def by_sorting(scores: Tensor, k: int) -> Tensor:
    order = torch.argsort(scores.flatten(), descending=True, stable=True)
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[order[:k]] = True
    return mask.view(scores.shape)


@pytest.mark.slow
@given(SCORES, st.data())
@settings(max_examples=200, deadline=None)
def test_top_k_keeps_what_a_stable_sort_puts_first(values: list[float], data: st.DataObject):
    scores = torch.tensor(values, dtype=torch.float32)
    k = data.draw(st.integers(0, len(values)))
    assert torch.equal(top_k(scores, k), by_sorting(scores, k))


@pytest.mark.parametrize("pruned", [0.0, 0.7])
def test_top_k_of_many_scores_in_any_layout(pruned: float):
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(300, 200, generator=generator).abs()
    scores[torch.rand(300, 200, generator=generator) < pruned] = OUT
    for view in (scores, scores.t(), scores.bfloat16().float()):
        k = view.numel() // 5
        mask = top_k(view, k)
        assert mask.shape == view.shape
        assert torch.equal(mask, by_sorting(view, k))


@pytest.mark.parametrize("k", [-1, 5])
def test_top_k_refuses_impossible_counts(k: int):
    with pytest.raises(InputError, match="Cannot keep"):
        top_k(torch.ones(4), k)


@given(st.integers(2, 9), st.data())
@settings(max_examples=60, deadline=None)
def test_top_n_of_m_is_top_k_within_each_group(m: int, data: st.DataObject):
    n = data.draw(st.integers(1, m - 1))
    seed = data.draw(st.integers(0, 2**32 - 1))
    scores = torch.from_numpy(np.random.default_rng(seed).integers(-1, 4, (3, 2 * m)))
    groups = scores.float().view(-1, m)
    expected = torch.stack([by_sorting(group, n) for group in groups])
    assert torch.equal(top_n_of_m(scores.float(), n, m), expected.view(3, 2 * m))


@given(st.integers(1, 10**7), st.floats(0, 0.999), st.floats(0, 0.999))
def test_counts_fall_with_sparsity_and_are_within_half_a_unit(size: int, a: float, b: float):
    low, high = sorted((a, b))
    assert nonzero_target(size, low) >= nonzero_target(size, high)
    assert abs(nonzero_target(size, low) - size * (1 - low)) <= 0.5 + 1e-6


def test_halves_round_to_even():
    assert [nonzero_target(size, 0.5) for size in (1, 3, 5, 7)] == [0, 2, 2, 4]
