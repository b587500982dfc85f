"""Estimates that several claims share, each as a piece of evidence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from simlib.analysis.contrasts import Estimate
from simlib.analysis.numbers import number, percent
from simlib.claims.evidence import Measured, Unit
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.fit.profile import Interval
from simlib.laws.intervals import LEVEL, quantile_ends
from simlib.laws.law import Array, JointLaw, Law
from simlib.laws.optimum import COSTS, chinchilla_flops, cost_model, optimal_sparsity

SPARSITY = 0.75  # at which worth and drift are judged: sparse, and inside every table
ROUNDING = 1e-12
# log-RMSE of the published fits on their own runs: 1.05% (ViT), 1.04% (T5)
PUBLISHED_ERROR = 0.0105
Quantity = Callable[[JointLaw], Array]
LawForm = TypeVar("LawForm", bound=Law)


def of_law(
    law_file: FittedLaw, compute: Quantity, paper: float | None = None, note: str = ""
) -> Measured:
    """A quantity of a joint law, with its interval over the ensemble.

    Members so extreme that the quantity is not a number are left out; infinite ones count.
    """
    return of_members(law_file, law_file.joint, law_file.members(), compute, paper, note)


def of_members(
    law_file: FittedLaw,
    law: LawForm,
    members: LawForm,
    compute: Callable[[LawForm], Array],
    paper: float | None = None,
    note: str = "",
) -> Measured:
    """The same of a law of any form."""
    with np.errstate(all="ignore"):
        value, values = float(compute(law)), np.asarray(compute(members))
    values = values[~np.isnan(values)]
    if not len(values):
        raise InputError(f"{law_file.name}: no member of its ensemble says anything of that")
    return Measured(value, quantile_ends(values, nearest=True), note, paper=paper)


def ends(interval: Interval) -> tuple[float, float]:
    """An interval with infinity for each end that does not exist."""
    low, high = interval
    return -math.inf if low is None else low, math.inf if high is None else high


def of_estimate(
    found: Estimate, note: str = "", part: str = "", paper: float | None = None
) -> Measured:
    """A mean over runs with its interval."""
    return Measured(found.mean, ends(found.interval), note, part, paper)


def of_misses(missed: int, chance: int, note: str) -> Measured:
    """Runs outside their prediction intervals, over one more than chance allows."""
    value = missed / (chance + 1)
    return Measured(value, (value, value), note)


def loss_span(law_file: FittedLaw) -> float:
    """Log of the greatest over the least loss that a law predicts in the range of its runs."""
    N, D = law_file.fitted_range[1:]
    corners = law_file.law([0.0, 0.0], [N[0], N[1]], [D[0], D[1]])
    return float(np.log(corners[0] / corners[1]))


def difference_of_means(a: ArrayLike, b: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of `a` less mean of `b` with Welch's interval, open for fewer than two values each."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    value = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return Estimate(value, (None, None), len(a) + len(b))
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval(level)
    return Estimate(value, (float(low), float(high)), len(a) + len(b))


def optimal_at(multiple: float, cost: str) -> Quantity:
    """Optimal sparsity at a multiple of the dense compute optimum; the same for every size."""
    return lambda law: optimal_sparsity(law, 1.0, multiple * chinchilla_flops(law, 1.0), cost)


def smallest_equal_size(cost: str) -> Quantity:
    """Least share of the dense compute-optimal size whose best sparse model is no worse.

    Both are trained at one cost; on a grid of 2% steps, 1 where no smaller model reaches the loss.
    It does not depend on the cost, since all terms of the loss but the floor scale with it alike.
    """

    def compute(law: JointLaw) -> Array:
        flops = chinchilla_flops(law, 1.0)
        share = np.geomspace(0.02, 1.0, 200).reshape((-1,) + (1,) * np.ndim(law.b_N))
        S = np.minimum(optimal_sparsity(law, share, flops, cost), 1 - ROUNDING)
        loss = law(S, share, cost_model(cost).data_seen(S, share, flops))
        dense = law(0.0, 1.0, COSTS["dense"].data_seen(0.0, 1.0, flops))
        equal = loss <= dense * (1 + ROUNDING)
        return np.asarray(np.min(np.where(equal, share, 1.0), axis=0))

    return compute


def written(value: float, unit: Unit) -> str:
    """A value in its unit; `open` where it is infinite."""
    if math.isinf(value):
        return "open"
    if unit == "%":
        digits = 1 if abs(value) >= 0.01 else 2
        return percent(value, digits) if round(value, 4) else percent(0.0)
    if unit == "n":
        return f"{value:.0f}"
    return number(value) + (" ×" if unit == "x" else "")
