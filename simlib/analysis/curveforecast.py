"""The end of a training curve from its beginning, learned from finished curves of the same recipe.

A curve bends with its learning rate, so a power law fitted to its first part misses its end. But
curves of one recipe bend alike: how much the loss still falls is nearly linear in how steeply it
falls now, and finished curves say in which way. Intervals come from curves that were left out in
turn, by groups such as sizes, for curves of one group err together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from simlib.catalog import Catalog
from simlib.datasets import load_runs
from simlib.errors import InputError
from simlib.laws.law import Array
from simlib.runs.cellfile import read_cells
from simlib.runs.curves import load_curves
from simlib.runs.expression import Expression, numbers

FEWEST_POINTS, FEWEST_CURVES, FEWEST_GROUPS = 3, 8, 3
RECENT = 0.5  # the slope is that of points from this share of the seen data on
FLAT = 0.7  # of the last loss, where a fit of a power law begins its floor


@dataclass(frozen=True)
class LossCurve:
    """Losses along one run, data ascending, (points,); curves of one `group` err together."""

    name: str
    group: str
    data: Array
    loss: Array

    def until(self, share: float) -> LossCurve:
        """Its beginning, up to a share of all its data."""
        keep = self.data <= share * self.data[-1] * (1 + 1e-9)
        return LossCurve(self.name, self.group, self.data[keep], self.loss[keep])


@dataclass(frozen=True)
class Learned:
    """How curves go on after a share of their data: `log(end / now) = intercept + k slope`.

    `width` is the half-width of an interval of `level` in logarithms of the loss.
    """

    share: float
    intercept: float
    k: float
    width: float
    level: float


@dataclass(frozen=True)
class EndForecast:
    """The loss at the end of a curve, with an interval."""

    name: str
    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodScore:
    """How one method did on held-out curves: errors of log loss; no coverage without intervals."""

    method: str
    rmse: float
    bias: float
    coverage: float | None


@dataclass(frozen=True)
class ShareScore:
    """All methods at one share of the data."""

    share: float
    curves: int
    methods: list[MethodScore]


@dataclass(frozen=True)
class CurveExample:
    """One held-out curve, what was seen of it, and its forecast."""

    name: str
    share: float
    data: list[float]
    loss: list[float]
    forecast: EndForecast


@dataclass(frozen=True)
class CurveScores:
    """Forecasts of held-out curves of a table, and how they were made."""

    name: str
    level: float
    groups: list[str]
    made: dict[str, str]
    scores: list[ShareScore]
    examples: list[CurveExample]


CATALOG = Catalog(CurveScores, "curveforecasts", "score of curve forecasts")


@cache
def load_scores(name: str) -> CurveScores:
    """Shipped scores by name, or the reader's own by path."""
    return CATALOG.load(name)


def read_curves(
    path: Path, run: str, data: str, loss: str, group: str = "", where: str = ""
) -> list[LossCurve]:
    """Curves of a table in any format: columns or expressions for run, data, loss and group.

    Without a group each run is one of its own. Rows without a number, or on no data, are left out.
    Raises InputError for a column that there is not and for what is no expression.
    """
    header, *rows = read_cells(path) or [[]]
    names = [name.strip() for name in header]
    body = [[cell.strip() for cell in row] for row in rows if len(row) == len(names)]
    if not body:
        raise InputError(f"{path}: there are no rows below the header")
    columns = dict(zip(names, map(list, zip(*body, strict=True)), strict=True))

    def values(text: str) -> Array:
        return Expression(text).values(columns, len(body))

    seen, measured = numbers(values(data)), numbers(values(loss))
    keep = np.isfinite(seen) & np.isfinite(measured) & (seen > 0) & (measured > 0)
    if where:
        kept = values(where)
        if kept.dtype != bool:
            raise InputError(f"--where is true or false in each row, such as loss>0; got {where!r}")
        keep &= kept.astype(bool)
    runs, groups = values(run).astype(str), values(group or run).astype(str)
    curves = []
    for name in dict.fromkeys(runs[keep]):
        at = np.flatnonzero(keep & (runs == name))
        at = at[np.argsort(seen[at], kind="stable")]
        curves.append(LossCurve(str(name), str(groups[at[0]]), seen[at], measured[at]))
    return curves


def shipped_curves(name: str) -> list[LossCurve]:
    """Curves of training losses that ship with a run table; models of one size are a group."""
    runs = {record.run_id: record for record in load_runs(name)}
    return [
        LossCurve(
            c.run_id, str(runs[c.run_id].nonzero_params), np.array(c.data_seen), np.array(c.loss)
        )
        for c in load_curves(name).curves
        if c.run_id in runs
    ]


