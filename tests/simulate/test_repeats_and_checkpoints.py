"""Plans where data runs out, and plans that prune a checkpoint."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from simlib.cli.plan import command
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.laws.optimum import COSTS
from simlib.paper import DATA_MULTIPLES
from simlib.simulate.allocate import allocate, best_allocation
from simlib.simulate.checkpoint import Checkpoint, prune_checkpoint, worth
from simlib.simulate.limits import Limits
from simlib.simulate.planning import fitted_limits, make_plan

T5 = load_law("t5-c4-refit")
FEW = replace(T5, ensemble=T5.members().from_vector(T5.members().vector()[:20]))


def test_data_that_does_not_run_out_changes_nothing():
    fresh = make_plan(FEW, 1e22, "sparse")
    plenty = make_plan(
        FEW,
        1e22,
        "sparse",
        limits=replace(fitted_limits(T5), unique_data=fresh.sparse.data_seen * 2),
    )
    for a, b in zip(fresh.choices, plenty.choices, strict=True):
        assert b.loss == pytest.approx(a.loss, rel=1e-8)
        assert b.data_seen == pytest.approx(a.data_seen, rel=1e-2)
        assert b.effective_data == b.data_seen
    assert not any("passes over" in said for said in plenty.warnings)


@pytest.mark.parametrize("serve", [0.0, 1e12])
@pytest.mark.parametrize("S", [0.0, 0.75])
def test_the_size_found_where_data_repeats_is_the_best_of_a_scan(S, serve):
    limits, cost = Limits(unique_data=3e9, serve_tokens=serve), COSTS["sparse"]
    found = allocate(T5.joint, S, 1e21, cost, limits)
    N = float(found.N) * np.geomspace(0.05, 20, 2001)
    D = (1e21 / N - limits.serving_flops(S)) / (6 * cost.multiplier(S))
    N, D = N[D > 0], D[D > 0]
    losses = T5.joint(S, N, limits.effective_data(S, D))
    assert float(found.loss) <= losses.min() * (1 + 1e-9)
    assert float(found.D) > 3e9
    ceiling = replace(limits, nonzero_params=float(found.N) / 3)
    capped = allocate(T5.joint, S, 1e21, cost, ceiling)
    assert float(capped.N) == pytest.approx(ceiling.nonzero_params)


def test_less_distinct_data_costs_loss_and_favours_size():
    runs = [
        best_allocation(T5.joint, 1e22, limits=Limits(unique_data=U, sparsity=0.875))
        for U in (1e12, 1e10, 1e9)
    ]
    losses = [float(r.loss) for r in runs]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]
    assert float(runs[0].D / 1e12) < float(runs[-1].D / 1e9)


def test_a_plan_says_how_often_data_repeats_and_what_that_costs():
    limits = replace(fitted_limits(T5), unique_data=1e9)
    plan = make_plan(FEW, 1e23, limits=limits)
    dense = plan.dense
    cost = dense.loss - float(T5.law(0.0, dense.nonzero_params, dense.data_seen))
    assert 1e9 < dense.effective_data < dense.data_seen
    assert any(
        f"{dense.data_seen / 1e9:.3g} times" in said and f"costs {cost:.4f} nats" in said
        for said in plan.warnings
    )
    assert any("Wu et al. 2026" in said for said in plan.warnings)
    assert dense.interval[0] < dense.loss < dense.interval[1]


def test_what_a_checkpoint_is_worth_meets_the_measured_multiples_and_its_own_data():
    checkpoint = Checkpoint(1e9, 1e11)
    for S, multiple in DATA_MULTIPLES.items():
        assert float(worth(S)) == multiple
        assert float(checkpoint.effective_data(S, 1e9)) == pytest.approx(multiple * 1e9)
        assert float(checkpoint.effective_data(S, 1e15)) == pytest.approx(1e15 + 1e11)
    assert DATA_MULTIPLES[0.75] < float(worth(0.6)) < DATA_MULTIPLES[0.5]
    for S in (0.4, 0.9):
        with pytest.raises(InputError, match=r"from 0\.5 to 0\.875"):
            worth(S)


def test_a_pruned_run_spends_the_budget_and_pays_for_its_checkpoint_if_asked():
    free, paid = (Checkpoint(1e9, 5e10, charged) for charged in (False, True))
    plans = [make_plan(FEW, 1e21, "sparse", checkpoint=c) for c in (free, paid)]
    for plan in plans:
        pruned = plan.pruned
        assert pruned.train_flops + pruned.serve_flops == pytest.approx(1e21)
        assert pruned.dense_params == pytest.approx(1e9)
        assert pruned.effective_data > pruned.data_seen
        assert pruned.interval[0] < pruned.loss < pruned.interval[1]
        assert 0 <= plan.probability_pruned_wins <= 1
        assert [c.kind for c in plan.choices] == ["dense", "sparse", "2:4", "pruned"]
    assert plans[1].pruned.data_seen < plans[0].pruned.data_seen
    assert plans[1].pruned.loss > plans[0].pruned.loss
    assert any("paid for" in said for said in plans[0].warnings)
    assert any("part of the budget" in said for said in plans[1].warnings)
    assert make_plan(FEW, 1e21).pruned is None


def test_a_checkpoint_of_the_planned_shape_beats_training_from_scratch():
    """The same size, sparsity and budget: pruning has the same data, and counts it for more."""
    pruned = prune_checkpoint(T5.joint, Checkpoint(1e9, 1e11), 1e20)
    limits = Limits(nonzero_params=float(pruned.N))
    scratch = allocate(T5.joint, pruned.S, 1e20, COSTS["dense"], limits)
    assert float(scratch.N) <= float(pruned.N)
    same = float(T5.joint(pruned.S, pruned.N, pruned.D))
    assert float(pruned.loss) < same


@pytest.mark.parametrize(
    ("checkpoint", "limits", "said"),
    [
        (Checkpoint(1e9, 1e11), Limits(unique_data=1e10), "not both"),
        (Checkpoint(1e10, 1e12, charged=True), Limits(), "all of the budget"),
        (Checkpoint(1e9, 1e11), Limits(sparsity=0.3), "no sparsity from 0.5"),
        (Checkpoint(1e12, 1e13), Limits(nonzero_params=1e9), "no sparsity from 0.5"),
    ],
)
def test_checkpoints_that_cannot_be_pruned_are_refused(checkpoint, limits, said):
    with pytest.raises(InputError, match=said):
        prune_checkpoint(T5.joint, checkpoint, 1e21, limits=limits)
    with pytest.raises(InputError, match="checkpoint's data must be positive"):
        Checkpoint(1e9, 0)


def test_the_command_line_has_both_and_keeps_its_keys():
    run = CliRunner()
    budget = ["--law", "t5-c4-refit", "--flops", "1e21", "--json"]
    both = ["--checkpoint-params", "1e9", "--checkpoint-data", "1e11"]
    found = json.loads(run.invoke(command, budget + both).output)
    assert found["pruned"]["effective_data"] > found["pruned"]["data_seen"]
    assert {"dense", "sparse", "2_4", "probability_pruned_wins", "warnings"} <= set(found)
    repeated = json.loads(run.invoke(command, [*budget, "--unique-data", "1e9"]).output)
    assert repeated["dense"]["effective_data"] < repeated["dense"]["data_seen"]
    assert repeated["probability_pruned_wins"] is None
    lonely = run.invoke(command, budget + both[:2], standalone_mode=False)
    assert "give both" in str(lonely.exception)
    text = run.invoke(command, budget[:-1] + both).output
    assert "which count as" in text
    assert "this pruned run beats this dense run" in text
