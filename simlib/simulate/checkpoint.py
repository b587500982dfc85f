"""Pruning a dense checkpoint that exists, in place of training a sparse model from scratch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import COSTS
from simlib.paper import DATA_MULTIPLES
from simlib.simulate.allocate import Allocation, TrainingCost
from simlib.simulate.limits import Limits

GRID = 201  # sparsities tried


@dataclass(frozen=True)
class Checkpoint:
    """A dense model to prune: its parameters, the data it has seen, and whether to pay for it.

    Raises InputError for values that are not positive.
    """

    dense_params: float
    data_seen: float
    charged: bool = False

    def __post_init__(self) -> None:
        for name, value in (("parameters", self.dense_params), ("data", self.data_seen)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"a checkpoint's {name} must be positive, got {value:g}")

    @property
    def flops(self) -> float:
        """FLOP of its training that the plan pays: 6 N D, or 0 where it is paid for already."""
        spent = FLOP_PER_PARAMETER_AND_DATUM * self.dense_params * self.data_seen
        return spent if self.charged else 0.0

    def effective_data(self, S: ArrayLike, D: ArrayLike) -> Array:
        """Data from scratch that pruning over D equals: `D + min((m(S) - 1) D, D_checkpoint)`.

        m(S) are the measured multiples, linear between them. That the checkpoint adds no more
        than it has seen is an assumption of this function: the multiples were measured for
        pruning that is short beside the pretraining.
        """
        D = np.asarray(D, dtype=float)
        return np.asarray(D + np.minimum((worth(S) - 1) * D, self.data_seen))


def worth(S: ArrayLike) -> Array:
    """m(S): linear between the measured sparsities. Raises InputError outside of them."""
    S, (low, *_, high) = np.asarray(S, dtype=float), DATA_MULTIPLES
    if np.any((low > S) | (high < S)):
        raise InputError(
            f"what pruning a checkpoint is worth was measured at sparsities from {low:g} to "
            f"{high:g}, and not outside of them"
        )
    return np.asarray(np.interp(S, list(DATA_MULTIPLES), list(DATA_MULTIPLES.values())))


def prune_checkpoint(
    law: JointLaw,
    checkpoint: Checkpoint,
    flops: float,
    cost: TrainingCost = COSTS["dense"],
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> Allocation:
    """The sparsity and data that prune a checkpoint best within a budget in FLOP.

    Size and sparsity go together: `N = (1 - S) P`. Returns scalars. Raises InputError where data
    can run out too, where the checkpoint itself takes the budget, and where ceilings or serving
    leave no sparsity that was measured.
    """
    if limits.unique_data is not None:
        raise InputError(
            "give distinct data or a checkpoint, not both: what repeated data is worth after "
            "pretraining has not been measured"
        )
    left = flops - checkpoint.flops
    if left <= 0:
        raise InputError(
            f"the checkpoint took {checkpoint.flops:.3g} FLOP, all of the budget of {flops:g}: "
            "raise the budget, or count the checkpoint as paid for"
        )
    ends = list(DATA_MULTIPLES)
    S = np.linspace(ends[0], ends[-1], GRID)
    N = checkpoint.dense_params * (1 - S)
    D = (left / N - limits.serving_flops(S)) / (FLOP_PER_PARAMETER_AND_DATUM * cost.multiplier(S))
    if limits.data_seen is not None:
        D = np.minimum(D, limits.data_seen)
    allowed = (limits.largest_params(S) >= N) & (limits.sparsity >= S) & (D > 0)
    if not allowed.any():
        raise InputError(
            f"no sparsity from {ends[0]:g} to {ends[-1]:g} of a checkpoint of "
            f"{checkpoint.dense_params:g} parameters meets the budget and the ceilings: raise one"
        )
    S, N, D = S[allowed], N[allowed], D[allowed]
    loss = law(S, N, checkpoint.effective_data(S, D))
    best = int(np.argmin(loss))
    return Allocation(S[best], N[best], D[best], loss[best])
