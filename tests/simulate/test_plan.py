"""Plans: side by side under one budget, with honest probabilities, fronts and refusals."""

from dataclasses import replace

import numpy as np
import pytest
from factories import random_law

from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.laws.law import JointLaw
from simlib.laws.optimum import COSTS, chinchilla_params
from simlib.simulate.footprint import storage
from simlib.simulate.forecast import fitted_range
from simlib.simulate.front import pareto_front
from simlib.simulate.hardware import Cluster, accelerator
from simlib.simulate.limits import Limits, budget_in_flops, weight_ceiling
from simlib.simulate.measure import AFFORDABLE, deciding_runs
from simlib.simulate.planning import fitted_limits, make_plan, plan_for_loss
from simlib.simulate.speedup import parse_speedups, two_four_cost

T5 = load_law("t5-c4-refit")
VIT = load_law("vit-jft-refit")
H100 = Cluster(accelerator("h100"), 1024, price=2.0)


@pytest.mark.parametrize("cost", list(COSTS))
@pytest.mark.parametrize("flops", [1e20, 1e23])
def test_all_three_spend_the_budget_on_training_and_serving(cost, flops):
    limits = replace(fitted_limits(T5), serve_tokens=1e12)
    plan = make_plan(T5, flops, cost, limits=limits, cluster=H100)
    for choice in plan.choices:
        assert choice.train_flops + choice.serve_flops == pytest.approx(flops, rel=1e-12)
        assert choice.serve_flops == pytest.approx(2 * choice.nonzero_params * 1e12)
        assert choice.dense_params == pytest.approx(choice.nonzero_params / (1 - choice.sparsity))
        hours = choice.gpu_hours + choice.serve_gpu_hours
        assert budget_in_flops(hours=hours, cluster=H100) == pytest.approx(flops)
        assert choice.money == pytest.approx(2.0 * hours)
        assert choice.interval[0] < choice.loss < choice.interval[1]
    assert plan.sparse.loss <= plan.dense.loss
    assert plan.two_four.sparsity == 0.5


def test_the_dense_plan_without_limits_is_the_chinchilla_point():
    plan = make_plan(T5, 1e22)
    assert plan.dense.nonzero_params == pytest.approx(chinchilla_params(T5.joint, 1e22), rel=1e-6)
    none = make_plan(T5, 1e22, limits=Limits(sparsity=0.0))
    assert none.sparse.loss == pytest.approx(plan.dense.loss, rel=1e-12)
    assert none.probability_sparse_wins == 0
    assert none.probability_sparsity_helps == 0
    assert any("best sparsity at 0" in said for said in none.warnings)


def test_two_four_that_trains_faster_is_better():
    losses = [
        make_plan(T5, 1e22, two_four=two_four_cost(speed, share=1.0)).two_four.loss
        for speed in (1.0, 1.3, 2.0)
    ]
    assert losses == sorted(losses, reverse=True)


def test_speedups_measured_on_hardware_stand_between_the_cost_models():
    some = make_plan(T5, 1e22, parse_speedups("0.5:1.2,0.9:3")).sparse.loss
    assert make_plan(T5, 1e22, "sparse").sparse.loss < some
    assert some < make_plan(T5, 1e22, "dense").sparse.loss


def test_probability_counts_members_and_is_certain_without_spread():
    rng = np.random.default_rng(0)
    law = random_law(rng)
    certain = replace(T5, law=law, ensemble=JointLaw.from_vector(np.tile(law.vector(), (5, 1))))
    limits = Limits(nonzero_params=1e7, sparsity=0.9)
    plan = make_plan(certain, 1e22, "dense", limits=limits)
    assert plan.sparse.sparsity > 0
    assert plan.probability_sparse_wins == 1
    low, high = plan.sparse.sparsity_interval
    assert low == pytest.approx(high)
    useless = replace(law, b_S=-0.5)  # sparsity that only hurts
    half = np.stack([law.vector()] * 3 + [useless.vector()] * 3)
    plan = make_plan(replace(certain, ensemble=JointLaw.from_vector(half)), 1e22, limits=limits)
    assert plan.probability_sparse_wins == 0.5
    assert plan.probability_sparsity_helps == 0.5


def test_far_from_the_runs_a_plan_says_so_and_near_them_it_does_not():
    far = make_plan(T5, 1e25, cluster=Cluster(accelerator("h100"), 8))
    assert sum("lies outside the fitted runs" in said for said in far.warnings) == 2
    assert any("more than the 8 given" in said for said in far.warnings)
    _, high = fitted_range(T5)
    near = make_plan(
        T5, 3e19, limits=Limits(nonzero_params=high[1], data_seen=high[2], sparsity=0.875)
    )
    assert not any("outside" in said for said in near.warnings)


def test_what_the_cost_model_assumes_and_where_a_ceiling_binds_is_said():
    sparse = make_plan(T5, 1e22, "sparse")
    assert any("times as long to train" in said for said in sparse.warnings)
    tight = make_plan(T5, 1e25, limits=Limits(nonzero_params=1e8, sparsity=0.6))
    assert any("ceiling of 0.6" in said for said in tight.warnings)
    both = make_plan(T5, 1e25, limits=Limits(nonzero_params=1e8, data_seen=1e11, sparsity=0.6))
    assert any("unspent" in said for said in both.warnings)


