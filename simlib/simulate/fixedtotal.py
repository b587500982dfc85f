"""What idle experts buy where all parameters together are fixed, as by the memory that serves them.

S is the share of the parameters that a token does not pass: idle ones cost no training compute, so
that more of them leave a smaller network more data. Both terms of the joint law scale alike along
multiples of the dense compute optimum of the total, so that best share, share of loss saved and
dense size do not depend on the total itself: all are computed at 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.law import Array, JointLaw, positive
from simlib.laws.optimum import chinchilla_flops
from simlib.simulate.fixedsize import dense_of

LEAST_DENSITY, DENSITIES = 1e-4, 2001  # of the search for the best density


def idle_share(law: JointLaw, total: float, flops: ArrayLike) -> Array:
    """The share of idle parameters of least loss at a total and a training compute, (members,).

    A token passes `N = total (1-S)` parameters, and the budget buys `D = flops / (6 N)` data.
    Found on a grid of densities from 1e-4 to 1; 1 - 1e-4 means that no smaller density was looked
    at. Raises InputError for a total or a compute that is not positive.
    """
    flops = np.asarray(flops, dtype=float)
    if total <= 0 or not (flops > 0).all():
        raise InputError("total parameters and compute are positive numbers")
    density = np.geomspace(LEAST_DENSITY, 1, DENSITIES)
    active = total * density
    data = flops[..., None] / (FLOP_PER_PARAMETER_AND_DATUM * active)
    loss = law.expand(1)(1 - density, active, data)
    return np.asarray(1 - density[np.argmin(loss, axis=-1)])


def idle_share_at(law: JointLaw, multiple: float) -> Array:
    """The best share of idle parameters at `multiple` times the dense optimum of the total."""
    return idle_share(law, 1.0, _flops(law, multiple))


def loss_saved(law: JointLaw, multiple: float) -> Array:
    """Share of the loss above its floor that it saves over a dense model of the same total."""
    flops = _flops(law, multiple)
    dense = _above_floor(law, np.zeros(()), flops)
    return np.asarray(1 - _above_floor(law, idle_share_at(law, multiple), flops) / dense)


def dense_size(law: JointLaw, multiple: float) -> Array:
    """How many times the total a dense model must have to be as good for the same compute.

    Infinite where no dense model of this compute is as good.
    """
    flops, S = _flops(law, multiple), idle_share_at(law, multiple)
    return np.where(S == 0, 1.0, dense_of(law, _above_floor(law, S, flops), flops))


def _flops(law: JointLaw, multiple: float) -> Array:
    return np.asarray(positive("multiple", multiple) * chinchilla_flops(law, 1.0))


def _above_floor(law: JointLaw, S: Array, flops: Array) -> Array:
    active = 1 - S
    data = flops / (FLOP_PER_PARAMETER_AND_DATUM * active)
    return np.asarray(law.sparsity_factor(S) * active**-law.b_N + (law.a_D / data) ** law.b_D)
