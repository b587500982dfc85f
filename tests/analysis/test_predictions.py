"""Predictions before the runs, written and read, and held against what was measured."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner, Result
from factories import grid, random_law

from simlib.analysis.calibration import smaller_half
from simlib.analysis.predictions import (
    CATALOG,
    Evaluation,
    allowed,
    best_forms,
    by_form,
    chosen,
    coverage_verdict,
    evaluate,
    fit_forms,
    judged,
    measured_losses,
    planned,
    predict,
)
from simlib.cli.predict import command
from simlib.errors import InputError
from simlib.fit import OBJECTIVES
from simlib.fit.compare import Target
from simlib.fit.fittedlaw import FittedLaw, Range
from simlib.laws.law import JointLaw
from simlib.pages import charts, extrapolation
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, RunTable, write_table

LAW = JointLaw(a_S=10.0, b_S=0.7, c_S=30.0, b_N=0.3, a_D=2e5, b_D=0.4, c=0.5)
RANGE = Range((0, 0.9), (6e3, 5e4), (1e5, 4e6))
TRUTH = FittedLaw(
    "truth",
    LAW,
    JointLaw.from_vector(np.tile(LAW.vector(), (20, 1))),
    runs=9,
    log_rmse=0.02,
    range=RANGE,
)


@pytest.fixture
def law_file() -> FittedLaw:
    return TRUTH


def runs_of(seed: int) -> RunTable:
    rng = np.random.default_rng(seed)
    drawn = grid(random_law(rng), 0.005, rng)
    columns = zip(*vars(drawn).values(), strict=True)
    return RunTable(
        RunRecord(
            family="gpt",
            run_id=str(i),
            sparsity=S,
            nonzero_params=round(N),
            data_seen=round(D),
            loss=L,
        )
        for i, (S, N, D, L) in enumerate(columns)
    )


def test_a_planned_run_has_the_size_that_is_built():
    config = RunConfig(nonzero_params=24_576, sparsity=0.875, data_seen=1_000_000, seq_len=64)
    (target,) = planned([config])
    assert target.name == config.run_id
    assert target.measured is None
    assert target.nonzero_params == config.shape.dense_params * 0.125
    assert target.data_seen == config.total_steps * 8 * 64


def test_an_exact_law_predicts_its_loss_and_an_interval_of_its_residuals(law_file, tmp_path):
    targets = [Target("a", 0.5, 1e5, 1e6), Target("b", 0.0, 2e5, 1e6, measured=2.0)]
    found = predict("mine", {"by": "a test"}, by_form(law_file), targets, 0.9)
    said = found.runs[0].forecasts["joint"]
    assert said is not None
    assert said.loss == pytest.approx(float(LAW(0.5, 1e5, 1e6)))
    assert np.log(said.high / said.loss) == pytest.approx(1.645 * 0.02, rel=1e-3)
    assert found.forms["joint"].coefficients["b_N"] == pytest.approx(0.3)
    CATALOG.write(tmp_path / "mine.json", found)
    assert CATALOG.load(str(tmp_path / "mine.json")) == found
    assert measured_losses(found) == {"b": 2.0}
    assert extrapolation.beyond(found.runs, RANGE)[-1] == "4.0 times the largest size"


def test_a_free_multiplier_refuses_a_sparsity_that_it_has_not_seen():
    runs = runs_of(0)
    laws = fit_forms(runs, ["free-multiplier"], OBJECTIVES["t5-c4"], resamples=20, seed=0)
    targets = [Target("seen", 0.75, 1e8, 1e10), Target("unseen", 0.6, 1e8, 1e10)]
    found = predict("x", {}, laws, targets, 0.9)
    assert found.runs[0].forecasts["free-multiplier"] is not None
    assert found.runs[1].forecasts["free-multiplier"] is None
    rows = evaluate(found, {"seen": 2.0, "unseen": 2.0})
    assert [run.run_id for run in rows[0].runs] == ["seen"]
    with pytest.raises(InputError, match="unknown form"):
        fit_forms(runs, ["no-such"], OBJECTIVES["t5-c4"], resamples=20, seed=0)


def test_held_counts_what_lies_inside_and_signs_the_bias(law_file):
    targets = [Target(str(i), S, 1e5, 1e6) for i, S in enumerate((0.0, 0.5, 0.75))]
    found = predict("mine", {}, by_form(law_file), targets, 0.9)
    truth = {t.name: float(LAW(t.sparsity, t.nonzero_params, t.data_seen)) for t in targets}
    assert evaluate(found, {}) == []
    (exact,) = evaluate(found, truth)
    assert exact.inside == 3
    assert exact.rmse == pytest.approx(0, abs=1e-12)
    said, seen = extrapolation.steps(exact)
    assert len(said) == 2
    assert (seen < 0).all()
    assert seen == pytest.approx(said)
    (low,) = evaluate(found, {k: v * 1.1 for k, v in truth.items()})
    assert low.inside == 0
    assert coverage_verdict(low) == "fewer than"
    assert coverage_verdict(exact) == "no fewer than"
    assert low.bias == pytest.approx(-np.log(1.1))
    assert low.rmse == pytest.approx(np.log(1.1))
    with pytest.raises(InputError, match="predicts none"):
        chosen([low], "capacity")
    with pytest.raises(InputError, match="nothing was measured"):
        best_forms([], 0.1)


def test_all_that_was_predicted_is_judged_or_none_of_it(law_file, tmp_path):
    targets = [Target(str(i), 0.5, 1e5, 1e6 * 2**i) for i in range(4)]
    CATALOG.write(tmp_path / "said.json", predict("mine", {}, by_form(law_file), targets, 0.9))
    said = CATALOG.load(str(tmp_path / "said.json"))
    runs = RunTable(
        RunRecord(
            run_id=t.name,
            sparsity=t.sparsity,
            nonzero_params=100_000,
            data_seen=round(t.data_seen),
            loss=float(LAW(0.5, 1e5, t.data_seen)) * 1.01,
        )
        for t in targets
    )
    row = judged(said, runs)
    assert row.rmse == pytest.approx(np.log(1.01))
    assert (len(row.runs), row.inside) == (4, 4)
    assert 0 <= allowed(said, row) < 4
    with pytest.raises(InputError, match="1 of the 4 runs that were predicted"):
        judged(said, RunTable(runs.records[1:]))


def test_errors_common_to_all_runs_allow_more_misses():
    """Where the law itself is uncertain, one wrong law puts many runs outside at once."""
    rng = np.random.default_rng(0)
    members = np.tile(LAW.vector(), (400, 1))
    members[:, -1] *= np.exp(0.1 * rng.standard_normal(400))  # the floor
    unsure = replace(TRUTH, ensemble=JointLaw.from_vector(members), log_rmse=1e-4)
    sure = replace(TRUTH, ensemble=JointLaw.from_vector(np.tile(LAW.vector(), (400, 1))))
    targets = [Target(str(i), 0.5, 1e5, 1e6 * 1.1**i) for i in range(20)]
    common, alone = (predict("x", {}, by_form(f), targets, 0.9).allowed for f in (unsure, sure))
    assert alone["joint"] in range(2, 6)  # 4 of 20 at 90%, were it binomial
    assert common["joint"] > alone["joint"]


def test_a_form_that_leaves_runs_out_is_not_the_best(law_file):
    targets = [Target("0", 0.0, 1e5, 1e6), Target("1", 0.5, 1e5, 1e6)]
    found = predict("mine", {}, by_form(law_file), targets, 0.9)
    truth = {t.name: 1.01 * float(LAW(t.sparsity, t.nonzero_params, t.data_seen)) for t in targets}
    (whole,) = evaluate(found, truth)
    (part,) = evaluate(found, {"0": truth["0"] / 1.01})
    assert part.rmse < whole.rmse
    assert best_forms([part, whole], 0.1) == [whole]
    rows = extrapolation.ranking({"a": [whole], "none yet": []}, 0.1).rows
    assert rows == [("joint", "1.00% *", "–")]
    charts.enable()
    for chart in (
        extrapolation.misses([whole], 0.9),
        extrapolation.predicted_losses(whole),
    ):
        assert "joint" in chart.to_dict()["description"]
    assert len(extrapolation.held_table([whole], 0.9).rows) == 1


def test_places_are_told_apart_by_size_and_by_data(law_file):
    """Steps of sparsity are taken within a size and an amount of data, whatever the order."""
    cells = [(S, N, D) for N, D in ((4e5, 1e6), (1e5, 3e6)) for S in (0.75, 0.0, 0.5)]
    targets = [Target(str(i), *cell) for i, cell in enumerate(cells)]
    found = predict("mine", {}, by_form(law_file), targets, 0.9)
    (row,) = evaluate(found, {t.name: 2.0 - t.sparsity for t in targets})
    assert [mine.tolist() for mine in extrapolation.places(row.runs).values()] == [
        [3, 4, 5],
        [0, 1, 2],
    ]
    fitted = Range((0.0, 0.75), (1e4, 1e5), (1e5, 1e6))
    assert extrapolation.beyond(row.runs, fitted) == [
        "3.0 times the most data",
        "4.0 times the largest size",
    ]
    said, seen = extrapolation.steps(row)
    assert len(said) == len(seen) == 4
    assert (seen < 0).all()
    values = extrapolation.predicted_losses(row).to_dict()["data"]["values"]
    assert len({v["place"] for v in values}) == 2


def simlib_predict(*args: str) -> Result:
    return CliRunner().invoke(command, args, catch_exceptions=False)


def test_the_command_predicts_a_larger_half_and_a_grid_that_was_never_trained(tmp_path):
    runs, path = runs_of(3), tmp_path / "runs.csv"
    write_table(path, runs)
    done = simlib_predict(
        "--runs",
        str(path),
        "--share",
        "0.5",
        "--form",
        "joint",
        "--form",
        "average-params",
        "--resamples",
        "20",
        "--json",
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    larger = {r.run_id: r.loss for r in smaller_half(runs)[1]}
    assert {r["run_id"]: r["measured"] for r in found["runs"]} == pytest.approx(larger)
    assert set(found["forms"]) == {"joint", "average-params"}
    grid_file = tmp_path / "next.yaml"
    grid_file.write_text(
        "# larger runs\nbase: {data_seen: 1000000}\nruns:\n"
        "  - {nonzero_params: 110592, sparsity: [0, 0.75]}\n"
    )
    saved = tmp_path / "next.json"
    done = simlib_predict(
        "--runs",
        str(path),
        "--grid",
        str(grid_file),
        "--form",
        "joint",
        "--resamples",
        "20",
        "--save",
        str(saved),
    )
    assert done.exit_code == 0, done.output
    assert "75.0% sparse" in done.stdout
    assert [r.measured for r in CATALOG.load(str(saved)).runs] == [None, None]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--grid", "x.yaml"), "give a law"),
        (("--law", "t5-c4-refit"), "name a grid"),
        (("--law", "t5-c4-refit", "--share", "0.5"), "--share splits a table"),
    ],
)
def test_what_is_missing_is_named(args, said):
    with pytest.raises(InputError, match=said):
        simlib_predict(*args)


def test_an_evaluation_counts_by_the_interval_of_each_run():
    """Bounds of 10% below and 20% above: what is outside, and by how much it must be widened."""
    measured = np.array([0.95, 1.0, 1.1, 1.25, 0.8])
    one = np.ones(5)
    found = Evaluation(one, one / 1.1, one * 1.2, measured, 0.9)
    assert (found.inside, found.missed, found.coverage) == (3, 2, 0.6)
    assert found.ratios.tolist() == pytest.approx(
        [
            np.log(1 / 0.95) / np.log(1.1),
            0,
            np.log(1.1) / np.log(1.2),
            np.log(1.25) / np.log(1.2),
            np.log(1.25) / np.log(1.1),
        ]
    )
    wide = Evaluation(one, one * 1.1**-found.widen, one * 1.2**found.widen, measured, 0.9)
    assert wide.ratios.max() == pytest.approx(1.0)
    halves = Evaluation(one, one / 1.1, one * 1.2, measured, 0.5)
    assert halves.widen == 1.0  # the third of five lies inside
