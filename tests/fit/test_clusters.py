"""Runs that err together are drawn together, and only then do intervals cover."""

import numpy as np
import pytest

from simlib.claims.designs import OURS, drawn, language_rows
from simlib.claims.truths import PILOT, TRUTHS
from simlib.fit import fit
from simlib.fit.bootstrap import resample_runs
from simlib.fit.objective import DEFAULT_OBJECTIVE
from simlib.fit.preparation import prepare
from simlib.laws.law import JOINT
from simlib.runs.cells import curve_index


def test_a_cluster_is_drawn_whole_and_weights_add_up():
    runs = drawn(language_rows(), TRUTHS["joint"], PILOT, OURS, np.random.default_rng(0))
    curve = curve_index(runs.sparsity, runs.nonzero_params)
    assert curve.max() + 1 == 24
    rng = np.random.default_rng(1)
    problem = prepare(runs, JOINT, DEFAULT_OBJECTIVE, 1, rng)[0].problem
    weights = resample_runs(problem, 50, rng, curve).weights
    assert weights.shape == (50, len(runs))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    for i in range(curve.max() + 1):
        assert np.ptp(weights[:, curve == i], axis=1).max() == pytest.approx(0.0, abs=1e-12)
    assert (weights == 0).any()


@pytest.mark.slow
def test_intervals_cover_where_shapes_miss_the_law_only_if_curves_are_drawn_whole():
    """The worth at 75%, 16 tables: rows drawn one by one cover it in about half of them."""
    worth = float(PILOT.law.multiplier(0.75))
    inside = {"rows": 0, "curves": 0}
    rows = language_rows()
    for seed in range(16):
        runs = drawn(rows, TRUTHS["joint"], PILOT, OURS, np.random.default_rng(seed))
        ways = {"rows": None, "curves": curve_index(runs.sparsity, runs.nonzero_params)}
        for way, clusters in ways.items():
            found = fit(
                runs,
                starts=4,
                resamples=60,
                profile_resamples=0,
                clusters=clusters,
            )
            low, high = np.quantile(found.ensemble.multiplier(0.75), [0.05, 0.95])
            inside[way] += low <= worth <= high
    assert inside["curves"] >= 13
    assert inside["rows"] <= 11
