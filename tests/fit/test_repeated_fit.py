"""The worth of repeated data: a virtual truth comes back, and wrong readings show."""

import itertools

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.fit.repeated import READINGS, RepeatedRuns, fit_repeated, left_out
from simlib.laws.repeated import Repetition, WithRepeats
from simlib.laws.rivals import DensityPower

TRUTH = WithRepeats(DensityPower(6.0, 0.5, 0.25, 4000.0, 0.6, 0.7), Repetition(4.4, 1.0))
CELLS = np.array(
    list(itertools.product([0, 0.5, 0.75], [3e3, 2.5e4], [12e3, 36e3, 108e3], [4e3, 5e4]))
).T


def runs(noise: float, law: WithRepeats = TRUTH, seed: int = 0) -> RepeatedRuns:
    scatter = np.exp(noise * np.random.default_rng(seed).standard_normal(CELLS.shape[1]))
    S, N, D, U = CELLS
    return RepeatedRuns(S, N, D, law(*CELLS) * scatter, U)


def test_a_law_comes_back_from_its_own_losses():
    found = fit_repeated(runs(0.0), starts=3)
    np.testing.assert_allclose(found.law.law.vector(), TRUTH.law.vector(), rtol=1e-5)
    np.testing.assert_allclose(
        found.law.repetition.saturation(CELLS[0]), TRUTH.repetition.saturation(CELLS[0]), rtol=1e-5
    )
    assert found.log_rmse < 1e-8
    assert found.free == 8


@pytest.mark.slow
def test_with_noise_the_interval_holds_the_truth_and_the_right_reading_predicts_best():
    noisy = runs(0.004)
    shown = (READINGS[0], READINGS[1], READINGS[-1])
    found = {r.name: fit_repeated(noisy, r, starts=2) for r in shown}
    errors = {r.name: np.sqrt((left_out(noisy, r, found[r.name]) ** 2).mean()) for r in shown}
    assert errors["fitted R(S)"] == min(errors.values())
    assert 0.001 < found["fitted R(S)"].log_rmse < errors["fitted R(S)"]
    best = fit_repeated(noisy, starts=1, resamples=40)
    low, high = best.interval(lambda law: law.repetition.R, level=0.98)
    assert low < TRUTH.repetition.R < high


def test_where_repeats_are_fresh_r_is_large():
    fresh = runs(0.0, WithRepeats(TRUTH.law, Repetition(1e9)))
    found = fit_repeated(fresh, READINGS[3], starts=3)
    assert float(found.law.repetition.R) > 100


def test_runs_that_tell_nothing_of_repeats_are_refused():
    S, N, D, U = CELLS
    with pytest.raises(InputError, match="no run sees its data more than once"):
        RepeatedRuns(S, N, D, D, D)
    keep = slice(0, 7)
    with pytest.raises(InputError, match="one value of sizes"):
        RepeatedRuns(S, np.ones_like(N), D, D, U)
    few = runs(0.0)
    few = RepeatedRuns(*(getattr(few, name)[::5][keep] for name in "SNDLU"))
    with pytest.raises(InputError, match="7 runs cannot fix 8 coefficients"):
        fit_repeated(few)
    with pytest.raises(InputError, match="without resampling"):
        fit_repeated(runs(0.0), starts=1).interval(lambda law: law.repetition.R)
