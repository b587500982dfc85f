"""Fits of what repeated data is worth: a law of fresh data with the data counted as it saturates.

The house solver fits sums of exponentials of linear terms; `D_eff` is none, so scipy's
`least_squares` minimises a Huber objective on log loss here, with derivatives by central
differences.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from simlib.errors import InputError
from simlib.fit.bootstrap import AGREE
from simlib.laws.intervals import quantile_ends
from simlib.laws.law import Array, Bools
from simlib.laws.repeated import PUBLISHED_REPEATED, Repetition, WithRepeats
from simlib.laws.rivals import DensityPower
from simlib.runs.cells import Columns
from simlib.runs.table import RunTable

# log a_N', b_N, k, log a_D', b_D, log c, log R, l, N and D in units of their geometric means
LOWER = np.array([-8.0, 0.005, -2.0, -8.0, 0.02, -8.0, np.log(0.02), -1.2])
UPPER = np.array([4.0, 2.0, 4.0, 4.0, 3.0, 4.0, np.log(1e4), 20.0])
NAMES = ("a_N", "b_N", "k", "a_D", "b_D", "c", "R", "l")
SIZE_AND_DATA = 6  # entries that belong to the law of fresh data
DELTA = 0.01  # of the Huber objective, about the noise of a short run: most residuals are squared
PROBE = 10  # every so many refits try a random start first
STEP = 1e-6  # of the central differences
FRESH, USELESS = 1e9, 1e-6  # R with which every pass counts in full, or none after the first


@dataclass(frozen=True)
class Reading:
    """A way to count repeated data: the entries of theta that are free, and R(S) from them."""

    name: str
    free: int
    repetition: Callable[[Array], Repetition]


READINGS = (
    Reading("repeats count as fresh", 0, lambda tail: Repetition(FRESH)),
    Reading("repeats count for nothing", 0, lambda tail: Repetition(USELESS)),
    Reading("published R(S)", 0, lambda tail: PUBLISHED_REPEATED.data),
    Reading("fitted R, one for all sparsities", 1, lambda tail: Repetition(np.exp(tail[..., 0]))),
    Reading("fitted R(S)", 2, lambda tail: Repetition(np.exp(tail[..., 0]), tail[..., 1])),
)


@dataclass(frozen=True)
class RepeatedRuns(Columns):
    """Columns of shape (runs,) with U, the distinct data among D."""

    U: Array

    def __post_init__(self) -> None:
        if not (self.D > self.U).any():
            raise InputError(
                "no run sees its data more than once, so nothing tells what repeats are worth: "
                "add runs with data_seen above the number of distinct tokens or images"
            )
        for name, values in (("sizes", self.N), ("amounts of data", self.D)):
            if len(np.unique(values)) < 2:
                raise InputError(f"the runs have one value of {name}: a fit needs at least 2")

    def without(self, left_out: int | Bools) -> RepeatedRuns:
        """All runs but those of a row number or a mask."""
        return RepeatedRuns(*(np.delete(v, left_out) for v in vars(self).values()))


def runs_of(table: RunTable, whole: int) -> RepeatedRuns:
    """The columns of a run table whose corpus names say how many images they are limited to.

    `whole` is the number of distinct images of a corpus without a limit. Raises InputError for a
    table that says nothing of repeats.
    """
    done = table.finished
    return RepeatedRuns(
        done.sparsity,
        done.nonzero_params,
        done.data_seen,
        done.loss,
        np.array([distinct_images(r.dataset, whole) for r in done], dtype=float),
    )


def distinct_images(dataset: str, whole: int) -> int:
    """How many distinct training images a corpus of this name has, `whole` without a limit."""
    limit = re.search(r"[:,]images=([^,]+)", dataset)
    return int(float(limit[1])) if limit else whole


@dataclass(frozen=True)
class RepeatedFit:
    """A fitted law with `free` free coefficients and an ensemble from resampled residuals.

    `ensemble` is a law whose coefficients have shape (members, 1), ready to meet runs; None
    without resampling, and `converged` counts the refits that did. `value` is the mean objective,
    `agreeing` the share of starts that reach it.
    `at_bound` names the coefficients that the runs push to the end of their range.
    """

    reading: Reading
    law: WithRepeats
    ensemble: WithRepeats | None
    converged: int
    value: float
    log_rmse: float
    free: int
    agreeing: float
    at_bound: tuple[str, ...]

    def interval(
        self, quantity: Callable[[WithRepeats], Array], level: float = 0.9
    ) -> tuple[float, float]:
        """Confidence interval of a number of the law over the ensemble."""
        if self.ensemble is None:
            raise InputError("this fit was made without resampling, so it gives no interval")
        return quantile_ends(quantity(self.ensemble), level)


def fit_repeated(
    runs: RepeatedRuns,
    reading: Reading = READINGS[-1],
    *,
    starts: int = 12,
    resamples: int = 0,
    seed: int = 0,
) -> RepeatedFit:
    """Fit `a_N (N (1-S)^-k)^-b_N + (a_D / D_eff)^b_D + c` with D counted as `reading` says.

    The size term is a power of density, since three sparsities cannot show a saturating one; N is
    not taken to saturate, and q of R(S) is 0. Raises InputError for too few runs.
    """
    k = SIZE_AND_DATA + reading.free
    if len(runs) <= k:
        raise InputError(f"{len(runs)} runs cannot fix {k} coefficients: at least {k + 1} needed")
    rng = np.random.default_rng(seed)
    begin = rng.uniform(LOWER[:k] + 0.2, np.minimum(UPPER[:k], 1.5), (starts, k))
    ends = [_minimise(runs, reading, start) for start in begin]
    values = np.array([end.value for end in ends])
    theta, value, _ = ends[int(np.argmin(values))]
    law = _law(runs, reading, theta)
    residual = np.log(law(runs.S, runs.N, runs.D, runs.U)) - np.log(runs.L)
    drawn = _resampled(runs, reading, theta, begin, residual, resamples, rng)
    return RepeatedFit(
        reading,
        law,
        _ensemble(runs, reading, drawn),
        sum(end.converged for end in drawn),
        value / len(runs),
        float(np.sqrt((residual**2).mean())),
        k,
        float((values <= value * (1 + AGREE) + 1e-16).mean()),
        _at_bound(theta),
    )


def left_out(runs: RepeatedRuns, reading: Reading, whole: RepeatedFit, seed: int = 0) -> Array:
    """Error of log loss of each run by the law fitted to all others, shape (runs,)."""
    errors = np.empty(len(runs))
    for row in range(len(runs)):
        rest = runs.without(row)
        law = _law(rest, reading, _minimise(rest, reading, _theta(rest, whole.law, reading)).theta)
        predicted = law(runs.S[row], runs.N[row], runs.D[row], runs.U[row])
        errors[row] = np.log(predicted) - np.log(runs.L[row])
    return errors


class _End(NamedTuple):
    """Where a minimisation ends: theta (k,), the sum of the objective, whether it converged."""

    theta: Array
    value: float
    converged: bool


def _resampled(
    runs: RepeatedRuns,
    reading: Reading,
    theta: Array,
    begin: Array,
    residual: Array,
    members: int,
    rng: np.random.Generator,
) -> list[_End]:
    """Refits of the fitted losses plus residuals drawn with replacement, widened for k.

    Each starts from the fit of all runs and, if that lowers any of every tenth, from one of the
    fit's random starts, and keeps the better end.
    """
    fitted = np.log(runs.L) + residual
    spread = (residual - residual.mean()) * np.sqrt(len(runs) / (len(runs) - len(theta)))
    drawn = np.exp(fitted - rng.choice(spread, size=(members, len(runs))))
    tables = [replace(runs, L=losses) for losses in drawn]
    ends = [_minimise(table, reading, theta) for table in tables]
    for every in (PROBE, 1):
        tried = range(0, members, every)
        cold = {row: _minimise(tables[row], reading, begin[row % len(begin)]) for row in tried}
        lower = [row for row, end in cold.items() if end.value < ends[row].value * (1 - AGREE)]
        ends = [min(end, cold.get(row, end), key=_value) for row, end in enumerate(ends)]
        if not lower:
            break
    return ends


def _value(end: _End) -> float:
    return end.value


def _ensemble(runs: RepeatedRuns, reading: Reading, ends: list[_End]) -> WithRepeats | None:
    if not ends:
        return None
    return _law(runs, reading, np.array([end.theta for end in ends])[:, None, :])


def _at_bound(theta: Array) -> tuple[str, ...]:
    near = np.minimum(theta - LOWER[: len(theta)], UPPER[: len(theta)] - theta) < 1e-3
    return tuple(name for name, close in zip(NAMES, near, strict=False) if close)


def _minimise(runs: RepeatedRuns, reading: Reading, start: Array) -> _End:
    def residuals(theta: Array) -> Array:
        law = _law(runs, reading, theta)
        return np.asarray(np.log(law(runs.S, runs.N, runs.D, runs.U)) - np.log(runs.L))

    def jacobian(theta: Array) -> Array:
        around = residuals((theta + steps)[:, None, :]) - residuals((theta - steps)[:, None, :])
        return around.T / (2 * STEP)

    k = len(start)
    steps = STEP * np.eye(k)
    inside = np.clip(start, LOWER[:k] + 1e-6, UPPER[:k] - 1e-6)
    found = least_squares(
        residuals,
        inside,
        jacobian,
        bounds=(LOWER[:k], UPPER[:k]),
        loss="huber",
        f_scale=DELTA,
        x_scale="jac",
        max_nfev=300,
    )
    return _End(found.x, float(found.cost), found.status > 0)


def _law(runs: RepeatedRuns, reading: Reading, theta: Array) -> WithRepeats:
    """The law of entries (..., k), in raw units."""
    n, d = _units(runs)
    size, b_N, k, data, b_D, floor = np.moveaxis(theta[..., :SIZE_AND_DATA], -1, 0)
    law = DensityPower(
        a_N=np.exp(size + n * b_N),
        k=k,
        b_N=b_N,
        a_D=np.exp(data / b_D + d),
        b_D=b_D,
        c=np.exp(floor),
    )
    return WithRepeats(law, reading.repetition(theta[..., SIZE_AND_DATA:]))


def _theta(runs: RepeatedRuns, law: WithRepeats, reading: Reading) -> Array:
    """The inverse of `_law` for one law."""
    n, d = _units(runs)
    a_N, k, b_N, a_D, b_D, c = law.law.vector()
    tail = [np.log(law.repetition.R), law.repetition.l][: reading.free]
    return np.array([np.log(a_N) - n * b_N, b_N, k, b_D * (np.log(a_D) - d), b_D, np.log(c), *tail])


def _units(runs: RepeatedRuns) -> tuple[float, float]:
    return float(np.log(runs.N).mean()), float(np.log(runs.D).mean())
