"""A plan: dense, sparse and 2:4 side by side for one budget; see `simlib.simulate.planning`."""

from __future__ import annotations

from dataclasses import dataclass

from simlib.simulate.forecast import Distance
from simlib.simulate.measure import Measurement


@dataclass(frozen=True)
class Choice:
    """One way to spend the budget. Units: parameters, tokens or images, nats, FLOP, bytes.

    `interval` is that of the loss of this very run; `sparsity_interval` holds the sparsities that
    the members of the ensemble would choose, None where sparsity is not chosen. `train_flops` is
    counted by the plan's cost model, `dense_flops` without any speed-up from zeros.
    `effective_data` is the fresh data from scratch that `data_seen` counts as: less where data
    repeats, more where a checkpoint is pruned. Hours and all after them are None without hardware
    (or without a price, or a published power): `gpu_hours`, `days` on the whole cluster with
    restarts and `energy` in kWh are of training alone, `money` is of training and serving.
    """

    kind: str
    sparsity: float
    sparsity_interval: tuple[float, float] | None
    nonzero_params: float
    dense_params: float
    data_seen: float
    loss: float
    interval: tuple[float, float]
    train_flops: float
    serve_flops: float
    dense_flops: float
    training_bytes: float
    inference_bytes: float
    distance: Distance
    effective_data: float
    gpu_hours: float | None = None
    serve_gpu_hours: float | None = None
    days: float | None = None
    money: float | None = None
    energy: float | None = None


@dataclass(frozen=True)
class Plan:
    """Side by side: the best dense, the best sparse and the best 2:4 run of one budget.

    With a checkpoint also the best way to prune it, `pruned`; else that is None.

    `probability_sparse_wins` is the share of the ensemble in which this very sparse run has a
    lower loss than this very dense run (0 where the sparse run is dense);
    `probability_sparsity_helps` the share in which some sparsity would. `measurements` are runs
    whose loss would tell most about the difference; where the sparse run is dense, about that
    with the sparsity which those refits choose that are not.
    """

    law: str
    cost: str
    flops: float
    level: float
    widen: float
    dense: Choice
    sparse: Choice
    two_four: Choice
    probability_sparse_wins: float
    probability_two_four_wins: float
    probability_sparsity_helps: float
    measurements: tuple[Measurement, ...]
    warnings: tuple[str, ...]
    pruned: Choice | None = None
    probability_pruned_wins: float | None = None

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All of them, dense first."""
        return tuple(c for c in (self.dense, self.sparse, self.two_four, self.pruned) if c)
