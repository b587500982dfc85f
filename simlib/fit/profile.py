"""Profile intervals: how far a coefficient can move before the objective rises too much.

The threshold of "too much" is calibrated, not taken from a table: tables are drawn from the fitted
law with resampled residuals, each is refitted freely and with the coefficient held at the value
that generated it, and the threshold is the level's quantile of the rise. This keeps the interval
honest for a Huber objective, whose rises do not follow a chi-squared law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from simlib.fit.bootstrap import refit
from simlib.fit.forms import Constraint, Form, Units
from simlib.fit.newton import Problem, Valley, minimise
from simlib.law import Array, Indices

Interval = tuple[float | None, float | None]
EXPONENT_RANGE = (2e-3, 5.9)  # just inside the solver's bounds: beyond them a side counts as open
DENSITY_EXPONENT_RANGE = (-11.9, 11.9)
AMPLITUDE_RANGE = 12.0  # nats that the logarithm of an amplitude may move


def held(problem: Problem, constraint: Constraint) -> tuple[Problem, Indices]:
    """The problem with one coefficient held, and the indices of theta that stay free."""
    index, row, constant = constraint
    keep = np.delete(np.arange(problem.design.shape[-1]), index)
    column = problem.design[..., index]
    return replace(
        problem,
        design=problem.design[..., keep] + column[..., None] * row[keep],
        offset=problem.offset + column * constant,
        lower=problem.lower[keep],
        upper=problem.upper[keep],
        valley=_without(problem.valley, index),
    ), keep


def _without(valley: Valley | None, index: int) -> Valley | None:
    if valley is None or index in valley:
        return None
    return Valley(*(i - (i > index) for i in valley))


def thresholds(
    problem: Problem, form: Form, units: Units, theta: Array, resampled: Problem, level: float
) -> dict[str, float]:
    """For each coefficient, the rise of the objective that a share `level` of tables keeps to."""
    assert form.hold is not None
    members = len(resampled.target)
    free = refit(resampled, theta, members)[1]
    law = form.to_law(theta, units)
    rises = {}
    for name in form.names:
        part, keep = held(resampled, form.hold(name, float(getattr(law, name)), units))
        rise = refit(part, theta[keep], members)[1] - free
        rises[name] = float(np.quantile(np.maximum(rise, 0), level))
    return rises


def profile_interval(
    problem: Problem, form: Form, units: Units, theta: Array, name: str, rise: float
) -> Interval:
    """Lower and upper end of one coefficient's interval; None where the profile never closes."""
    best = float(minimise(problem, theta[None].copy())[1][0])
    estimate = float(getattr(form.to_law(theta, units), name))
    to_value, start, limits = _axis(name, estimate)
    ends: list[float | None] = []
    for limit in limits:
        excess = _excess(problem, form, units, theta, name, to_value, best + rise)
        end = _crossing(excess, start, limit)
        ends.append(None if end is None else float(to_value(end)))
    return ends[0], ends[1]


def _axis(
    name: str, estimate: float
) -> tuple[Callable[[float], float], float, tuple[float, float]]:
    """A scale on which to walk: linear for the density exponent, logarithmic for the rest."""
    if name == "b_S":
        return float, estimate, DENSITY_EXPONENT_RANGE
    start = float(np.log(estimate))
    if name in ("b_N", "b_D", "alpha", "beta"):
        return lambda u: float(np.exp(u)), start, tuple(np.log(EXPONENT_RANGE))
    return lambda u: float(np.exp(u)), start, (start - AMPLITUDE_RANGE, start + AMPLITUDE_RANGE)


def _excess(
    problem: Problem, form: Form, units: Units, theta: Array, name: str,
    to_value: Callable[[float], float], ceiling: float,
) -> Callable[[float], float]:  # fmt: skip
    """The constrained optimum minus the ceiling; starts from the fit and from its last solution."""
    last: list[Array] = []

    assert form.hold is not None
    hold = form.hold

    def excess(u: float) -> float:
        part, keep = held(problem, hold(name, to_value(u), units))
        starts = np.stack([theta[keep], *last])
        found, values, _ = minimise(part, starts)
        last[:] = [found[np.argmin(values)]]
        return float(values.min()) - ceiling

    return excess


def _crossing(excess: Callable[[float], float], start: float, limit: float) -> float | None:
    """Where `excess` first turns positive between start and limit: doubling steps, then halving."""
    inside, step = start, 0.02 * np.sign(limit - start)
    while True:
        outside = inside + step
        if abs(outside - start) >= abs(limit - start):
            outside = limit
        if excess(outside) > 0:
            break
        if outside == limit:
            return None
        inside, step = outside, 2 * step
    for _ in range(14):
        middle = 0.5 * (inside + outside)
        inside, outside = (inside, middle) if excess(middle) > 0 else (middle, outside)
    return 0.5 * (inside + outside)
