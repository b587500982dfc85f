"""Calibration: a true law is found calibrated, a wrong one is found out, and widening mends it."""

import numpy as np
import pytest
from factories import random_law

from simlib.analysis.calibration import (
    calibrate,
    fit_some_predict_others,
    smaller_half,
)
from simlib.datasets import load_law
from simlib.datasets.published import T5_XL, released_runs
from simlib.errors import InputError
from simlib.fit import OBJECTIVES
from simlib.fit.fittedlaw import FittedLaw, Range
from simlib.laws.law import JointLaw
from simlib.runs.table import RunTable
from simlib.simulate.forecast import forecast
from simlib.simulate.virtual import Noise, virtual_runs

LAW = random_law(np.random.default_rng(8))
S, N, D = (
    a.ravel()
    for a in np.meshgrid([0.0, 0.5, 0.75], np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6))
)


def test_runs_drawn_from_the_law_itself_are_covered_at_the_level():
    runs = virtual_runs(LAW, S, N, D, Noise(0.01, 0.0), repeats=2, seed=3)
    found = fit_some_predict_others(*smaller_half(runs), resamples=200, level=0.8)
    assert found.fitted_runs + len(found.measured) == len(runs)
    assert found.coverage == pytest.approx(0.8, abs=0.12)
    assert abs(found.bias) < 0.01
    assert found.widen < 1.5


def test_a_law_that_is_off_is_found_biased_and_widening_covers_what_it_missed():
    runs = virtual_runs(LAW, S, N, D, Noise(0.002, 0.0), seed=3)
    off = JointLaw.from_vector(LAW.vector() * [1, 1, 1, 1, 1, 1, 1.05])
    ensemble = JointLaw.from_vector(np.tile(off.vector(), (5, 1)))
    ranges = Range((0, 0.75), (1e6, 1e9), (1e8, 1e11))
    file = FittedLaw("off", off, ensemble, log_rmse=0.002, range=ranges)
    found = calibrate(file, runs)
    assert found.bias > 0.005
    assert found.coverage < 0.3
    assert found.widen > 2
    wide = forecast(file, runs.sparsity, runs.nonzero_params, runs.data_seen, widen=found.widen)
    assert ((runs.loss >= wide.low) & (runs.loss <= wide.high)).mean() >= 0.9


def test_halves_part_the_table_by_size_times_data():
    runs = virtual_runs(LAW, S, N, D, Noise(0.0, 0.0))
    small, large = smaller_half(runs, 0.3)
    assert len(small) == round(0.3 * len(runs))
    assert sorted(r.run_id for r in (*small, *large)) == sorted(r.run_id for r in runs)
    most = (small.nonzero_params * small.data_seen).max()
    assert most <= (large.nonzero_params * large.data_seen).min()


@pytest.mark.parametrize(("which", "name"), [("vit", "vit-jft"), ("t5", "t5-c4")])
def test_released_runs_are_forecast_from_their_smaller_half(released, which, name):
    found = fit_some_predict_others(
        *smaller_half(released_runs(which)), objective=OBJECTIVES[name], resamples=100
    )
    assert 0 <= found.coverage <= 1
    assert found.rmse < 0.1
    assert abs(found.bias) <= found.rmse
    assert found.widen >= 1


def test_the_held_out_t5_xl_demands_a_wider_interval():
    found = calibrate(load_law("t5-c4-refit"), T5_XL)
    assert found.coverage == 0
    assert found.bias < 0  # predicted below measured
    assert found.widen == pytest.approx(float(found.ratios[0]))
    assert 1 < found.widen < 5


def test_nothing_to_score_and_impossible_shares_are_refused():
    runs = virtual_runs(LAW, S, N, D, Noise(0.0, 0.0))
    with pytest.raises(InputError, match="no run"):
        calibrate(load_law("t5-c4-refit"), RunTable([]))
    with pytest.raises(InputError, match="share"):
        smaller_half(runs, 1.5)
    with pytest.raises(InputError, match="cannot fix"):
        fit_some_predict_others(*smaller_half(RunTable(runs.records[:10])))
