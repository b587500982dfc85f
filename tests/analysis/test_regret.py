"""Regrets of designs: budgets obeyed, the same for a seed, and what beats chance."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from simlib.analysis.regret import (
    CASES,
    CATALOG,
    CHEAPEST,
    D_OPTIMAL,
    DEAREST,
    V_OPTIMAL,
    AtBudget,
    DesignCase,
    DesignOutcome,
    believed_as,
    in_order,
    load_regret,
    outcome,
    regret,
)
from simlib.cli import cli
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.fit import DENSE, FORMS, JOINT
from simlib.laws.extensions import FIXED_DATA
from simlib.runs.cells import Columns
from simlib.runs.foreign import ESSENTIAL

BELIEF = load_law("t5-c4-refit")
LAW = BELIEF.joint
AXES = np.meshgrid([0.0], [1e6, 4e6, 1.6e7, 6.4e7], [1e9, 4e9, 1.6e10, 6.4e10], indexing="ij")
S, N, D = (axis.ravel() for axis in AXES)
NOISE = np.random.default_rng(0).standard_normal(len(S))
RUNS = Columns(S, N, D, LAW(S, N, D) * np.exp(0.004 * NOISE))
COSTS = 6 * N * D
FAR = Columns(np.zeros(2), np.array([1e9, 4e9]), np.array([1e12, 1e12]), np.array([0.0, 0.0]))
FAR = FAR.replace_loss(LAW(FAR.S, FAR.N, FAR.D))
CASE = DesignCase("here", "there", "dense", "6*nonzero_params*data_seen", (0.05, 0.5))
FOUND = regret(CASE, RUNS, COSTS, FAR, BELIEF, draws=10, seed=3)


def test_every_design_obeys_its_budget_and_all_candidates_cost_all():
    for at in FOUND.budgets:
        assert at.budget == pytest.approx(at.share * COSTS.sum())
        assert {o.design for o in at.designs} == {CHEAPEST, DEAREST, D_OPTIMAL, V_OPTIMAL}
        assert all(0 < o.cost <= at.budget for o in at.designs)
        assert len(at.random_errors) == len(at.random_r2) == 10
    assert FOUND.whole.cost == pytest.approx(COSTS.sum())
    assert FOUND.whole.runs == FOUND.candidates == len(RUNS)


def test_a_seed_gives_the_same_draws_and_another_others():
    assert regret(CASE, RUNS, COSTS, FAR, BELIEF, draws=10, seed=3) == FOUND
    other = regret(CASE, RUNS, COSTS, FAR, BELIEF, draws=10, seed=4)
    assert other.budgets[0].designs == FOUND.budgets[0].designs
    assert other.budgets[0].random_errors != FOUND.budgets[0].random_errors


def test_rows_in_an_order_skip_what_no_longer_fits():
    assert in_order(np.array([5.0, 3.0, 2.0, 1.0]), [1, 0, 2, 3], 6.0) == [1, 2, 3]


def test_a_true_law_predicts_and_too_few_rows_have_no_error():
    exact = RUNS.replace_loss(LAW(S, N, D))
    found = outcome("all", exact, COSTS, range(len(RUNS)), FAR, DENSE)
    assert found.error < 1e-4
    assert found.r2 > 0.99
    none = outcome("few", RUNS, COSTS, [0, 1], FAR, DENSE)
    assert (none.error, none.r2) == (None, -1.0)


def at_budget(errors, own):
    designs = (DesignOutcome(V_OPTIMAL, 3, 1.0, own, 0.0),)
    return AtBudget(0.1, 1.0, designs, 3.0, tuple(errors), (0.0,) * len(errors))


def test_rows_that_fix_no_law_count_as_the_worst():
    at = at_budget([0.02, None, 0.03, 0.01], 0.015)
    assert at.quantile(1.0) == np.inf
    assert at.beaten(V_OPTIMAL) == 0.75
    assert at_budget([0.02, None], None).beaten(V_OPTIMAL) == 0


def test_chance_is_beaten_by_an_error_below_nearly_all_draws():
    draws = np.linspace(0.01, 0.02, 100)
    assert at_budget(draws, draws[4]).beats_chance(V_OPTIMAL)
    assert not at_budget(draws, draws[6]).beats_chance(V_OPTIMAL)


def test_a_belief_predicts_the_same_in_the_form_of_the_table():
    data = np.full(3, 2e10)
    point = (np.array([0.0, 0.5, 0.75]), np.array([1e6, 1e7, 1e8]), data)
    assert believed_as(JOINT, LAW, data) is LAW
    assert believed_as(FIXED_DATA, LAW, data)(*point) == pytest.approx(LAW(*point))
    dense = (np.zeros(3), *point[1:])
    assert believed_as(DENSE, LAW, data)(*dense) == pytest.approx(LAW(*dense))
    with pytest.raises(InputError, match="density-power"):
        believed_as(FORMS["density-power"], LAW, data)


def test_budgets_that_are_no_shares_are_refused():
    with pytest.raises(InputError, match="shares"):
        regret(replace(CASE, shares=(1.5,)), RUNS, COSTS, FAR, BELIEF)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.candidates)
def test_every_case_ships_as_its_rule_says(case):
    assert set(CATALOG.names()) == {c.candidates for c in CASES}
    found = load_regret(case.candidates)
    assert found.case == case
    assert found.draws == 200
    for at in found.budgets:
        assert all(o.cost <= at.budget * (1 + 1e-12) for o in at.designs)
        assert len(at.random_errors) == 200


def cli_regret(tmp_path, *options):
    """`simlib regret` on the runs of this file, to predict the far ones."""
    for name, columns in (("here", RUNS), ("there", FAR)):
        lines = [",".join(ESSENTIAL)]
        values = zip(columns.N, columns.S, columns.D, columns.L, strict=True)
        lines += [f"{n:.0f},{s},{d:.0f},{loss}" for n, s, d, loss in values]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    asked = [
        "regret",
        "--candidates",
        str(tmp_path / "here.csv"),
        "--form",
        "dense",
        "--draws",
        "2",
    ]
    return CliRunner().invoke(cli, [*asked, *options])


def test_the_command_takes_tables_of_ones_own_and_writes_what_it_found(tmp_path):
    there, kept = str(tmp_path / "there.csv"), str(tmp_path / "kept.json")
    done = cli_regret(tmp_path, "--on", there, "--share", "0.5", "--save", kept)
    assert done.exit_code == 0, done.output
    found = load_regret(kept)
    assert (found.case.form, found.case.shares, found.draws) == ("dense", (0.5,), 2)
    assert found.made["table"].endswith("here.csv")
    assert "50% of the cost" in done.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--on names the table"),
        (("--share", "2"), "shares above 0"),
        (("--price", "sparsity"), "positive cost"),
    ],
)
def test_the_command_refuses_in_a_sentence(tmp_path, options, said):
    more = ("--on", str(tmp_path / "there.csv")) if options else ()
    done = cli_regret(tmp_path, *options, *more)
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
