"""Forms side by side: nothing held out is seen, tests keep their level, files keep everything."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from factories import Table, grid, random_law

from simlib.cli.compare import command
from simlib.datasets.published import T5_XL, released_runs
from simlib.errors import InputError
from simlib.fit import FORMS, JOINT, OBJECTIVES, Objective, fit
from simlib.fit.compare import COMPARED, Target, compare, criteria
from simlib.fit.comparefile import CATALOG, ComparisonFile, load_comparison
from simlib.fit.holdout import splits
from simlib.fit.nested import NESTINGS, nested_test
from simlib.laws.extensions import DataFactorLaw, SizeExponentLaw
from simlib.laws.rivals import DensityPower, FreeMultiplier
from simlib.runs.cells import Columns, size_index
from simlib.runs.table import RunRecord, RunTable, write_table

NESTED = {nesting.name: nesting for nesting in NESTINGS}
OBJECTIVE = Objective(0.001, log=True)
TAIL = {"a_D": 3e8, "b_D": 0.45, "c": 1.2}


def noisy(law, seed: int = 0, noise: float = 0.004) -> Table:
    return grid(law, noise, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def table() -> Table:
    return noisy(random_law(np.random.default_rng(4)))


def test_every_run_is_held_out_once_and_sizes_are_told_apart(table):
    runs = Columns(*vars(table).values())
    parts = splits(runs)
    np.testing.assert_array_equal(np.sum(parts["one size"], axis=0), 1)
    np.testing.assert_array_equal(np.sum(parts["one sparsity"], axis=0), runs.sparsity > 0)
    assert len(parts["one size"]) == 5
    assert (runs.nonzero_params[parts["largest size"][0]] == 1e8).all()
    assert (runs.data_seen[parts["longest training"][0]] == 1e10).all()
    jittered = runs.nonzero_params * np.random.default_rng(0).uniform(0.97, 1.03, len(table.loss))
    np.testing.assert_array_equal(size_index(jittered), size_index(runs.nonzero_params))


def test_a_fit_never_sees_the_runs_that_it_is_asked_to_predict(table):
    """Held-out losses, however wrong, move their own errors by exactly their own change."""
    largest = table.nonzero_params == table.nonzero_params.max()
    wrong = np.where(largest, table.loss * 1.7, table.loss)
    spoilt = Table(table.sparsity, table.nonzero_params, table.data_seen, wrong)
    forms = ("joint", "density-power", "free-multiplier")
    here, there = (compare(t, forms, OBJECTIVE, resamples=0, starts=5) for t in (table, spoilt))
    for name in forms:
        before, after = (c.assessment(name).holdout("largest size") for c in (here, there))
        assert after.bias == pytest.approx(before.bias - np.log(1.7), abs=1e-9)


def test_errors_beyond_the_table_are_those_of_a_fit_to_the_rest(table):
    longest = table.data_seen == table.data_seen.max()
    rest = Table(*(v[~longest] for v in vars(table).values()))
    law = fit(rest, JOINT, OBJECTIVE, resamples=0, profile_resamples=0).law
    columns = [v[longest] for v in vars(table).values()]
    error = np.log(law(*columns[:3]) / columns[3])
    found = compare(table, ("joint",), OBJECTIVE, resamples=0).assessment("joint")
    held_out = found.holdout("longest training")
    assert held_out.log_rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
    assert held_out.runs == longest.sum()


def test_the_true_form_wins_out_of_sample_and_by_criteria():
    runs = noisy(DensityPower(a_N=300.0, k=0.5, b_N=0.3, **TAIL))
    forms = ("density-power", "average-params", "activation")
    found = compare(runs, forms, OBJECTIVE, resamples=0)
    for name in ("one size", "one sparsity", "largest size", "longest training"):
        errors = [a.holdout(name).log_rmse for a in found.assessments]
        assert errors[0] == min(errors)
    assert min(found.assessments, key=lambda a: a.bic).form == "density-power"
    assert min(found.assessments, key=lambda a: a.aicc).form == "density-power"


def test_a_parameter_that_does_nothing_costs_its_price():
    residual = np.random.default_rng(0).laplace(size=60)
    (aicc, bic), (more_aicc, more_bic) = criteria(residual, 5), criteria(residual, 6)
    assert more_bic - bic == pytest.approx(np.log(60))
    assert more_aicc > aicc + 2
    assert criteria(residual[:7], 6)[0] is None


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("saturation", random_law(np.random.default_rng(1))),
        (
            "power of density",
            FreeMultiplier(  # that no saturating power can follow
                300.0, 0.3, **TAIL, eff=(1.9, 1.2, 2.6), levels=(0.5, 0.75, 0.875)
            ),
        ),
        (
            "exponent of size",
            SizeExponentLaw(a_S=3000.0, b_S=0.9, b_SN=0.5, c_S=20.0, b_N=0.15, **TAIL),
        ),
        ("amount of data", DataFactorLaw(a_S=150.0, b_S=0.9, c_S=150.0, b_N=0.3, h=-0.5, **TAIL)),
        ("exponent of data", DataFactorLaw(a_S=150.0, b_S=0.9, c_S=150.0, b_N=0.3, h=-0.5, **TAIL)),
    ],
)
def test_a_wider_form_that_is_true_is_found(name, law):
    found = nested_test(noisy(law), NESTED[name], OBJECTIVE, resamples=59, starts=5)
    assert found.p_runs == pytest.approx(1 / 60)
    assert found.p_curves <= 0.05
    assert found.objective_large < found.objective_small
    assert found.largest_change > 0.004


def test_p_values_of_a_true_joint_law_are_roughly_uniform():
    """At most 27% of 30 below 0.1: about three standard errors above the level."""
    found = [
        nested_test(
            noisy(random_law(np.random.default_rng(seed)), seed),
            NESTED[name],
            OBJECTIVE,
            resamples=39,
            starts=3,
            seed=seed,
        )
        for seed in range(15)
        for name in ("exponent of size", "amount of data")
    ]
    for p in ([test.p_runs for test in found], [test.p_curves for test in found]):
        assert np.mean(np.array(p) <= 0.1) <= 0.27
        assert 0.2 <= np.median(p) <= 0.8


def test_curves_that_err_together_do_not_mislead_the_test_by_curves():
    """Each curve of one sparsity and size has one error of its own, as one seed a size would."""
    by_runs, by_curves = [], []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        runs = grid(random_law(rng), 0.001, rng)
        curve = np.unique(
            np.stack([runs.sparsity, runs.nonzero_params]), axis=1, return_inverse=True
        )[1]
        together = runs.loss * np.exp(0.005 * rng.standard_normal(curve.max() + 1)[curve])
        table = Table(runs.sparsity, runs.nonzero_params, runs.data_seen, together)
        found = nested_test(table, NESTED["power of density"], OBJECTIVE, resamples=39, starts=3)
        by_runs.append(found.p_runs <= 0.1)
        by_curves.append(found.p_curves <= 0.1)
    assert np.mean(by_curves) <= 0.34
    assert np.mean(by_runs) > np.mean(by_curves)


def test_a_comparison_is_the_same_twice_and_survives_its_file(table, tmp_path):
    target = Target("beyond", 0.5, 1e9, 1e11, 2.0)
    first, second = (
        compare(
            table,
            ("joint", "density-power"),
            OBJECTIVE,
            targets=[target],
            resamples=9,
            starts=3,
            nestings=[NESTED["saturation"]],
        )
        for _ in range(2)
    )
    assert first == second
    kept = ComparisonFile("try", {"command": "simlib compare"}, first)
    CATALOG.write(tmp_path / "try.json", kept)
    assert load_comparison(str(tmp_path / "try.json")) == kept
    forecast = first.assessment("joint").forecasts[0]
    low, high = forecast.interval
    assert low < forecast.loss < high
    assert forecast.measured == 2.0


def test_what_a_table_cannot_tell_is_said_and_not_guessed(table, tmp_path):
    two = np.unique(table.data_seen)[2:]
    few = Table(*(v[np.isin(table.data_seen, two)] for v in vars(table).values()))
    found = compare(few, ("joint",), OBJECTIVE, resamples=0).assessment("joint")
    held_out = found.holdout("longest training")
    assert held_out.log_rmse is None
    assert "2 different values of data_seen" in held_out.refused
    alone = (table.sparsity == 0.875) & (table.nonzero_params < 1e8)
    one_level = Table(*(v[~alone] for v in vars(table).values()))
    free = compare(one_level, ("free-multiplier",), OBJECTIVE, resamples=0).assessments[0]
    assert free.holdout("largest size").unpredicted == 5
    assert free.holdout("longest training").unpredicted == 0
    assert free.holdout("one sparsity").refused == "no held-out run lies in the law's domain"
    dense = Table(*(v[table.sparsity == 0] for v in vars(table).values()))
    found = compare(dense, ("average-params",), OBJECTIVE, resamples=0).assessments[0]
    assert found.holdout("one sparsity").refused == "the table has no such run"
    with pytest.raises(InputError, match="unknown form 'cubic'"):
        compare(table, ("cubic",))
    with pytest.raises(InputError, match="no comparison named 'nothing'"):
        load_comparison("nothing")
    (tmp_path / "bad.json").write_text('{"name": "x"}')
    with pytest.raises(InputError, match="not a comparison"):
        load_comparison(str(tmp_path / "bad.json"))


def test_command_compares_a_readers_table_and_predicts_another(table, tmp_path):
    def records(rows):
        return RunTable(
            RunRecord(family="gpt", sparsity=s, nonzero_params=round(n), data_seen=round(d), loss=y)
            for s, n, d, y in rows
        )

    rows = list(zip(*vars(table).values(), strict=True))
    write_table(tmp_path / "runs.csv", records(rows))
    write_table(tmp_path / "large.csv", records([(0.5, 1e9, 1e10, 2.0)]))
    asked = [
        "--runs",
        str(tmp_path / "runs.csv"),
        "--held-out",
        str(tmp_path / "large.csv"),
        "--form",
        "joint",
        "--resamples",
        "0",
    ]
    said = CliRunner().invoke(command, asked)
    assert said.exit_code == 0
    assert "run 1: " in said.output
    content = json.loads(CliRunner().invoke(command, [*asked, "--json"]).output)
    assert content["assessments"][0]["forecasts"][0]["measured"] == 2.0
    saved = CliRunner().invoke(command, [*asked, "--save", str(tmp_path / "out.json")])
    assert saved.exit_code == 0
    assert load_comparison(str(tmp_path / "out.json")).comparison.runs == 100


def test_shipped_comparisons_hold_every_form():
    for name, runs in (("vit-jft", 112), ("t5-c4", 48)):
        found = load_comparison(name).comparison
        assert (found.runs, found.resamples) == (runs, 1000)
        assert [a.form for a in found.assessments] == list(COMPARED)
        assert len(found.tests) == len(NESTINGS)
    measured = load_comparison("t5-c4").comparison.assessment("joint").forecasts[0]
    assert (measured.name, measured.measured) == ("T5-XL", T5_XL.loss)


@pytest.mark.parametrize(
    ("table_name", "which", "form", "log_rmse"),
    [
        ("vit-jft", "vit", "density-power", 0.0148),
        ("t5-c4", "t5", "density-power", 0.0172),
        ("vit-jft", "vit", "average-params", 0.0290),
        ("t5-c4", "t5", "average-params", 0.0274),
    ],
)
def test_released_runs_give_the_errors_known_of_them(released, table_name, which, form, log_rmse):
    result = fit(
        released_runs(which), FORMS[form], OBJECTIVES[table_name], resamples=0, profile_resamples=0
    )
    assert result.log_rmse == pytest.approx(log_rmse, abs=5e-5)
    shipped = load_comparison(table_name).comparison.assessment(form)
    assert shipped.objective == pytest.approx(result.value, rel=1e-9)
