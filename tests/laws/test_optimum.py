"""Optimal sparsity: against brute force, its geometry, and the cost models behind it."""

import numpy as np
import pytest
from factories import random_law
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from simlib.errors import InputError
from simlib.laws.law import PUBLISHED, JointLaw
from simlib.laws.optimum import (
    COSTS,
    chinchilla_flops,
    chinchilla_params,
    chinchilla_sparsity,
    compute_multiple,
    contour,
    cost_model,
    cubic_progress,
    optimal_sparsity,
    schedule_cost,
)

laws = st.integers(0, 10**6).map(lambda seed: random_law(np.random.default_rng(seed)))
costs = st.sampled_from([*COSTS.values(), schedule_cost("early", cubic_progress(0.0, 0.5))])
sizes = st.floats(14, 25).map(np.exp)
multiples = st.floats(-2, 5).map(np.exp)


@settings(max_examples=60)
@given(laws, costs, sizes, multiples)
def test_no_other_sparsity_is_better(law, cost, N, multiple):
    C = multiple * chinchilla_flops(law, N)

    def loss(log_density):
        S = -np.expm1(log_density)
        return float(law(S, N, cost.data_seen(S, N, C)))

    S = float(optimal_sparsity(law, N, C, cost))
    found = loss(np.log1p(-S))
    brute = minimize_scalar(loss, bounds=(-12, 0), method="bounded", options={"xatol": 1e-10})
    assert found <= brute.fun * (1 + 1e-9)
    assert found <= loss(0.0)


@given(laws, costs, st.floats(0.01, 0.95), sizes)
def test_contours_are_parallel_to_the_chinchilla_line(law, cost, S, N):
    here, there = contour(law, S, N, cost), contour(law, S, 10 * N, cost)
    chinchilla = chinchilla_flops(law, 10 * N) / chinchilla_flops(law, N)
    assert there / here == pytest.approx(chinchilla, rel=1e-9)
    assert compute_multiple(law, S, cost) == pytest.approx(here / chinchilla_flops(law, N))


@given(laws, costs, st.floats(0.0, 0.95), sizes)
def test_a_contour_is_where_its_sparsity_is_optimal(law, cost, S, N):
    assert optimal_sparsity(law, N, contour(law, S, N, cost), cost) == pytest.approx(S, abs=1e-9)


@given(laws, costs, sizes)
def test_optimal_sparsity_grows_with_compute_and_starts_at_zero(law, cost, N):
    C = contour(law, 0.0, N, cost) * np.geomspace(1e-3, 1e6, 40)
    S = optimal_sparsity(law, N, C, cost)
    assert (S[contour(law, 0.0, N, cost) * (1 - 1e-9) > C] == 0).all()
    assert (np.diff(S) >= 0).all()
    assert (S < 1).all()


@given(laws, sizes)
def test_chinchilla_point_minimises_the_dense_loss_at_its_cost(law, N):
    C = float(chinchilla_flops(law, N))
    assert chinchilla_params(law, C) == pytest.approx(N, rel=1e-9)
    here = law(0, N, C / (6 * N))
    for other in (0.99 * N, 1.01 * N):
        assert law(0, other, C / (6 * other)) > here


@given(laws, costs, sizes, multiples, st.floats(-5, 5).map(np.exp))
def test_units_of_data_do_not_matter(law, cost, N, multiple, unit):
    """Counting D in other units scales a_D and the FLOP per datum alike."""
    other = JointLaw(law.a_S, law.b_S, law.c_S, law.b_N, law.a_D * unit, law.b_D, law.c)
    C = multiple * chinchilla_flops(law, N)
    assert chinchilla_flops(other, N) == pytest.approx(unit * chinchilla_flops(law, N), rel=1e-9)
    here, there = optimal_sparsity(law, N, C, cost), optimal_sparsity(other, N, C * unit, cost)
    assert there == pytest.approx(here, abs=1e-9)


def test_sparse_cost_is_the_mean_density_of_the_papers_schedule():
    by_quadrature = schedule_cost("cubic 25-75", cubic_progress(0.25, 0.75))
    S = np.array([0.0, 0.5, 0.75, 0.875, 0.99])
    np.testing.assert_allclose(COSTS["sparse"].multiplier(S), by_quadrature.multiplier(S))
    # Frantar et al. 2024: 1.375, 2.125 and 3.625 at 50, 75 and 87.5%
    np.testing.assert_allclose(COSTS["sparse"].multiplier(S)[1:4], [1.375, 2.125, 3.625])
    np.testing.assert_allclose(COSTS["dense"].multiplier(S), 1 / (1 - S))


@given(costs, st.floats(0, 0.98), sizes, st.floats(20, 60).map(np.exp))
def test_data_for_a_budget_costs_that_budget(cost, S, N, C):
    assert cost.flops(S, N, cost.data_seen(S, N, C)) == pytest.approx(C, rel=1e-12)


# the published coefficients: where sparsity starts to pay, and S_opt at the Chinchilla point (C9)
def test_published_laws_say_what_the_paper_reads_from_them():
    vit, t5 = PUBLISHED["vit-jft"], PUBLISHED["t5-c4"]
    assert compute_multiple(vit, 0.0, "dense") == pytest.approx(1.27, abs=0.005)
    assert compute_multiple(t5, 0.0, "dense") == pytest.approx(3.0, abs=0.05)
    assert compute_multiple(t5, 0.5, "dense") == pytest.approx(71, abs=0.5)
    assert chinchilla_sparsity(vit, "sparse") == pytest.approx(0.35, abs=0.005)
    assert chinchilla_sparsity(t5, "sparse") == pytest.approx(0.43, abs=0.01)
    assert chinchilla_sparsity(vit, "dense") == 0


def test_arrays_of_sizes_budgets_and_laws_broadcast():
    rng = np.random.default_rng(0)
    ensemble = JointLaw.from_vector(np.stack([random_law(rng).vector() for _ in range(5)]))
    N, C = np.geomspace(1e6, 1e9, 3)[:, None], np.geomspace(1e18, 1e22, 4)
    for cost in COSTS:
        S = optimal_sparsity(ensemble.expand(2), N, C, cost)
        assert S.shape == (5, 3, 4)
        one = JointLaw.from_vector(ensemble.vector()[2])
        assert S[2, 1, 3] == pytest.approx(float(optimal_sparsity(one, N[1, 0], C[3], cost)))


def test_a_law_without_gain_from_sparsity_stays_dense():
    law = JointLaw(10.0, -0.5, 20.0, 0.3, 1e8, 0.4, 1.0)
    for cost in COSTS:
        assert optimal_sparsity(law, 1e8, 1e25, cost) == 0


def test_unknown_costs_and_negative_budgets_are_refused():
    with pytest.raises(InputError, match="dense, sparse"):
        cost_model("free")
    with pytest.raises(InputError, match="flops"):
        optimal_sparsity(PUBLISHED["t5-c4"], 1e9, -1e20)
