"""Laws of few bits: what they contain, what they forget, and what they refuse."""

import numpy as np
import pytest
from factories import random_law

from simlib.errors import InputError
from simlib.laws.law import DenseLaw, JointLaw
from simlib.laws.precision import FULL, WithBits

JOINT = random_law(np.random.default_rng(4))
BITS, EFF = (8, 4, 2), (0.98, 0.7, 0.2)
LAWS = [WithBits(JOINT, EFF, BITS), WithBits(JOINT.dense, EFF, BITS)]
N, D = np.geomspace(1e6, 1e9, 5), 3e9


@pytest.mark.parametrize("law", LAWS, ids=["joint", "dense"])
def test_in_full_precision_it_is_the_law_around_which_it_stands(law):
    S = 0.6 if isinstance(law.law, JointLaw) else 0.0
    np.testing.assert_array_equal(law(S, N, D), law.law(S, N, D))
    np.testing.assert_array_equal(law(S, N, D, FULL), law.law(S, N, D))
    assert sum(law.terms(S, N, D, 4)) == pytest.approx(law(S, N, D, 4), rel=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=["joint", "dense"])
@pytest.mark.parametrize("place", range(len(BITS)))
def test_a_weight_of_few_bits_counts_as_its_worth_of_whole_ones(law, place):
    S = 0.6 if isinstance(law.law, JointLaw) else 0.0
    np.testing.assert_allclose(law(S, N, D, BITS[place]), law.law(S, EFF[place] * N, D))
    own = law.at(BITS[place])
    assert type(own) is type(law.law)
    np.testing.assert_allclose(own(S, N, D), law(S, N, D, BITS[place]), rtol=1e-12)


def test_bits_may_differ_from_run_to_run():
    P = np.array([16, 8, 4, 2, 4])
    found = LAWS[0](0.5, N, D, P)
    assert found.tolist() == [float(LAWS[0](0.5, n, D, int(p))) for n, p in zip(N, P, strict=True)]
    with pytest.raises(InputError, match="3 bits are unknown to the law, which has 16, 8, 4, 2"):
        LAWS[0](0.5, 1e6, D, [4, 3])


@pytest.mark.parametrize("law", LAWS, ids=["joint", "dense"])
def test_coefficients_are_read_by_name_and_as_a_vector(law):
    names = law.names()
    assert names[-3:] == ("eff(8)", "eff(4)", "eff(2)")
    by_name = dict(zip(names, law.vector().tolist(), strict=True))
    back = WithBits.from_coefficients(by_name)
    assert back.bits == BITS
    assert isinstance(back.law, JointLaw if "a_S" in by_name else DenseLaw)
    np.testing.assert_allclose(back.vector(), law.vector())
    two = law.from_vector(np.stack([law.vector(), law.vector() * 1.01]))
    losses = two.expand(1)(0.0, N, D, 4)
    assert losses.shape == (2, 5)
    np.testing.assert_allclose(losses[0], law(0.0, N, D, 4))
    np.testing.assert_allclose(two.at(4).vector()[0], law.at(4).vector())
