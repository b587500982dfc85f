"""Idle experts at a fixed total: the best there is, whatever the total."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.laws.law import JointLaw
from simlib.laws.optimum import chinchilla_flops
from simlib.simulate.fixedtotal import dense_size, idle_share, idle_share_at, loss_saved

LAW = JointLaw(a_S=20.0, b_S=0.3, c_S=10.0, b_N=0.2, a_D=1e9, b_D=0.15, c=1.5)


def loss(S, total, flops):
    active = total * (1 - S)
    return LAW(S, active, flops / (6 * active))


@pytest.mark.parametrize("total", [1e8, 1e11])
@pytest.mark.parametrize("multiple", [0.5, 1, 8])
def test_at_a_multiple_of_the_dense_optimum_the_total_does_not_matter(total, multiple):
    flops = multiple * float(chinchilla_flops(LAW, total))
    share = float(idle_share_at(LAW, multiple))
    assert share == pytest.approx(float(idle_share(LAW, total, flops)), abs=1e-9)
    dense, best = loss(0.0, total, flops) - LAW.c, loss(share, total, flops) - LAW.c
    assert loss_saved(LAW, multiple) == pytest.approx(1 - best / dense)
    around = [loss(s, total, flops) for s in np.linspace(0, 0.99, 100)]
    assert loss(share, total, flops) <= min(around) + 1e-9


def test_the_dense_model_as_good_has_the_same_loss_for_the_same_compute():
    multiple, total = 500.0, 1e9
    flops = multiple * float(chinchilla_flops(LAW, total))
    size = float(dense_size(LAW, multiple)) * total
    assert size > total
    share = float(idle_share_at(LAW, multiple))
    assert LAW(0.0, size, flops / (6 * size)) == pytest.approx(float(loss(share, total, flops)))


def test_at_the_dense_optimum_no_dense_model_is_as_good_as_a_mixture_that_helps():
    assert loss_saved(LAW, 1) > 0
    assert dense_size(LAW, 1) == np.inf


def test_where_dense_is_best_nothing_is_saved():
    weak = replace(LAW, a_S=1e-9, c_S=30.0)
    assert idle_share_at(weak, 100) == 0
    assert loss_saved(weak, 100) == 0
    assert dense_size(weak, 100) == 1


def test_each_member_of_an_ensemble_has_its_own_budget():
    other = replace(LAW, b_S=0.6)
    both = LAW.from_vector(np.stack([LAW.vector(), other.vector()]))
    for quantity in (idle_share_at, loss_saved, dense_size):
        one = [float(quantity(law, 2)) for law in (LAW, other)]
        assert quantity(both, 2) == pytest.approx(np.array(one))


def test_no_compute_is_refused():
    with pytest.raises(InputError, match="positive"):
        idle_share(LAW, 1e9, 0.0)
    with pytest.raises(InputError, match="positive"):
        idle_share(LAW, 0, 1e20)
