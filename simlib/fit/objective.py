"""What a fit minimises: the weighted mean Huber loss of raw or log residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simlib.errors import InputError
from simlib.laws.law import Array


@dataclass(frozen=True)
class Objective:
    """Mean Huber loss over runs, `rho(r) = r^2/2` for `|r| <= delta`, else `delta(|r| - delta/2)`.

    `log` takes residuals of log loss, else of the loss itself. The objective of Frantar et al.
    2024 (release): delta 0.01 on the raw loss for ViT, 0.001 on log loss for T5.
    """

    delta: float
    log: bool

    def target(self, loss: Array) -> Array:
        """Measured losses on the scale of the residuals."""
        return np.log(loss) if self.log else loss

    def rho(self, residual: Array, delta: float | None = None) -> Array:
        """Huber's loss of each residual; `delta` overrides the objective's own."""
        delta = self.delta if delta is None else delta
        size = np.abs(residual)
        inner = np.minimum(size, delta)
        return np.asarray(inner * (size - 0.5 * inner))

    def value(self, predicted: Array, measured: Array) -> Array:
        """The objective: mean over the last axis of runs."""
        return self.rho(self.target(predicted) - self.target(measured)).mean(axis=-1)


OBJECTIVES = {"vit-jft": Objective(0.01, log=False), "t5-c4": Objective(0.001, log=True)}
DEFAULT_OBJECTIVE = Objective(0.001, log=True)


def objective_for(table: str, delta: float | None = None, log: bool | None = None) -> Objective:
    """The objective that a table's authors took, or the default, with what is given in its place.

    Raises InputError for a delta that is not positive.
    """
    own = OBJECTIVES.get(table, DEFAULT_OBJECTIVE)
    if delta is not None and not 0 < delta < np.inf:
        raise InputError(f"--delta must be positive and finite, got {delta}")
    return Objective(own.delta if delta is None else delta, own.log if log is None else log)
