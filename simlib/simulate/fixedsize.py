"""What sparsity buys where the number of non-zero parameters is fixed.

A budget is a multiple of the dense compute optimum of that size. In the joint law both terms of the
loss scale alike along that line, so best sparsity, share of loss saved and dense size do not depend
on the size itself: all are computed at N = 1.
"""

from __future__ import annotations

import numpy as np

from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.law import Array, JointLaw, positive
from simlib.laws.optimum import CostModel, chinchilla_flops, chinchilla_params, optimal_sparsity
from simlib.simulate.allocate import TrainingCost

MOST_SPARSE = 0.99
STEPS = 991  # sparsities tried where a cost model has no closed form: every 0.1%
HALVINGS = 50  # of the logarithm of a dense size


def sparsity_at(law: JointLaw, multiple: float, cost: TrainingCost) -> Array:
    """The S in [0, 1) of least loss at `multiple` times the dense compute optimum of N.

    The law's coefficients broadcast. Closed form or Newton for the cost models of the paper; for
    measured speed-ups, whose cost has corners, the best of a grid up to 99%.
    Raises InputError for a multiple that is not positive.
    """
    flops = _flops(law, multiple)
    if isinstance(cost, CostModel):
        return optimal_sparsity(law, 1.0, flops, cost)
    S = np.linspace(0, MOST_SPARSE, STEPS)
    losses = _above_floor(law.expand(1), S, flops[..., None], cost)
    return S[np.argmin(losses, axis=-1)]


def loss_saved(law: JointLaw, multiple: float, cost: TrainingCost) -> Array:
    """Share of the dense loss above its floor c that the best sparsity saves, at equal cost."""
    flops, S = _flops(law, multiple), sparsity_at(law, multiple, cost)
    dense = _above_floor(law, np.zeros(()), flops, cost)
    return np.asarray(1 - _above_floor(law, S, flops, cost) / dense)


def dense_size(law: JointLaw, multiple: float, cost: TrainingCost) -> Array:
    """How many times N a dense model must have to be as good, trained with the same compute.

    A larger dense model sees less data. Infinite where no dense model of this compute is as good.
    """
    flops, S = _flops(law, multiple), sparsity_at(law, multiple, cost)
    wanted = _above_floor(law, S, flops, cost)
    return np.where(S == 0, 1.0, dense_of(law, wanted, flops))


def dense_of(law: JointLaw, wanted: Array, flops: Array) -> Array:
    """The least dense N from 1 on whose loss above the floor is `wanted` for this compute.

    Infinite where there is none.
    """
    low = np.zeros(np.shape(wanted))
    high = np.maximum(np.log(chinchilla_params(law, flops)), low)  # the loss falls up to there
    reached = _dense_above_floor(law, np.exp(high), flops) <= wanted * (1 + 1e-12)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        worse = _dense_above_floor(law, np.exp(middle), flops) > wanted
        low, high = np.where(worse, middle, low), np.where(worse, high, middle)
    return np.where(reached, np.exp(high), np.inf)


def _flops(law: JointLaw, multiple: float) -> Array:
    return np.asarray(positive("multiple", multiple) * chinchilla_flops(law, 1.0))


def _above_floor(law: JointLaw, S: Array, flops: Array, cost: TrainingCost) -> Array:
    data = flops / (FLOP_PER_PARAMETER_AND_DATUM * cost.multiplier(S))
    return np.asarray(law.sparsity_factor(S) + (law.a_D / data) ** law.b_D)


def _dense_above_floor(law: JointLaw, N: Array, flops: Array) -> Array:
    data = flops / (FLOP_PER_PARAMETER_AND_DATUM * N)
    return np.asarray(law.sparsity_factor(0.0) * N**-law.b_N + (law.a_D / data) ** law.b_D)
