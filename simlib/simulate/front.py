"""The Pareto front of one budget: what loss each size can have, dense and sparse."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import COSTS
from simlib.simulate.allocate import TrainingCost, best_allocation
from simlib.simulate.limits import Limits

SMALLEST_SHARE = 1 / 300  # of the best size, to which a front reaches down


@dataclass(frozen=True)
class Front:
    """Points that no other run of the budget beats in both size and loss, from small to large.

    Arrays of shape (points,): S, N, D and loss.
    """

    S: Array
    N: Array
    D: Array
    loss: Array


def pareto_front(
    law: JointLaw,
    flops: float,
    cost: TrainingCost = COSTS["dense"],
    limits: Limits | None = None,
    points: int = 40,
) -> Front:
    """The least loss of every size within one budget, sizes falling from the best one.

    Only sizes below the unconstrained best are on the front: a larger model costs more to serve
    and is worse. With `limits.sparsity` 0 the front is the dense one.
    """
    limits = limits or Limits()
    best = best_allocation(law, flops, cost, limits)
    shares = np.geomspace(SMALLEST_SHARE, 1.0, points)
    runs = [
        best_allocation(law, flops, cost, replace(limits, nonzero_params=float(size)))
        for size in float(best.N) * shares[:-1]
    ]
    runs.append(best)
    S, N, D, loss = (
        np.array([float(getattr(r, name)) for r in runs]) for name in ("S", "N", "D", "loss")
    )
    keep = np.append(N[:-1] < N[1:], True) & (loss <= np.minimum.accumulate(loss))
    return Front(S[keep], N[keep], D[keep], loss[keep])
