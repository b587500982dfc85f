"""What sparsity buys at a fixed size, held against the law itself at sizes of a reader's own."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from simlib.errors import InputError
from simlib.laws.law import PUBLISHED
from simlib.laws.optimum import COSTS, chinchilla_flops, compute_multiple
from simlib.simulate.fixedsize import dense_size, loss_saved, sparsity_at
from simlib.simulate.speedup import SpeedupCost

VIT, T5 = PUBLISHED["vit-jft"], PUBLISHED["t5-c4"]
DENSE, SPARSE = COSTS["dense"], COSTS["sparse"]


def loss(law, S, N, flops, cost):
    return float(law(S, N, flops / (6 * N * float(cost.multiplier(S)))))


@pytest.mark.parametrize("law", [VIT, T5], ids=["vit", "t5"])
@pytest.mark.parametrize("cost", [DENSE, SPARSE], ids=["dense", "sparse"])
@pytest.mark.parametrize("N", [3e6, 7e9])
def test_the_best_sparsity_and_what_it_saves_are_the_laws_own_minimum_at_any_size(law, cost, N):
    flops = 30 * float(chinchilla_flops(law, N))
    found = minimize_scalar(
        lambda S: loss(law, S, N, flops, cost), bounds=(0, 0.999), options={"xatol": 1e-9}
    )
    assert sparsity_at(law, 30, cost) == pytest.approx(found.x, abs=1e-4)
    dense = loss(law, 0.0, N, flops, cost)
    saved = (dense - found.fun) / (dense - law.c)
    assert loss_saved(law, 30, cost) == pytest.approx(saved, abs=1e-8)


@pytest.mark.parametrize("N", [3e6, 7e9])
def test_a_dense_model_of_that_size_is_as_good_on_the_same_compute(N):
    flops = 30 * float(chinchilla_flops(VIT, N))
    sparse = loss(VIT, float(sparsity_at(VIT, 30, DENSE)), N, flops, DENSE)
    size = float(dense_size(VIT, 30, DENSE)) * N
    assert size > 1.2 * N
    assert loss(VIT, 0.0, size, flops, DENSE) == pytest.approx(sparse, rel=1e-9)


def test_where_no_dense_model_is_as_good_the_size_is_infinite():
    flops = float(chinchilla_flops(T5, 1e9))  # a dense model of 1e9 is the best dense one here
    sparse = loss(T5, float(sparsity_at(T5, 1, SPARSE)), 1e9, flops, SPARSE)
    assert sparse < min(loss(T5, 0.0, N, flops, SPARSE) for N in np.geomspace(1e7, 1e11, 400))
    assert dense_size(T5, 1, SPARSE) == np.inf


def test_where_dense_is_best_nothing_is_saved():
    below = 0.9 * float(compute_multiple(VIT, 0.0, "dense"))
    assert sparsity_at(VIT, below, DENSE) == 0
    assert loss_saved(VIT, below, DENSE) == 0
    assert dense_size(VIT, below, DENSE) == 1


def test_measured_speedups_lie_between_none_and_all():
    none, half = SpeedupCost(), SpeedupCost(((0.5, 1.4), (0.9, 4.0)))
    assert sparsity_at(VIT, 20, none) == pytest.approx(sparsity_at(VIT, 20, DENSE), abs=1e-3)
    ends = [float(loss_saved(VIT, 20, cost)) for cost in (DENSE, half, SPARSE)]
    assert ends == sorted(ends)
    assert ends[0] < ends[1] < ends[2]


def test_an_ensemble_is_answered_member_by_member():
    both = VIT.from_vector(np.array([VIT.vector(), T5.vector()]))
    for quantity in (sparsity_at, loss_saved, dense_size):
        alone = [float(quantity(law, 20, cost)) for cost in (DENSE,) for law in (VIT, T5)]
        np.testing.assert_allclose(quantity(both, 20, DENSE), alone, rtol=1e-9)


@pytest.mark.parametrize("multiple", [0, -1, float("nan")])
def test_a_budget_must_be_positive(multiple):
    with pytest.raises(InputError, match="multiple"):
        sparsity_at(VIT, multiple, DENSE)