def test_a_memory_ceiling_holds_for_what_is_stored():
    ceiling = weight_ceiling(16e9, None, None)
    plan = make_plan(T5, 1e24, "sparse", limits=replace(fitted_limits(T5), weight_bytes=ceiling))
    for choice in plan.choices:
        assert choice.inference_bytes <= 16e9 * (1 + 1e-9)
    assert plan.sparse.nonzero_params < plan.dense.nonzero_params
    with_dense = replace(fitted_limits(T5), weight_bytes=ceiling, kept=storage("dense"))
    stored = make_plan(T5, 1e24, "sparse", limits=with_dense)
    assert stored.sparse.loss >= plan.sparse.loss


@pytest.mark.slow
def test_least_budget_for_a_loss_is_the_budget_of_that_plan():
    plan = make_plan(T5, 1e21, "sparse")
    answer = plan_for_loss(T5, plan.sparse.loss, "sparse")
    assert answer["sparse"][0] == pytest.approx(1e21, rel=1e-6)
    assert answer["dense"][0] > answer["sparse"][0]
    for value, (low, high) in answer.values():
        assert low < value < high
    with pytest.raises(InputError, match=r"no dense budget reaches a loss of 0\.5"):
        plan_for_loss(T5, 0.5)
    with pytest.raises(InputError, match="where the law means nothing"):
        plan_for_loss(T5, 99.0)


def test_a_front_falls_and_sparsity_widens_it_downwards():
    dense = pareto_front(T5.joint, 1e22, limits=Limits(sparsity=0.0), points=12)
    sparse = pareto_front(T5.joint, 1e22, limits=Limits(sparsity=0.875), points=12)
    for front in (dense, sparse):
        assert (np.diff(front.N) > 0).all()
        assert (np.diff(front.loss) < 0).all()
    assert (np.diff(sparse.S) <= 1e-6).all()  # the smaller the model, the sparser
    small = sparse.N[-1] * 0.3 > dense.N
    at = np.interp(np.log(dense.N[small]), np.log(sparse.N), sparse.loss)
    assert (at < dense.loss[small]).all()


def test_deciding_runs_are_affordable_and_tell_more_together():
    plan = make_plan(T5, 1e23)
    told = [m.explains for m in plan.measurements]
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] <= 1
    assert all(m.flops <= AFFORDABLE * 1e23 for m in plan.measurements)


def test_where_dense_is_best_the_runs_to_measure_are_those_about_the_sparsity_in_doubt():
    plan = make_plan(VIT, 1e19, limits=Limits(sparsity=0.875))
    assert plan.sparse.sparsity == 0
    assert 0 < plan.probability_sparsity_helps < 0.5
    assert plan.measurements
    assert all(m.changes_the_answer < 0.5 for m in plan.measurements)
    law = VIT.law.vector()
    sure = replace(VIT, ensemble=JointLaw.from_vector(np.tile(law, (5, 1))))
    assert make_plan(sure, 1e19, limits=Limits(sparsity=0.875)).measurements == ()


def test_a_plan_passes_on_what_the_fit_warned_of():
    plan = make_plan(load_law("gpt-plateau"), 1e13, "sparse")
    assert any("do not identify a_S, b_S, c_S" in said for said in plan.warnings)
    simulated = "8 of 8 runs are simulated, not measured (simulated:x)"
    drawn = replace(load_law("vit-jft-refit"), warnings=(simulated,))
    said = make_plan(drawn, 1e22).warnings
    assert simulated in said
    assert not any("do not identify" in text for text in said)


def test_a_difference_that_one_coefficient_decides_is_told_by_the_run_that_shows_it():
    """Only b_D differs between members, so runs with little or much data tell nearly all."""
    vector = np.tile(VIT.law.vector(), (200, 1))
    vector[:, 5] *= np.exp(0.05 * np.random.default_rng(0).standard_normal(200))
    file = replace(VIT, ensemble=JointLaw.from_vector(vector))
    first = deciding_runs(file, vector[:, 5] - vector[:, 5].mean(), 1e22, noise=1e-4)[0]
    assert first.explains > 0.95
    blind = deciding_runs(file, vector[:, 5], 1e22, noise=10.0)[0]
    assert blind.explains < 0.05
    assert deciding_runs(file, np.ones(200), 1e22) == ()


def flat_law():
    """A law one of whose members gets worse with size."""
    members = T5.members().vector()[:5].copy()
    members[2, JointLaw.names().index("b_N")] = -0.1
    return replace(T5, name="flat", ensemble=JointLaw.from_vector(members))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: make_plan(load_law("t5-c4"), 1e22), "has no ensemble"),
        (lambda: make_plan(T5, -1e22), "flops must be positive"),
        (lambda: make_plan(flat_law(), 1e22), "a member with b_N = -0.1"),
        (lambda: make_plan(T5, 1e22, "free"), "unknown cost model"),
        (lambda: make_plan(T5, 1e22, level=2), "level"),
        (lambda: make_plan(T5, 1e15, limits=Limits(serve_tokens=1e15)), "no model meets"),
        (lambda: make_plan(T5, 1e22, limits=Limits(weight_bytes=10.0)), "no model meets"),
        (lambda: make_plan(T5, 1e15, limits=Limits(fixed_params=1e9)), "guessing alone has 10.4"),
        (lambda: make_plan(T5, 1e12, limits=Limits(fixed_params=1e9)), "are no model"),
        (
            lambda: make_plan(T5, 1e20, limits=Limits(fixed_params=1e9, serve_tokens=1e13)),
            "are no model",
        ),
    ],
)
def test_plans_that_cannot_be_made_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        wrong()
