"""The page on predicted optima shows every point, and says whether the law has changed."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.analysis.optimumcheck import check_optimum
from simlib.analysis.optimumgrid import PredictedOptima, predict_point
from simlib.claims.designs import Scatter, drawn, row
from simlib.claims.truths import PILOT, TRUTHS
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.optimum import chinchilla_flops
from simlib.pages import optimum_check
from simlib.runs.table import RunTable

BASE = {"family": "gpt", "corpus": "python", "batch": 32, "seq_len": 64}
SIZE = 6144


@pytest.fixture(scope="module")
def law_file():
    members = type(PILOT.law).from_vector(np.tile(PILOT.law.vector(), (5, 1)))
    return FittedLaw(
        "truth", PILOT.law, members, {"status": "converged"}, made={"table_sha256": "a"}
    )


@pytest.fixture(scope="module")
def checks(law_file):
    unit = float(chinchilla_flops(PILOT.law, SIZE))
    points = [
        predict_point(law_file, BASE, SIZE, times * unit, cost)
        for cost, times in (("dense", 20.0), ("dense", 40.0), ("sparse", 4.0))
    ]
    optima = PredictedOptima("optima", {}, 0.9, tuple(points))
    cells = {
        (S, p.nonzero_params, D)
        for p in optima.points
        for S, D in zip(p.sparsities, p.data, strict=True)
    }
    rows = [row(*cell, seed) for cell in sorted(cells) for seed in range(3)]
    rng = np.random.default_rng(0)
    runs = RunTable(drawn(rows, TRUTHS["joint"], PILOT, Scatter(0.001, 0.0), rng))
    return [check_optimum(runs, point) for point in optima.points]


def test_every_point_is_drawn_with_both_optima(checks):
    drawn_rows = optimum_check.overview(checks, PILOT.law).to_dict()["data"]["values"]
    assert len(drawn_rows) == 2 * len(checks)
    dense = [r for r in drawn_rows if r["cost"] == optimum_check.COSTS["dense"]]
    assert {r["point"] for r in dense} == {"6,144 at 20 ×", "6,144 at 40 ×"}
    for r in drawn_rows:
        assert 0 <= r["low"] <= r["sparsity"] <= r["high"] < 1
    predicted = [r["sparsity"] for r in dense if r["series"] == optimum_check.PREDICTED]
    assert predicted == [c.point.optimum for c in checks[:2]]


def test_an_open_end_reaches_the_sparsest_runs(checks):
    open_end = replace(checks[0], interval=(0.2, None))
    found = optimum_check.overview([open_end], PILOT.law).to_dict()["data"]["values"][1]
    assert found["high"] == max(open_end.point.sparsities)


def test_a_law_that_was_fitted_again_is_said_to_be_another(checks, law_file):
    same = optimum_check.since(checks, law_file, {"table_sha256": "a"})
    other = optimum_check.since(checks, law_file, {"table_sha256": "b"})
    assert "post hoc" not in same
    assert "post hoc" in other
    assert all(f"{100 * c.point.optimum:.0f}%" in other for c in checks)  # the same law says so
