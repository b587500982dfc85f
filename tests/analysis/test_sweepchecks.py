"""What a sweep says of its law, on sweeps drawn from a law and on sweeps that break it."""

from dataclasses import replace

import numpy as np
import pytest
from factories import SWEEP_LAW as LAW
from factories import sweep_law
from factories import sweep_table as table

from simlib.analysis.sweepchecks import (
    before_power_law,
    data_steps,
    identified,
    interaction,
    lack_of_fit,
    order,
    without_shortest,
)
from simlib.errors import InputError
from simlib.fit import DEFAULT_OBJECTIVE
from simlib.fit.fittedlaw import FittedLaw
from simlib.pages import charts, sweeps
from simlib.runs.cells import cells, nominal_sizes, seed_spread
from simlib.runs.table import RunTable


@pytest.fixture
def law_file() -> FittedLaw:
    return sweep_law()


def test_cells_average_seeds_and_sizes_built_a_little_apart():
    runs = table(0.02)
    found = cells(runs)
    assert len(found.runs) == 48
    assert set(found.runs) == {3}
    assert np.average(found.log_loss) == pytest.approx(np.log(runs.loss).mean())
    sizes = nominal_sizes(np.array([6160.0, 6144.0, 12288.0, 12200.0, 6100.0]))
    assert len(set(sizes)) == 2
    assert sizes[0] == sizes[1] == sizes[4]
    with pytest.raises(InputError, match="no finished runs"):
        cells(RunTable([]))


def test_lack_of_fit_is_seen_where_the_law_misses_and_only_there(law_file):
    right, wrong = table(0.02), table(0.02, misfit=0.06)
    fair = lack_of_fit(law_file, right, seed_spread(right))
    assert fair.p > 0.01
    assert fair.misfit < 0.01
    found = lack_of_fit(law_file, wrong, seed_spread(wrong))
    assert found.p < 1e-6
    assert found.misfit == pytest.approx(0.06, rel=0.3)
    few = right.where(data_seen=250000, nonzero_params=6000)
    spread = seed_spread(few)
    with pytest.raises(InputError, match="too few"):
        lack_of_fit(law_file, few, spread)


def test_an_interaction_of_size_and_data_is_found_with_its_sign(law_file):
    plain = table(0.005)
    assert interaction(law_file, plain).sign == 0
    bent = RunTable(
        r.model_copy(
            update={
                "loss": r.loss
                * np.exp(-0.02 * np.log2(r.nonzero_params / 17e3) * np.log2(r.data_seen / 1e6))
            }
        )
        for r in plain
    )
    found = interaction(law_file, bent)
    assert found.sign == 1
    assert found.interval[0] < 0.02 < found.interval[1]


def test_no_power_law_gains_more_from_a_later_doubling_and_a_threshold_does(law_file):
    plain = table(0.002)
    steps = data_steps(law_file, plain)
    assert [(s.low, s.high) for s in steps] == [(2.5e5, 1e6), (1e6, 4e6)]
    assert before_power_law(steps) is None
    assert steps[0].growth is None
    assert steps[1].growth is not None
    assert steps[1].growth.sign == -1
    assert steps[1].gain.mean == pytest.approx(steps[1].predicted, rel=0.05)
    late = RunTable(
        r.model_copy(update={"loss": r.loss * (0.5 if r.data_seen > 2e6 else 1)}) for r in plain
    )
    found = data_steps(law_file, late)
    assert found[1].growth is not None
    assert found[1].growth.sign == 1
    assert before_power_law(found) == 2.5e5
    assert [row[-1] for row in sweeps.data_table(found).rows] == ["", "yes"]
    with pytest.raises(InputError, match="two amounts"):
        data_steps(law_file, plain.where(data_seen=1_000_000))


def test_sparsities_come_in_order_without_noise_and_by_chance_where_they_are_worth_nothing(
    law_file,
):
    quiet = table(1e-6)
    found = order(law_file, quiet, seed_spread(quiet))
    assert found.ordered == found.settings == 12
    assert found.expected == pytest.approx(12)
    assert sweeps.how_often(found) == "about as often as expected"
    assert sweeps.how_often(replace(found, ordered=3)) == "less often than expected"
    assert all(
        step.better == 12 and step.gain.mean == pytest.approx(step.predicted, rel=1e-3)
        for step in found.steps
    )
    useless = replace(LAW, a_S=1e-9, c_S=40.0)
    noisy = table(0.05, repeats=2, law=useless)
    chance = order(replace(law_file, law=useless), noisy, seed_spread(noisy))
    assert chance.expected == pytest.approx(12 / 24, abs=0.1)  # one of 4! orders
    lone = RunTable(r for r in quiet if r.sparsity == 0)
    spread = seed_spread(lone)
    with pytest.raises(InputError, match="every sparsity"):
        order(law_file, lone, spread)


def test_a_fit_without_the_shortest_runs_needs_enough_amounts_of_data():
    runs = table(0.005)
    assert without_shortest(runs, DEFAULT_OBJECTIVE) is None  # two amounts are left
    columns = runs.sparsity, runs.nonzero_params
    later = runs.loss * LAW(*columns, 64 * runs.data_seen) / LAW(*columns, runs.data_seen)
    longer = [
        r.model_copy(
            update={"run_id": f"{r.run_id}-x", "data_seen": r.data_seen * 64, "loss": loss}
        )
        for r, loss in zip(runs, later.tolist(), strict=True)
    ]
    spoilt = RunTable(
        r.model_copy(update={"loss": r.loss * (2 if r.data_seen < 3e5 else 1)})
        for r in [*runs, *longer]
    )
    found = without_shortest(spoilt, DEFAULT_OBJECTIVE, resamples=20)
    assert found is not None
    assert found.log_rmse == pytest.approx(0.005, rel=0.3)
    assert found.fitted_range.data_seen[0] == 1_000_000


def test_identified_are_closed_narrow_profiles(law_file):
    assert identified(law_file) == {"a_S": False, "b_S": True, "c": False}
    rows = {row[0]: row[-1] for row in sweeps.identified_table(law_file).rows}
    assert rows["b_S"] == "yes"
    assert rows["c"] == "no"
    assert rows["b_N"] == "–"


def test_published_values_outside_the_interval_are_named(law_file):
    far = FittedLaw("far", replace(LAW, b_S=2.0), None)
    near = FittedLaw("near", replace(LAW, b_S=0.8), None)
    rows = {row[0]: row for row in sweeps.exponent_table(law_file, [far, near]).rows}
    assert rows["b_S"][-1] == "far"
    assert rows["b_N"][-1] == "none"


@pytest.mark.slow
def test_tables_and_charts_can_be_drawn(law_file):
    runs = table(0.02)
    spread = seed_spread(runs)
    assert len(sweeps.noise_table(law_file, runs, spread).rows) == 6
    assert len(sweeps.order_table(order(law_file, runs, spread)).rows) == 4
    bare = FittedLaw("bare", LAW, None)
    drawn = [
        sweeps.law_curves(law_file, runs, "data_seen"),
        sweeps.law_curves(law_file, runs, "nonzero_params"),
        sweeps.residuals(law_file, runs, spread),
        sweeps.multipliers([law_file, bare]),
        sweeps.optimum_lines(law_file, runs, "dense"),
    ]
    charts.enable()
    for chart in drawn:
        assert len(chart.to_dict()["description"].split()) > 20
