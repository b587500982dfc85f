"""Forecasts: intervals that mean what they say, distances, and memory that does not grow."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from factories import random_law

from simlib.datasets import law_names, load_law
from simlib.datasets.published import T5_XL
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw, Range
from simlib.laws.law import DenseLaw, JointLaw
from simlib.laws.optimum import optimal_sparsity
from simlib.simulate.blocks import summarise
from simlib.simulate.forecast import (
    compare,
    distance,
    fitted_alike,
    forecast,
    mixture_quantile,
)

T5 = load_law("t5-c4-refit")
INSIDE = (0.5, 1e7, 3e10)


def law_file(members=200, spread=0.02, seed=0, **known):
    """A law with an ensemble scattered about it, and what else is known of it."""
    rng = np.random.default_rng(seed)
    law = random_law(rng)
    factors = np.exp(spread * rng.standard_normal((members, 7)))
    known = {"log_rmse": 0.01, "range": Range((0, 0.75), (1e6, 1e8), (1e8, 1e10))} | known
    return FittedLaw("test", law, JointLaw.from_vector(law.vector() * factors), **known)


def test_without_noise_the_interval_is_the_ensembles_own():
    found = forecast(T5, *INSIDE, noise=0.0)
    low, high = T5.interval(lambda law: law(*INSIDE))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.loss == pytest.approx(T5.law(*INSIDE))


def test_an_ensemble_without_spread_leaves_the_normal_interval_of_the_noise():
    one = law_file(spread=0.0)
    found = forecast(one, 0.5, 1e7, 1e9, noise=0.02, level=0.9)
    assert np.log(found.high / found.loss) == pytest.approx(1.645 * 0.02, rel=1e-3)
    assert np.log(found.loss / found.low) == pytest.approx(1.645 * 0.02, rel=1e-3)


def test_simulated_runs_fall_into_the_interval_at_its_level():
    """A truth drawn from the ensemble itself, measured with the noise that was declared."""
    file, rng = law_file(members=400, spread=0.01), np.random.default_rng(1)
    S, N, D = (
        rng.choice([0.0, 0.5, 0.75], 60),
        rng.uniform(1e6, 1e8, 60),
        rng.uniform(1e8, 1e10, 60),
    )
    found = forecast(file, S, N, D, level=0.8)
    truths = JointLaw.from_vector(file.ensemble.vector()[rng.integers(0, 400, 300)]).expand(1)
    losses = truths(S, N, D) * np.exp(0.01 * rng.standard_normal((300, 60)))
    inside = ((losses >= found.low) & (losses <= found.high)).mean()
    assert inside == pytest.approx(0.8, abs=0.03)


def test_more_noise_higher_level_and_widening_all_widen():
    def width(**options):
        found = forecast(T5, *INSIDE, **options)
        return float(np.log(found.high / found.low))

    assert width(noise=0.02) > width(noise=0.01) > width(noise=0.0)
    assert width(level=0.95) > width(level=0.5)
    assert width(widen=2.0) == pytest.approx(2 * width())


def test_blocks_do_not_change_the_answer_and_points_broadcast():
    S, N = np.array([0.0, 0.5, 0.75])[:, None], np.geomspace(1e6, 1e9, 4)
    whole, cut = forecast(T5, S, N, 1e10), forecast(T5, S, N, 1e10, block=1)
    assert whole.loss.shape == (3, 4)
    np.testing.assert_array_equal(whole.low, cut.low)
    np.testing.assert_array_equal(whole.high, cut.high)


def test_distance_is_one_inside_and_a_factor_outside():
    low, high = map(np.array, T5.fitted_range[1:])
    inside = distance(T5, 0.5, low, high)
    assert (inside.nonzero_params == 1).all()
    assert not inside.far.any()
    assert inside.compute[1] == pytest.approx(1)
    out = distance(T5, [0.0, 0.9375, 0.0], [low[1] * 7, 1e7, low[0] / 5], [high[1], high[0], 3e10])
    np.testing.assert_allclose(out.nonzero_params, [7, 1, 5])
    np.testing.assert_allclose(out.density, [1, 2, 1])
    assert out.far.all()


def test_the_held_out_run_that_the_interval_misses_is_warned_about():
    run = (T5_XL.sparsity, T5_XL.nonzero_params, T5_XL.data_seen)
    found = forecast(T5, *run)
    assert "7.11 times in size" in found.distance.warning("T5-XL")
    assert forecast(T5, *INSIDE).distance.warning() is None


def test_laws_disagree_more_the_farther_they_extrapolate():
    laws = [load_law(name) for name in ("t5-c4", "t5-c4-refit")]
    losses, ratio = compare(laws, 0.75, [2e7, 1e11], [3e10, 1e13])
    assert set(losses) == {"t5-c4", "t5-c4-refit"}
    assert ratio[1] > ratio[0] >= 1


def test_laws_are_alike_that_count_the_same_runs_the_same_way():
    alike = {n for n in law_names() if fitted_alike(load_law(n), T5)}
    assert {"t5-c4", "t5-c4-refit", "t5-c4-authors"} <= alike
    assert not alike & {"t5-c4-refit-total", "vit-jft-refit", "gpt-laptop"}
    assert not fitted_alike(FittedLaw("bare", T5.law, None), T5)


def test_a_mixture_has_the_quantiles_of_its_draws():
    rng = np.random.default_rng(0)
    means = rng.standard_normal((50, 2)) * [0.1, 3.0]
    draws = (means[:, None] + 0.5 * rng.standard_normal((50, 4000, 2))).reshape(-1, 2)
    for share in (0.05, 0.5, 0.95):
        exact = mixture_quantile(means, 0.5, share)
        np.testing.assert_allclose(exact, np.quantile(draws, share, axis=0), atol=0.03)


@pytest.mark.slow
def test_optimal_sparsity_is_summarised_in_memory_that_does_not_grow_with_the_product():
    file, rng = law_file(members=1000), np.random.default_rng(2)
    N, C = np.exp(rng.uniform(14, 25, 20_000)), np.exp(rng.uniform(40, 55, 20_000))
    tracemalloc.start()
    found = summarise(file, optimal_sparsity, N, C, block=200_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # the product alone would take 160 MB
    assert (found.low <= found.high).all()
    at = 777
    one = file.interval(lambda law: optimal_sparsity(law, N[at], C[at]))
    assert (found.low[at], found.high[at]) == (pytest.approx(one[0]), pytest.approx(one[1]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ensemble": None}, "has no ensemble"),
        ({"log_rmse": np.nan}, "log_rmse"),
        ({"range": None}, "range"),
    ],
)
def test_a_law_that_cannot_give_an_interval_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        forecast(replace(T5, **change), *INSIDE)


@pytest.mark.parametrize("point", [(1.0, 1e7, 1e10), (0.5, -1e7, 1e10), (0.5, 1e7, np.nan)])
def test_points_outside_the_domain_are_refused(point):
    with pytest.raises(InputError):
        forecast(T5, *point)
    with pytest.raises(InputError, match="level"):
        forecast(T5, *INSIDE, level=1.5)


def test_a_dense_law_forecasts_dense_runs_only():
    dense = DenseLaw(406.4, 0.34, 410.7, 0.28, 1.69)
    file = replace(T5, law=dense, ensemble=DenseLaw.from_vector(dense.vector()[None]))
    assert forecast(file, 0, 1e8, 1e10).loss == pytest.approx(dense(0, 1e8, 1e10))
    with pytest.raises(InputError, match="S must be 0"):
        forecast(file, 0.5, 1e8, 1e10)
