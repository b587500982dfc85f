"""The outer search of a form with one coefficient that no linear term can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from simlib.fit.bootstrap import Ends, refit
from simlib.fit.newton import minimise
from simlib.fit.problem import Problem
from simlib.laws.law import Array

COARSE = 25  # values tried between the ends before the best is refined
REACH, STEPS = 1.5, 30  # an ensemble's values lie within e^1.5 of the fit's, in steps of 10%

DesignAt = Callable[[float], Array]


def search(
    problem: Problem, design_at: DesignAt, low: float, high: float, starts: Array
) -> tuple[float, Array]:
    """The value between low and high with the least objective, and theta there.

    Each of a row of values is fitted from every start; between the neighbours of the best the
    search is continuous.
    """
    from scipy.optimize import minimize_scalar  # not at the top: it takes long to import

    values = np.geomspace(low, high, COARSE)
    ends = [_best(replace(problem, design=design_at(v)), starts) for v in values]
    best = int(np.argmin([objective for objective, _ in ends]))
    theta = ends[best][1]
    left, right = values[max(best - 1, 0)], values[min(best + 1, COARSE - 1)]

    def objective(log_value: float) -> float:
        return _best(replace(problem, design=design_at(float(np.exp(log_value)))), theta[None])[0]

    found = minimize_scalar(
        objective, bounds=(np.log(left), np.log(right)), method="bounded", options={"xatol": 1e-7}
    )
    value = float(np.exp(found.x)) if found.fun < ends[best][0] else float(values[best])
    return value, _best(replace(problem, design=design_at(value)), theta[None])[1]


def _best(problem: Problem, starts: Array) -> tuple[float, Array]:
    ends, values, _ = minimise(problem, starts.copy())
    best = int(np.argmin(values))
    return float(values[best]), ends[best]


def refit_with_search(
    batch: Problem, design_at: DesignAt, value: float, theta: Array, members: int
) -> tuple[Ends, Array]:
    """Optimum of each member of a batch, and its searched value (members,).

    The value is searched on a row of values 10% apart around the fit's own.
    """
    start = refit(batch, theta, members)
    best, chosen = start, np.full(members, value)
    for direction in (1, -1):
        current = start
        for step in np.linspace(0, REACH, STEPS // 2 + 1)[1:]:
            tried = value * float(np.exp(direction * step))
            current = Ends(*minimise(replace(batch, design=design_at(tried)), current.theta))
            chosen[current.value <= best.value] = tried
            best = best.or_better(current)
    return best, chosen
