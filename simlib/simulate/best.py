"""The sparsity that a law recommends at a model size and a training budget."""

from __future__ import annotations

from dataclasses import dataclass

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.optimum import chinchilla_flops, cost_model, optimal_sparsity


@dataclass(frozen=True)
class BestSparsity:
    """Optimal sparsity with what follows from it: dense size, data, loss and its distance.

    `dense_equivalent` is the size of the dense model of equal loss on the same data;
    `chinchilla_multiple` the budget over the compute-optimal one of a dense model of N parameters.
    `interval` and its `level` are None for a law without an ensemble.
    """

    law: str
    cost: str
    nonzero_params: float
    flops: float
    sparsity: float
    dense_params: float
    data_seen: float
    loss: float
    dense_equivalent: float
    chinchilla_multiple: float
    interval: tuple[float, float] | None = None
    level: float | None = None


def best_sparsity(
    law_file: FittedLaw, nonzero_params: float, flops: float, cost: str, level: float = 0.9
) -> BestSparsity:
    """The sparsity of least loss at N non-zero parameters and a training cost in FLOP.

    Raises InputError for a law that is not joint, and for values outside their domain.
    """
    law = law_file.joint
    S = float(optimal_sparsity(law, nonzero_params, flops, cost))
    D = float(cost_model(cost).data_seen(S, nonzero_params, flops))
    if D < 1:
        raise InputError(
            f"{flops:g} FLOP train {nonzero_params:g} non-zero parameters on less than one token "
            "or image: give more FLOP, or fewer parameters"
        )
    interval = None
    if law_file.ensemble is not None:
        low, high = law_file.interval(
            lambda member: optimal_sparsity(member, nonzero_params, flops, cost), level=level
        )
        interval = float(low), float(high)
    return BestSparsity(
        law=law_file.name,
        cost=cost,
        nonzero_params=nonzero_params,
        flops=flops,
        sparsity=S,
        dense_params=nonzero_params / (1 - S),
        data_seen=D,
        loss=float(law(S, nonzero_params, D)),
        dense_equivalent=float(law.multiplier(S)) * nonzero_params,
        chinchilla_multiple=flops / float(chinchilla_flops(law, nonzero_params)),
        interval=interval,
        level=level if interval else None,
    )
