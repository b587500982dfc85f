"""From a stranger's file to a law in memory, and the tables and charts that show it."""

import numpy as np
import pytest

from simlib.analysis.calibration import calibrate
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.fit import fit_table
from simlib.laws.law import DenseLaw
from simlib.pages import simulator
from simlib.runs.foreign import parse_columns, read_foreign
from simlib.runs.simulated import is_simulated
from simlib.simulate.allocate import allocate
from simlib.simulate.dense import dense_part
from simlib.simulate.design import recommend
from simlib.simulate.example import stranger_table
from simlib.simulate.limits import Limits
from simlib.simulate.planning import make_plan
from simlib.simulate.virtual import Noise, virtual_runs

VIT = load_law("vit-jft-refit")


@pytest.fixture
def without_released(monkeypatch):
    monkeypatch.setattr("simlib.simulate.example.available", lambda which: False)


def test_the_example_is_read_back_as_written_and_its_fit_has_all_a_plan_needs(
    tmp_path, without_released
):
    example = stranger_table(tmp_path)
    table = read_foreign(example.path, parse_columns(example.columns))
    assert len(table) == 48
    assert table.nonzero_params.max() == pytest.approx(1327104 * 64)
    found = fit_table(table, resamples=30, name="mine")
    assert found.fitted_range.data_seen == (16.384e9, 65.536e9)
    assert any("48 of 48 runs are simulated" in said for said in found.warnings)
    assert found.log_rmse == pytest.approx(0.007, rel=0.3)
    plan = make_plan(found, 1e20, "sparse")
    assert plan.law == "mine"
    assert len(simulator.identified_table(found).rows) == 7


def test_the_example_uses_the_authors_runs_where_they_are_at_hand(tmp_path, released):
    table = read_foreign(
        stranger_table(tmp_path).path, parse_columns(stranger_table(tmp_path).columns)
    )
    found = fit_table(table, resamples=0)
    refit = load_law("t5-c4-refit")
    assert float(found.joint.b_N) == pytest.approx(float(refit.joint.b_N), rel=1e-4)
    assert not any(is_simulated(r) for r in table)


def test_a_table_without_sparse_runs_gets_a_dense_law_and_a_dense_plan():
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e9, 1e12, 5)))
    truth = VIT.joint
    table = virtual_runs(truth, 0.0, N, D, Noise(0.0, 1e-4))
    found = fit_table(table, resamples=20)
    assert isinstance(found.law, DenseLaw)
    assert len(simulator.identified_table(found).rows) == 5
    plan = make_plan(dense_part(found), 1e20)
    best = allocate(truth, 0.0, 1e20)
    assert plan.dense.loss == pytest.approx(float(best.loss), rel=1e-3)
    assert plan.dense.nonzero_params == pytest.approx(float(best.N), rel=0.1)
    assert len(simulator.choices_table([plan.dense]).header) == 2
    with pytest.raises(InputError, match="not a dense law"):
        dense_part(VIT)


def test_tables_of_a_plan_have_a_column_a_run_and_empty_warnings_say_so():
    plan = make_plan(VIT, 1e19, "sparse")
    table = simulator.plan_table(plan)
    assert table.header == ("", "dense", "sparse", "2:4")
    assert all(len(row) == 4 for row in table.rows)
    assert len(simulator.story_table({"a": plan, "b": plan}).rows) == 2
    assert simulator.sentences([]).said == ["nothing to warn of"]
    assert len(simulator.measurement_table(plan.measurements).rows) == len(plan.measurements)
    designs = recommend(VIT.joint, 1e18, 0.01, most_runs=30)
    assert len(simulator.design_table(designs).rows) == len(designs)


@pytest.mark.slow
def test_every_chart_describes_itself(tmp_path, without_released):
    example = stranger_table(tmp_path)
    table = read_foreign(example.path, parse_columns(example.columns))
    checked = calibrate(load_law("t5-c4-refit"), table)
    assert len(simulator.calibration_table({"x": checked}).rows) == 1
    drawn = [
        simulator.gain_against_sparsity([VIT], "sparse"),
        simulator.sparsity_against_serving(VIT, 1e20, "dense", Limits(sparsity=0.9)),
        simulator.fronts(VIT, 1e20, "sparse", Limits(sparsity=0.9)),
        simulator.widths_against_span(np.full((2, 3), 0.5), (3, 4), (4, 8, 16), 0.2, "b_D"),
        simulator.forecast_against_measured(checked, "the example"),
    ]
    for chart in drawn:
        assert len(chart.to_dict()["description"].split()) > 10