def slope(curve: LossCurve) -> float:
    """Slope of log loss over log data in the later part of what was seen."""
    recent = curve.data >= RECENT * curve.data[-1]
    if recent.sum() < FEWEST_POINTS:
        recent = np.arange(len(curve.data)) >= len(curve.data) - FEWEST_POINTS
    x, y = np.log(curve.data[recent]), np.log(curve.loss[recent])
    x = x - x.mean()
    return float((x * y).sum() / (x**2).sum())


def _features(curves: Sequence[LossCurve], share: float) -> tuple[Array, Array]:
    """Slope at a share, and the logarithm by which the loss falls from there, each (curves,)."""
    begun = [c.until(share) for c in curves]
    if short := next((c for c in begun if len(c.data) < FEWEST_POINTS), None):
        raise InputError(
            f"curve {short.name} has {len(short.data)} points in its first {share:.0%}; at least "
            f"{FEWEST_POINTS} are needed: log more often, or ask for a later share"
        )
    fall = [np.log(c.loss[-1] / b.loss[-1]) for c, b in zip(curves, begun, strict=True)]
    return np.array([slope(b) for b in begun]), np.array(fall)


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Intercept and slope of the least-squares line."""
    k = float(((x - x.mean()) * y).sum() / ((x - x.mean()) ** 2).sum())
    return float(y.mean() - k * x.mean()), k


def learn(curves: Sequence[LossCurve], share: float, level: float = 0.9) -> Learned:
    """How finished curves go on after a share of their data, with an interval of a level.

    Each group is left out in turn, and the interval holds the level of errors that this makes.
    Raises InputError for too few curves or groups, or too few points in the share.
    """
    groups = np.array([c.group for c in curves])
    known = list(dict.fromkeys(groups))
    if len(curves) < FEWEST_CURVES or len(known) < FEWEST_GROUPS or not 0 < share < 1:
        raise InputError(
            f"{len(curves)} curves in {len(known)} groups: at least {FEWEST_CURVES} finished ones "
            f"in {FEWEST_GROUPS} groups are needed, and a share between 0 and 1"
        )
    x, y = _features(curves, share)
    errors = np.zeros(len(curves))
    for group in known:
        out = groups == group
        intercept, k = _line(x[~out], y[~out])
        errors[out] = intercept + k * x[out] - y[out]
    rank = min(int(np.ceil((len(errors) + 1) * level)), len(errors))
    return Learned(share, *_line(x, y), float(np.sort(np.abs(errors))[rank - 1]), level)


def forecast(learned: Learned, begun: LossCurve) -> EndForecast:
    """The end of a curve of which `learned.share` has been seen."""
    middle = np.log(begun.loss[-1]) + learned.intercept + learned.k * slope(begun)
    low, value, high = np.exp(middle + learned.width * np.array([-1, 0, 1]))
    return EndForecast(begun.name, float(value), float(low), float(high))


def power_law_end(begun: LossCurve, end: float) -> float:
    """Loss at `end` by `c + a D^-b` fitted to the curve alone; the baseline."""
    x, y = begun.data / begun.data[-1], np.log(begun.loss)

    def residual(p: Array) -> Array:
        return np.asarray(np.log(np.exp(p[0]) + np.exp(p[1]) * x ** -np.exp(p[2])) - y)

    start = [np.log(begun.loss[-1] * FLAT), np.log(begun.loss[-1] * (1 - FLAT)), -1.0]
    p = least_squares(residual, start, bounds=([-8, -8, -5], [3, 3, 1])).x
    return float(np.exp(p[0]) + np.exp(p[1]) * (end / begun.data[-1]) ** -np.exp(p[2]))


def score(
    curves: Sequence[LossCurve], share: float, level: float = 0.9
) -> tuple[ShareScore, list[EndForecast]]:
    """Forecast each group from the others, against the last value and a power law of each alone."""
    groups = np.array([c.group for c in curves])
    found: dict[int, EndForecast] = {}
    for group in dict.fromkeys(groups):
        others = [c for c, g in zip(curves, groups, strict=True) if g != group]
        learned = learn(others, share, level)
        for i, curve in enumerate(curves):
            if curve.group == group:
                found[i] = forecast(learned, curve.until(share))
    ours = [found[i] for i in range(len(curves))]
    ends = np.array([c.loss[-1] for c in curves])
    begun = [c.until(share) for c in curves]
    alone = {
        "learned from other curves": np.array([f.loss for f in ours]),
        "power law of the curve alone": np.array(
            [power_law_end(b, c.data[-1]) for b, c in zip(begun, curves, strict=True)]
        ),
        "last value": np.array([b.loss[-1] for b in begun]),
    }
    inside = np.mean([f.low <= end <= f.high for f, end in zip(ours, ends, strict=True)])
    methods = []
    for order, (name, values) in enumerate(alone.items()):
        error = np.log(values / ends)
        covered = None if order else float(inside)
        rmse = float(np.sqrt((error**2).mean()))
        methods.append(MethodScore(name, rmse, float(error.mean()), covered))
    return ShareScore(share, len(curves), methods), ours
