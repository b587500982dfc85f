"""What a fit returns: the law and everything that says how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from simlib.fit.forms import Form
from simlib.fit.objective import Objective
from simlib.fit.profile import Interval
from simlib.law import Array, Law

Status = Literal["converged", "at bound", "not converged"]
WIDE = 4.0  # an interval whose ends differ by more than this factor does not identify a coefficient


@dataclass(frozen=True)
class Residual:
    """One run's residual on the log scale, by its row in the table (from 0)."""

    row: int
    value: float


@dataclass(frozen=True)
class FitResult:
    """A fitted law with its diagnostics.

    `agreeing` is the share of random starts that end within 1e-3 (relative) of the best objective.
    `ensemble` holds one law per resample of the runs, `residual_ensemble` per resample of the
    residuals: laws whose coefficients have shape (members,). `intervals` are the ensemble's
    quantiles, `profile_intervals` come from the objective; None marks an end that does not exist.
    """

    law: Law
    form: Form
    objective: Objective
    value: float
    status: Status
    agreeing: float
    starts: int
    runs: int
    log_rmse: float
    worst: Residual
    condition_number: float
    level: float
    ensemble: Law | None
    residual_ensemble: Law | None
    converged_members: int
    converged_residual_members: int
    profile_intervals: dict[str, Interval]
    quantity_intervals: dict[str, Interval]
    seed: int

    @property
    def coefficients(self) -> dict[str, float]:
        """Raw coefficients by name."""
        return dict(zip(self.law.names(), map(float, self.law.vector()), strict=True))

    @property
    def intervals(self) -> dict[str, Interval]:
        """Central intervals at `level` from the resampled runs; empty without an ensemble."""
        return ensemble_intervals(self.ensemble, self.level)

    @property
    def residual_intervals(self) -> dict[str, Interval]:
        """Central intervals at `level` from the resampled residuals; empty without an ensemble."""
        return ensemble_intervals(self.residual_ensemble, self.level)

    @property
    def warnings(self) -> list[str]:
        """One plain sentence for each thing that a reader of this fit must know."""
        said = []
        if self.status == "not converged":
            said.append("the fit did not converge: its coefficients mean nothing")
        if self.agreeing < 0.5:
            said.append(
                f"only {self.agreeing:.0%} of {self.starts} starts agree on the best objective"
            )
        for name in self.form.names:
            said += _identification(name, self.profile_intervals.get(name), "profile", self.level)
        return said


def ensemble_intervals(ensemble: Law | None, level: float) -> dict[str, Interval]:
    """Central quantile intervals of an ensemble's coefficients."""
    if ensemble is None:
        return {}
    tail = (1 - level) / 2
    low, high = np.quantile(ensemble.vector(), [tail, 1 - tail], axis=0)
    return {n: (float(a), float(b)) for n, a, b in zip(ensemble.names(), low, high, strict=True)}


def _identification(name: str, interval: Interval | None, kind: str, level: float) -> list[str]:
    if interval is None:
        return []
    low, high = interval
    head = f"{name} is not identified by these runs: its {level:.0%} {kind} interval "
    if low is None or high is None:
        side = " and ".join(s for s, e in (("below", low), ("above", high)) if e is None)
        return [head + f"is open {side}"]
    if low <= 0 < high or high / low > WIDE:
        return [head + f"runs from {low:.3g} to {high:.3g}"]
    return []


def log_residuals(law: Law, S: Array, N: Array, D: Array, L: Array) -> Array:
    """log(predicted) - log(measured), shape (runs,)."""
    return np.asarray(np.log(law(S, N, D)) - np.log(L))
