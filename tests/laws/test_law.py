"""The joint law: derivatives, inverses, what sparsity is worth, and its domain."""

import numpy as np
import pytest
from factories import random_law
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.datasets.published import T5_XL
from simlib.errors import InputError
from simlib.laws.law import PUBLISHED, JointLaw

laws = st.integers(0, 10**6).map(lambda seed: random_law(np.random.default_rng(seed)))
sparsities = st.floats(0, 0.98)
sizes = st.floats(13, 25).map(np.exp)
amounts = st.floats(16, 30).map(np.exp)


@given(laws, sparsities, sizes, amounts)
def test_jacobian_is_the_derivative(law, S, N, D):
    jac = law.jac(S, N, D)
    vector = law.vector()
    for j in range(7):
        h = 1e-6 * vector[j]
        up, down = vector.copy(), vector.copy()
        up[j] += h
        down[j] -= h
        slope = (JointLaw.from_vector(up)(S, N, D) - JointLaw.from_vector(down)(S, N, D)) / (2 * h)
        assert jac[j] == pytest.approx(slope, rel=1e-5, abs=1e-9 * law(S, N, D) / abs(vector[j]))


@given(laws, sparsities, sizes, amounts)
def test_inverses_undo_the_law(law, S, N, D):
    loss = law(S, N, D)
    assert law.solve_nonzero_params(S, D, loss) == pytest.approx(N, rel=1e-6)
    assert law.solve_data_seen(S, N, loss) == pytest.approx(D, rel=1e-6)


@given(laws, sizes, amounts)
def test_a_loss_below_the_floor_needs_infinite_size_and_data(law, N, D):
    assert np.isinf(law.solve_nonzero_params(0.5, D, 0.9 * law.c))
    assert np.isinf(law.solve_data_seen(0.5, N, 0.9 * law.c))


@given(laws, sparsities, sizes, amounts)
def test_multiplier_is_the_dense_model_of_equal_loss(law, S, N, D):
    assert law(0, law.multiplier(S) * N, D) == pytest.approx(law(S, N, D), rel=1e-12)
    assert 1 <= law.multiplier(S) <= law.multiplier_limit


@given(laws, sizes, amounts)
def test_dense_part_agrees_with_the_joint_law(law, N, D):
    assert law.dense(0, N, D) == pytest.approx(law(0, N, D), rel=1e-12)
    loss = law.dense(0, N, D)
    assert law.dense.solve_nonzero_params(D, loss) == pytest.approx(N, rel=1e-6)
    assert law.dense.solve_data_seen(N, loss) == pytest.approx(D, rel=1e-6)


@given(laws, sparsities, sizes, amounts)
def test_terms_add_up_and_only_size_knows_sparsity(law, S, N, D):
    terms, dense = law.terms(S, N, D), law.terms(0, N, D)
    assert sum(terms) == pytest.approx(law(S, N, D))
    assert terms.data == dense.data
    assert terms.size <= dense.size


@settings(max_examples=20)
@given(st.lists(laws, min_size=2, max_size=4))
def test_an_ensemble_predicts_like_its_members(members):
    ensemble = JointLaw.from_vector(np.stack([m.vector() for m in members]))
    S, N = np.array([0.0, 0.5, 0.9]), 1e7
    together = ensemble.expand(1)(S, N, 1e9)
    assert together.shape == (len(members), 3)
    np.testing.assert_allclose(together, [m(S, N, 1e9) for m in members], rtol=1e-13)


# PAPER: multipliers at 50, 75 and 87.5% follow from the published coefficients (claim C11)
@pytest.mark.parametrize(
    ("name", "expected"), [("vit-jft", (1.60, 2.17, 2.63)), ("t5-c4", (1.59, 2.16, 2.63))]
)
def test_published_multipliers(name, expected):
    found = PUBLISHED[name].multiplier([0.5, 0.75, 0.875])
    np.testing.assert_allclose(found, expected, atol=0.005)


def test_published_t5_law_misses_t5_xl_by_one_percent():
    predicted = PUBLISHED["t5-c4"](T5_XL.sparsity, T5_XL.nonzero_params, T5_XL.data_seen)
    assert predicted == pytest.approx(1.468, abs=5e-4)
    assert predicted / T5_XL.loss - 1 == pytest.approx(-0.010, abs=5e-4)


@pytest.mark.parametrize(
    ("S", "N", "D", "said"),
    [
        (1.0, 1e6, 1e9, "sparsity"),
        (-0.1, 1e6, 1e9, "sparsity"),
        (0.5, 0.0, 1e9, "nonzero_params"),
        (0.5, 1e6, -1.0, "data_seen"),
        (0.5, np.nan, 1e9, "nonzero_params"),
    ],
)
def test_points_outside_the_domain_are_refused(S, N, D, said):
    with pytest.raises(InputError, match=said):
        PUBLISHED["t5-c4"](S, N, D)


def test_a_dense_law_refuses_sparsity():
    with pytest.raises(InputError, match="S must be 0"):
        PUBLISHED["t5-c4"].dense(0.5, 1e6, 1e9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("c_S", "b_N"), [(0.0, 0.2), (1e-9, 1e-3)])
def test_a_multiplier_beyond_any_float_is_infinite_and_warns_nobody(c_S: float, b_N: float) -> None:
    law = JointLaw(a_S=1.0, b_S=1.0, c_S=c_S, b_N=b_N, a_D=1e6, b_D=0.3, c=0.5)
    assert law.multiplier_limit == np.inf
