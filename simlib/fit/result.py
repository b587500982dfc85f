"""What a fit returns: the law and everything that says how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from simlib.fit.forms import Form
from simlib.fit.objective import Objective
from simlib.fit.profile import Interval
from simlib.fit.quantity import Quantity
from simlib.laws.law import Array, Law
from simlib.laws.lawfile import ENOUGH, why_undecided

Status = Literal["converged", "at bound", "not converged"]
WIDE = 4.0  # an interval whose ends differ by more than this factor does not identify a coefficient


@dataclass(frozen=True)
class Residual:
    """One run's residual on the log scale, by its row in the table (from 0)."""

    row: int
    value: float


class Derived(NamedTuple):
    """A number that follows from a law, with its interval over the resampled runs, if there is an
    ensemble, and its profile interval.
    """

    value: float
    interval: Interval | None
    profile_interval: Interval


@dataclass(frozen=True)
class FitResult:
    """A fitted law with its diagnostics.

    `agreeing` is the share of random starts that end within 1e-3 (relative) of the best objective.
    `ensemble` holds one law per resample of the runs, `residual_ensemble` per resample of the
    residuals: laws whose coefficients have shape (members,); `converged_members` and
    `converged_residual_members` count those whose refit converged. `intervals` are the ensemble's
    quantiles, `profile_intervals` come from the objective; None marks an end that does not exist.
    `quantities` are the numbers that were asked for, each with both kinds of interval.
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
    quantities: dict[str, Derived]
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
    def members(self) -> int:
        """How many refits each ensemble has."""
        return 0 if self.ensemble is None else len(self.ensemble.vector())

    @property
    def decides(self) -> bool:
        """Whether a conclusion may rest on this fit; `why_not` says why where it may not."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why this fit decides nothing, in a sentence without its subject; empty where it does."""
        if self.ensemble is None:
            return "it has no ensemble, so nothing that follows from it has an interval"
        return why_undecided(self.status, self.members, self.converged_members)

    @property
    def counts(self) -> dict[str, int]:
        """The size of each ensemble and how many of its refits converged, as law files have it."""
        return {
            "members": self.members,
            "converged_members": self.converged_members,
            "converged_residual_members": self.converged_residual_members,
        }

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
        if self.ensemble is not None and self.converged_members < ENOUGH * self.members:
            said.append(
                f"only {self.converged_members} of {self.members} refits of resampled runs "
                "converged: their intervals mean little"
            )
        for name in self.form.names:
            said += _identification(name, self.profile_intervals.get(name), "profile", self.level)
        return said


def derived(
    quantity: Quantity, law: Law, ensemble: Law | None, level: float, profile: Interval
) -> Derived:
    """A quantity of a law beside its intervals; members for which it is no number are left out."""
    interval: Interval | None = None
    if ensemble is not None:
        with np.errstate(all="ignore"):
            values = np.asarray(quantity.of(ensemble), dtype=float)
        tail = (1 - level) / 2
        low, high = np.quantile(values[~np.isnan(values)], [tail, 1 - tail], method="nearest")
        interval = (float(low), float(high))
    return Derived(float(quantity.of(law)), interval, profile)


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
