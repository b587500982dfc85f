"""Central intervals hold their share of draws, whatever the draws are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.laws.intervals import quantile_ends, quantile_interval


@given(st.floats(0.05, 0.99), st.integers(0, 9))
def test_the_interval_holds_its_level_of_the_draws_and_moves_with_them(level, seed):
    draws = np.random.default_rng(seed).standard_normal((1001, 2))
    low, high = quantile_interval(draws, level)
    share = ((low <= draws) & (draws <= high)).mean(axis=0)
    np.testing.assert_allclose(share, level, atol=3e-3)
    moved = quantile_interval(7 - 3 * draws, level)
    np.testing.assert_allclose(moved, (7 - 3 * high, 7 - 3 * low), atol=1e-9)


def test_nothing_lies_between_a_number_and_infinity():
    draws = np.array([1.0] * 15 + [2.0] * 4 + [np.inf] * 2)
    low, high = quantile_ends(draws, nearest=True)
    assert (low, high) == (1.0, np.inf)
    assert quantile_ends(draws[:, None], nearest=True) == (low, high)
    assert quantile_ends(draws, 0.5, nearest=True) == (1.0, 2.0)


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_a_level_is_a_share(level):
    with pytest.raises(InputError, match="between 0 and 1"):
        quantile_ends([1.0, 2.0], level)
