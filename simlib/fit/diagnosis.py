"""What must be said of a fit: residuals, quantiles of ensembles, a sentence for each doubt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simlib.fit.fittedlaw import ENOUGH, Derived, FittedLaw
from simlib.fit.profile import Interval, wide
from simlib.fit.quantity import Quantity
from simlib.laws.law import Array, Law

AGREEMENT = 0.9  # share of starts below which the reader is told that the others end elsewhere


def warnings_of(found: FittedLaw) -> list[str]:
    """One plain sentence for each thing that a reader of this fit must know."""
    said = []
    if found.status == "not converged":
        said.append("the fit did not converge: its coefficients mean nothing")
    if found.status == "at bound":
        said.append(
            "the fit ends at a bound: its coefficients have profile intervals alone, and these are "
            "one-sided there"
        )
    if found.agreeing < AGREEMENT:
        said.append(
            f"only {found.agreeing:.0%} of {found.starts} starts agree on the best objective"
        )
    if found.refits and (found.converged_members or 0) < ENOUGH * found.refits:
        said.append(
            f"only {found.converged_members} of {found.refits} refits of resampled runs "
            "converged: their intervals mean little"
        )
    for name in found.law.names():
        said += _identification(name, found.profile_intervals.get(name), "profile", found.level)
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
    if wide(interval):
        return [head + f"runs from {low:.3g} to {high:.3g}"]
    return []


def log_residuals(
    law: Callable[..., Array], S: Array, N: Array, D: Array, L: Array, *more: Array
) -> Array:
    """log(predicted) - log(measured), shape (runs,); `more` is what the law takes after D."""
    return np.asarray(np.log(law(S, N, D, *more)) - np.log(L))
