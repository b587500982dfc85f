"""The page on predicted optima shows every point, and says whether the law has changed."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.analysis.optimumcheck import check_optimum
from simlib.analysis.optimumgrid import PredictedOptima, predict_point
from simlib.analysis.predictions import by_form, predict, recorded
from simlib.claims.designs import Scatter, drawn, row
from simlib.claims.truths import PILOT, TRUTHS
from simlib.fit.fittedlaw import FittedLaw, Range
from simlib.laws.optimum import chinchilla_flops
from simlib.pages import optimum_check
from simlib.runs.table import RunTable

BASE = {"family": "gpt", "corpus": "python", "batch": 32, "seq_len": 64}
SIZE = 6144
RANGE = Range((0.0, 0.8), (1e3, 1e5), (1e6, 1e8))


@pytest.fixture(scope="module")
def law_file():
    members = type(PILOT.law).from_vector(np.tile(PILOT.law.vector(), (5, 1)))
    made = {"table_sha256": "a"}
    return FittedLaw(
        "truth", PILOT.law, members, log_rmse=0.01, status="converged", made=made, range=RANGE
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


def test_the_answer_names_the_side_on_which_the_law_errs(checks):
    denser = [replace(c, best=1 - 0.8 * (1 - c.point.optimum)) for c in checks]
    said = optimum_check.answer(denser, 0.9)
    assert "advice is too low" in said
    assert "0.800" in said
    assert "sparser than the predicted one at all 3 points" in said
    other = [replace(c, best=1 - 1.2 * (1 - c.point.optimum)) for c in checks]
    assert "advice is too high" in optimum_check.answer(other, 0.9)
    mixed = [denser[0], other[1], *(replace(c, best=c.point.optimum) for c in checks[2:])]
    assert "neither too high nor too low" in optimum_check.answer(mixed, 0.9)


def test_forms_are_held_against_losses_and_the_best_sparsity(checks, law_file):
    runs = RunTable(run for check in checks for arm in check.arms for run in arm.runs)
    said = predict("x", {}, by_form(law_file), recorded(runs), 0.9)
    (row,) = optimum_check.form_table(checks, said, runs, 0.9).rows
    assert row[0] == "joint"
    assert row[1].endswith(f"of {len(runs)}")
    advice = [c.point.optimum for c in checks]  # in closed form; the table takes the best of a grid
    ratio = np.exp(
        np.mean([np.log((1 - c.best) / (1 - S)) for c, S in zip(checks, advice, strict=True)])
    )
    assert float(row[3].split()[0]) == pytest.approx(ratio, rel=0.01)


def test_a_single_point_has_no_interval(checks):
    assert "(open to open)" in optimum_check.answer(checks[:1], 0.9)
