"""Was the predicted optimum one? Runs at a point of equal size and cost, against the prediction.

Log loss is taken for a parabola in the log of the density, about its minimum, with an offset for
every seed, whose runs see the same text. Its minimum is the measured optimum; how far the curve
lies above it at a sparsity is the regret of having chosen that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simlib.analysis.contrasts import Estimate, t_interval
from simlib.analysis.optimumgrid import Point
from simlib.errors import InputError
from simlib.fit.profile import Interval
from simlib.laws.intervals import LEVEL, quantile_ends
from simlib.laws.law import Array
from simlib.runs.cells import Indices, same_size, same_sparsity, sparsity_index
from simlib.runs.table import RunRecord, RunTable


@dataclass(frozen=True)
class ArmAtPoint:
    """The runs of one sparsity at a point; `regret` is log loss above the best, with interval."""

    sparsity: float
    data_seen: int
    runs: tuple[RunRecord, ...]
    regret: float
    regret_ends: tuple[float, float]

    @property
    def loss(self) -> float:
        """Geometric mean of the loss over seeds, nats."""
        return float(np.exp(np.mean([np.log(run.loss) for run in self.runs])))


@dataclass(frozen=True)
class Check:
    """What was measured at a point.

    `best` is the sparsity of least loss; an end of its `interval` that reaches the sparsest runs
    is open. `regret` is log loss at the predicted optimum above the best, at least 0. `noise` is
    the standard deviation of log loss about the parabola, `lack_of_fit` the p-value of the test
    that a parabola is enough.
    """

    point: Point
    arms: tuple[ArmAtPoint, ...]
    best: float
    interval: Interval
    regret: float
    regret_ends: tuple[float, float]
    noise: float
    lack_of_fit: float

    @property
    def holds(self) -> bool:
        """Whether the interval of the measured optimum holds the predicted one."""
        low, high = self.interval
        below = high is None or self.point.optimum <= high
        return below and (low is None or low <= self.point.optimum)

    @property
    def overlaps(self) -> bool:
        """Whether the interval of the prediction meets that of the measurement."""
        low, high = self.interval
        return (high is None or self.point.low <= high) and (low is None or low <= self.point.high)


def check_optimum(
    runs: RunTable, point: Point, *, level: float = 0.9, draws: int = 4000, seed: int = 0
) -> Check:
    """Hold the runs of a point against its prediction.

    Intervals are those of the parabola's coefficients, drawn from their t distribution. Raises
    InputError if an arm has no run, or all runs together are too few for a parabola and its noise.
    """
    settings = list(zip(point.sparsities, point.data, strict=True))
    found = [_arm_runs(runs, S, D, point) for S, D in settings]
    members = [run for arm in found for run in arm]
    sparsity = np.array([run.sparsity for run in members])
    x, places = np.log1p(-sparsity), sparsity_index(sparsity)
    y = np.log([run.loss for run in members])
    seeds = np.array([run.seed or 0 for run in members])
    design = np.column_stack([x, x**2, *(seeds == s for s in np.unique(seeds))]).astype(float)
    free = len(y) - design.shape[1]
    if free < 1 or places.max() < 2:
        raise InputError(
            f"{len(y)} runs at {places.max() + 1} sparsities show no optimum: train more "
            "seeds or sparsities"
        )
    inverse = np.linalg.inv(design.T @ design)
    theta = inverse @ design.T @ y
    rss = float(((y - design @ theta) ** 2).sum())
    noise = float(np.sqrt(rss / free))
    curve = theta[:2]
    drawn = _draws(curve, noise**2 * inverse[:2, :2], free, draws, seed)
    ends = (float(x.min()), float(x.max()))
    at = 1 - np.exp(_minimum(drawn, ends))
    low, high = quantile_ends(at, level, nearest=True)
    regret, regret_ends = _regret(curve, drawn, np.log1p(-point.optimum), ends, level)
    arms = []
    for (S, D), arm in zip(settings, found, strict=True):
        value, value_ends = _regret(curve, drawn, np.log1p(-S), ends, level)
        arms.append(ArmAtPoint(S, D, tuple(arm), value, value_ends))
    most = float(1 - np.exp(ends[0]))
    return Check(
        point,
        tuple(arms),
        float(1 - np.exp(_minimum(curve[None], ends)[0])),
        (low, None if same_sparsity(high, most) else high),
        regret,
        regret_ends,
        noise,
        _lack_of_fit(y, places, seeds, rss, free),
    )


def density_over(
    checks: Sequence[Check], advice: Sequence[float], level: float = LEVEL
) -> Estimate:
    """Density of the measured optimum over that of an advised sparsity, one for every check.

    Geometric mean over points with Student's t.
    """
    logs = [np.log((1 - c.best) / (1 - S)) for c, S in zip(checks, advice, strict=True)]
    return t_interval(logs, level).map(lambda value: float(np.exp(value)))


def _arm_runs(runs: RunTable, sparsity: float, data_seen: int, point: Point) -> list[RunRecord]:
    found = [
        run
        for run in runs.finished
        if run.start == "scratch"
        and run.pruner in ("none", "gmp")
        and run.data_seen == data_seen
        and same_sparsity(run.sparsity, sparsity)
        and same_size(run.nonzero_params, point.nonzero_params)
    ]
    if not found:
        raise InputError(
            f"the table has no run of {point.nonzero_params:,} non-zero parameters at sparsity "
            f"{sparsity:.3f} on {data_seen:,}: train the grid of the point first"
        )
    return found


def _draws(mean: Array, covariance: Array, free: int, draws: int, seed: int) -> Array:
    drawn = stats.multivariate_t(mean, covariance, df=free, seed=seed, allow_singular=True)
    return np.asarray(drawn.rvs(draws)).reshape(draws, len(mean))


def _minimum(curves: Array, ends: tuple[float, float]) -> Array:
    """Where parabolas (draws, 2) without constant are least between the ends."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.clip(-curves[:, 0] / (2 * curves[:, 1]), *ends)
    first, last = (_height(curves, end) for end in ends)
    outer = np.where(first < last, ends[0], ends[1])
    return np.where(curves[:, 1] > 0, inner, outer)


def _height(curves: Array, x: float | Array) -> Array:
    return np.asarray(curves[:, 0] * x + curves[:, 1] * np.asarray(x) ** 2)


def _regret(
    curve: Array, drawn: Array, x: float, ends: tuple[float, float], level: float
) -> tuple[float, tuple[float, float]]:
    x = float(np.clip(x, *ends))
    both = np.vstack([curve, drawn])
    above = _height(both, x) - _height(both, _minimum(both, ends))
    return float(above[0]), quantile_ends(above[1:], level)


def _lack_of_fit(y: Array, places: Indices, seeds: Array, rss: float, free: int) -> float:
    """p-value of the F test of the parabola against one mean for every arm; 1 where there is none.

    Draper and Smith 1998, Applied Regression Analysis, section 2.1.
    """
    columns = [places == place for place in range(places.max() + 1)]
    columns += [seeds == s for s in np.unique(seeds)[1:]]
    design = np.column_stack(columns).astype(float)
    left = len(y) - design.shape[1]
    extra = free - left
    if left < 1 or extra < 1:
        return 1.0
    theta = np.linalg.lstsq(design, y, rcond=None)[0]
    pure = float(((y - design @ theta) ** 2).sum())
    return float(stats.f.sf((rss - pure) / extra / (pure / left), extra, left))
