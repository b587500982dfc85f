"""Repeated data: fresh data counts in full, repeats less and less, and never without end."""

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.laws.law import PUBLISHED
from simlib.laws.repeated import PUBLISHED_REPEATED, Repetition, WithRepeats

GRID = np.array([0.0, 0.5, 0.75, 0.9375])


def test_up_to_the_distinct_data_everything_is_fresh():
    law = WithRepeats(PUBLISHED["t5-c4"], PUBLISHED_REPEATED.data)
    for D in (1e6, 1e9, 1e12):
        np.testing.assert_array_equal(PUBLISHED_REPEATED.data.effective(GRID, D, 1e12), D)
        np.testing.assert_allclose(law(GRID, 1e8, D, 1e12), PUBLISHED["t5-c4"](GRID, 1e8, D))


def test_a_first_repeat_is_worth_nearly_a_fresh_pass_and_many_are_worth_r():
    R = PUBLISHED_REPEATED.data.saturation(GRID)
    a_little = PUBLISHED_REPEATED.data.effective(GRID, 1e9 * (1 + 1e-6), 1e9)
    np.testing.assert_allclose(a_little - 1e9, 1e3, rtol=1e-4)
    np.testing.assert_allclose(
        PUBLISHED_REPEATED.data.effective(GRID, 1e13, 1e9), 1e9 * (1 + R), rtol=1e-12
    )


def test_what_is_learnt_rises_with_passes_and_every_pass_adds_less():
    passes = 1e9 * np.arange(1, 40.0)
    worth = Repetition(4.0, 1.0).effective(0.5, passes, 1e9)
    assert (np.diff(worth) > 0).all()
    assert (np.diff(worth, 2) < 0).all()
    assert (worth <= passes).all()


def test_published_sparse_models_learn_more_from_repeats_than_dense_ones():
    worth = PUBLISHED_REPEATED.data.effective(GRID, 16e9, 1e9)
    assert (worth[1:] > worth[0]).all()


def test_the_published_law_without_repeats_or_excess_is_its_dense_law():
    law = PUBLISHED_REPEATED
    D = 1e11
    small = float(law.best_params(0.0, D)) / 10
    dense = law.E + law.A / small**law.alpha + law.B / D**law.beta
    assert float(law(0.0, small, D, D)) == pytest.approx(float(dense), rel=1e-12)


def test_the_best_size_for_distinct_data_is_where_a_budget_is_best_spent():
    law, D = PUBLISHED_REPEATED, 1e10
    for S in GRID:
        N = float(law.best_params(S, D)) * np.exp(np.linspace(-0.5, 0.5, 101))
        size = law.A * law.sparsity_factor(S) * N**-law.alpha
        data = law.B * (D * N[50] / N) ** -law.beta
        assert int(np.argmin(size + data)) == 50


def test_more_distinct_data_never_hurts_and_impossible_values_are_refused():
    U = np.geomspace(1e7, 1e12, 30)
    losses = PUBLISHED_REPEATED(0.75, 1e9, 1e11, U)
    assert (np.diff(losses) <= 1e-12).all()
    with pytest.raises(InputError, match="distinct must be positive"):
        PUBLISHED_REPEATED.data.effective(0.5, 1e9, 0.0)
    with pytest.raises(InputError, match=r"sparsity must lie in \[0, 1\)"):
        PUBLISHED_REPEATED(1.0, 1e9, 1e9, 1e9)
