"""Choices of rows: within the budget, the best there is in small tables, blind to losses."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from click.testing import CliRunner

from simlib.cli import cli
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.fit import DENSE, FORMS, JOINT
from simlib.laws.form import Units
from simlib.runs.cells import Columns
from simlib.runs.table import RunRecord, RunTable
from simlib.simulate.choice import RowChoice, choose, prices, slopes

LAW = load_law("t5-c4-refit").joint
AXES = np.meshgrid([0.0, 0.5, 0.75], [1e6, 1e7, 1e8], [1e9, 1e10, 1e11], indexing="ij")
S, N, D = (axis.ravel() for axis in AXES)
RUNS = Columns(S, N, D, LAW(S, N, D))
COSTS = 6 * N * D
UNITS = Units.of(N, D)


def random_choice(seed, predict):
    rng = np.random.default_rng(seed)
    targets = rng.standard_normal((4, 3))
    mean = targets.T @ targets / 4 if predict else None
    return RowChoice(rng.standard_normal((9, 3)), rng.uniform(1, 3, 9), mean)


@pytest.mark.parametrize("predict", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_no_set_of_a_small_table_is_better(seed, predict):
    choice, budget = random_choice(seed, predict), 7.0
    sets = [
        rows
        for count in range(1, 10)
        for rows in combinations(range(9), count)
        if choice.costs[list(rows)].sum() <= budget
    ]
    found = choice.best(budget)
    assert tuple(found) in sets
    assert choice.score(found) == pytest.approx(min(map(choice.score, sets)), abs=1e-9)


def test_the_score_is_the_determinant_or_the_mean_variance_of_the_predictions():
    choice = random_choice(0, predict=False)
    rows = [1, 4, 5]
    prior = np.eye(3)
    information = choice.slopes[rows].T @ choice.slopes[rows] + prior
    assert choice.score(rows) == pytest.approx(-np.log(np.linalg.det(information)))
    targets = np.random.default_rng(1).standard_normal((5, 3))
    variances = [t @ np.linalg.inv(information) @ t for t in targets]
    predicting = replace(choice, targets=targets.T @ targets / 5)
    assert predicting.score(rows) == pytest.approx(np.mean(variances))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.6, 1.0])
def test_the_budget_is_kept_and_what_is_paid_for_stays(share):
    budget = share * COSTS.sum()
    rows = choose(RUNS, COSTS, budget, JOINT, LAW, 0.01)
    assert COSTS[rows].sum() <= budget
    assert len(set(rows)) == len(rows)
    kept = rows[:2]
    more = choose(RUNS, COSTS, min(2 * budget, COSTS.sum()), JOINT, LAW, 0.01, kept=kept)
    assert set(kept) <= set(more)
    if share == 1.0:
        assert rows == list(range(len(RUNS)))


def test_losses_are_not_looked_at_and_the_order_of_rows_does_not_matter():
    budget, turned = 0.05 * COSTS.sum(), np.arange(len(RUNS))[::-1]
    rows = choose(RUNS, COSTS, budget, JOINT, LAW, 0.01, predict=RUNS.where(N > 1e7))
    blind = RUNS.replace_loss(np.full(len(RUNS), 9.0))
    assert choose(blind, COSTS, budget, JOINT, LAW, 0.01, predict=RUNS.where(N > 1e7)) == rows
    other = choose(
        RUNS.where(turned), COSTS[turned], budget, JOINT, LAW, 0.01, predict=RUNS.where(N > 1e7)
    )
    assert sorted(turned[other].tolist()) == rows


def test_slopes_are_those_of_log_loss():
    theta, step = JOINT.from_law(LAW, UNITS), 1e-6
    numeric = np.stack(
        [
            np.log(JOINT.to_law(theta + step * e, UNITS)(S, N, D))
            - np.log(JOINT.to_law(theta - step * e, UNITS)(S, N, D))
            for e in np.eye(len(theta))
        ],
        axis=1,
    ) / (2 * step)
    assert slopes(JOINT, LAW, RUNS, UNITS) == pytest.approx(numeric, abs=1e-7)


def table(**columns):
    return RunTable(
        RunRecord(nonzero_params=n, sparsity=s, data_seen=1e9, loss=2.0, **columns)
        for n, s in ((10**6, 0.0), (10**7, 0.5))
    )


def test_a_price_is_an_expression_over_the_columns_of_a_run():
    assert prices(table()) == pytest.approx([6e15, 6e16])
    assert prices(table(), "nonzero_params/(1-sparsity)") == pytest.approx([1e6, 2e7])
    assert prices(table(flops=3.0), "flops") == pytest.approx([3, 3])


@pytest.mark.parametrize("price", ["sparsity", "flops", "sparsity>0", "loss", "6*"])
def test_a_price_that_is_none_is_refused(price):
    with pytest.raises(InputError):
        prices(table(), price)


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(InputError, match="buys no run"):
        choose(RUNS, COSTS, 1.0, JOINT, LAW, 0.01)
    with pytest.raises(InputError, match="noise"):
        choose(RUNS, COSTS, 1e20, JOINT, LAW, 0.0)
    with pytest.raises(InputError, match="capacity"):
        choose(RUNS, COSTS, 1e20, FORMS["capacity"], LAW, 0.01)


def test_the_dense_law_is_chosen_for_as_well():
    dense = RUNS.where(S == 0)
    costs = COSTS[S == 0]
    rows = choose(dense, costs, 0.2 * costs.sum(), DENSE, LAW.dense, 0.01)
    assert 0 < costs[rows].sum() <= 0.2 * costs.sum()


COULD = "nonzero_params,sparsity,data_seen\n1e6,0,1e9\n1e6,0.5,1e9\n1e7,0,1e10\n1e7,0.75,1e9\n"


def design(tmp_path, *options):
    path = tmp_path / "could.csv"
    path.write_text(COULD)
    asked = ["design", "--law", "t5-c4-refit", "--candidates", str(path), *options]
    return CliRunner().invoke(cli, asked)


def test_the_command_takes_rows_without_losses_and_obeys_the_budget(tmp_path):
    for more in ([], ["--on", str(tmp_path / "could.csv")]):
        done = design(tmp_path, "--flops", "1e17", *more)
        assert done.exit_code == 0, done.output
        assert "row 1: sparsity 0, non-zero parameters 1e+06" in done.output
        assert "tokens or images 1e+10" not in done.output  # which costs six times the budget


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--flops", "1e10"), "buys no run"),
        (("--flops", "1e17", "--sparsity", "0,0.5"), "leave the options of a grid out"),
        (("--flops", "1e17", "--price", "sparsity"), "positive cost"),
        ((), "budget"),
    ],
)
def test_the_command_refuses_in_a_sentence(tmp_path, options, said):
    done = design(tmp_path, *options)
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
