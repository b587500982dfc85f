"""A law's forecast of runs: loss, prediction interval, and distance from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import check_level, tails
from simlib.laws.law import Array, Bools, JointLaw, fraction, positive
from simlib.simulate.blocks import BLOCK, ensemble_of

HALVINGS = 36  # of the bracket around a quantile: to 1e-10 of its width

# Beyond these distances a forecast carries a warning. T5-XL, 7 times the largest fitted size, lies
# outside the 90% interval of the refitted law, so the line is drawn well before that.
FAR_SIZE_OR_DATA = 3.0
FAR_COMPUTE = 9.0
FAR_DENSITY = 1.25


@dataclass(frozen=True)
class Distance:
    """Factors by which points lie outside the fitted range; 1 inside it. Arrays of one shape.

    `nonzero_params` and `data_seen` are factors above the largest or below the smallest fitted
    value. `density` is the factor by which 1 - S lies below that of the sparsest fitted run (or
    above that of the least sparse). `compute` is N D over the largest N times the largest D of
    the table, below 1 where the point is cheaper.
    """

    nonzero_params: Array
    data_seen: Array
    density: Array
    compute: Array

    @property
    def far(self) -> Bools:
        """Whether a point lies past a stated distance in any direction."""
        beyond = np.maximum(self.nonzero_params, self.data_seen) > FAR_SIZE_OR_DATA
        return np.asarray(beyond | (self.compute > FAR_COMPUTE) | (self.density > FAR_DENSITY))

    def warning(self, what: str = "this forecast") -> str | None:
        """One sentence for a single point that lies far outside, else None."""
        if not np.all(self.far):
            return None
        parts = (
            (float(self.nonzero_params), FAR_SIZE_OR_DATA, "in size"),
            (float(self.data_seen), FAR_SIZE_OR_DATA, "in data"),
            (float(self.density), FAR_DENSITY, "in density"),
            (float(self.compute), FAR_COMPUTE, "in compute"),
        )
        said = ", ".join(
            f"{value:.3g} times {name}" for value, limit, name in parts if value > limit
        )
        return (
            f"{what} lies outside the fitted runs by {said}: its interval holds the uncertainty of "
            "the coefficients, not that of the law's form out there"
        )


@dataclass(frozen=True)
class Forecast:
    """Predicted losses of one law with prediction intervals of `level`, arrays of one shape."""

    law: str
    loss: Array
    low: Array
    high: Array
    distance: Distance
    level: float


def forecast(
    law_file: FittedLaw,
    S: ArrayLike,
    N: ArrayLike,
    D: ArrayLike,
    *,
    level: float = 0.9,
    noise: float | None = None,
    widen: float = 1.0,
    block: int = BLOCK,
) -> Forecast:
    """Loss of runs at (S, N, D), which broadcast, with the prediction interval of a single run.

    The interval joins the ensemble with a normal residual on log loss of standard deviation
    `noise` (default: the law file's `log_rmse`). `widen` widens it about the forecast on the
    log scale; `simlib.analysis.calibration` says by how much. Raises InputError for a law without
    an ensemble or a range, and for values outside their domain.
    """
    check_level(level)
    noise = residual_noise(law_file) if noise is None else noise
    if not (np.isfinite(noise) and noise >= 0):
        raise InputError(f"the noise of log loss must be at least 0 and finite, got {noise}")
    if not (np.isfinite(widen) and widen > 0):
        raise InputError(
            f"intervals are widened by a positive factor, got {widen}: give 1 to "
            "leave them as they are"
        )
    points = np.broadcast_arrays(
        fraction(S), positive("nonzero_params", N), positive("data_seen", D)
    )
    loss = np.asarray(law_file.law(*points))
    low, high = prediction_interval(law_file, points, noise, level, block)
    return Forecast(
        law_file.name,
        loss,
        loss * (low / loss) ** widen,
        loss * (high / loss) ** widen,
        distance(law_file, *points),
        level,
    )


def allowed_misses(
    law_file: FittedLaw,
    S: ArrayLike,
    N: ArrayLike,
    D: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    noise: float | None = None,
    seed: int = 0,
) -> int:
    """How many runs may lie outside their intervals, `low` to `high`, by chance.

    The number that 9 of 10 draws stay within: in each, one law of the ensemble is the truth of all
    runs, so they err together, and every run has its own residual.
    """
    noise = residual_noise(law_file) if noise is None else noise
    members = ensemble_of(law_file).expand(1)
    points = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in (S, N, D)))
    logs = np.log(members(*points))
    logs = logs + noise * np.random.default_rng(seed).standard_normal(logs.shape)
    missed = ((logs < np.log(low)) | (logs > np.log(high))).sum(axis=1)
    return int(np.quantile(missed, 0.9, method="inverted_cdf"))


def residual_noise(law_file: FittedLaw) -> float:
    """Standard deviation of the residuals of log loss that the law file records."""
    if np.isnan(law_file.log_rmse):
        raise InputError(f"the law {law_file.name!r} records no log_rmse: give the noise yourself")
    return law_file.log_rmse


def prediction_interval(
    law_file: FittedLaw, points: Sequence[Array], noise: float, level: float, block: int = BLOCK
) -> tuple[Array, Array]:
    """Ends of the interval that a single run falls in: quantiles of the losses with their noise.

    `points` are S, N and D of one shape; at most `block` numbers are held at a time. Without noise
    it is the confidence interval of the law's mean.
    """
    members = ensemble_of(law_file).expand(1)
    size = max(block // len(members.vector()), 1)
    flat = [p.ravel() for p in points]
    found = np.empty((2, flat[0].size))
    for start in range(0, flat[0].size, size):
        logs = np.log(members(*(f[start : start + size] for f in flat)))
        for row, share in enumerate(tails(level)):
            found[row, start : start + size] = np.exp(mixture_quantile(logs, noise, share))
    return found[0].reshape(points[0].shape), found[1].reshape(points[0].shape)


def mixture_quantile(means: Array, noise: float, share: float) -> Array:
    """Quantile over the first axis of equally likely normals with these means and one deviation."""
    from scipy.special import ndtr  # not at the top: it takes long to import

    if noise == 0:
        return np.asarray(np.quantile(means, share, axis=0))
    low, high = means.min(axis=0) - 8 * noise, means.max(axis=0) + 8 * noise
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        below = ndtr((middle - means) / noise).mean(axis=0) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def distance(law_file: FittedLaw, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Distance:
    """How far points lie outside the range that the law was fitted to."""
    low, high = fitted_range(law_file)
    S, N, D = np.broadcast_arrays(np.asarray(S, float), np.asarray(N, float), np.asarray(D, float))
    compute = N * D / (high[1] * high[2])
    return Distance(
        _outside(N, low[1], high[1]),
        _outside(D, low[2], high[2]),
        _outside(1 - S, 1 - high[0], 1 - low[0]),
        compute,
    )


def fitted_range(law_file: FittedLaw) -> tuple[Array, Array]:
    """Least and greatest (S, N, D) of the runs behind a law. Raises InputError where unknown."""
    ends = np.array(law_file.fitted_range)
    return ends[:, 0], ends[:, 1]


def fitted_alike(one: FittedLaw, other: FittedLaw) -> bool:
    """Whether two joint laws are of the same runs, with their parameters counted the same way."""
    if not (isinstance(one.law, JointLaw) and isinstance(other.law, JointLaw)):
        return False
    known = None not in (one.table_sha256, one.range)
    return known and (one.table_sha256, one.range) == (other.table_sha256, other.range)


def _outside(value: Array, low: float, high: float) -> Array:
    return np.maximum(np.maximum(value / high, low / value), 1.0)


def compare(
    law_files: Sequence[FittedLaw], S: ArrayLike, N: ArrayLike, D: ArrayLike
) -> tuple[dict[str, Array], Array]:
    """Losses that several laws predict for the same runs, and their largest over their smallest.

    No ensemble is needed: disagreement between laws is what no single law's interval shows.
    """
    losses = {f.name: np.asarray(f.law(S, N, D)) for f in law_files}
    if not losses:
        raise InputError("no law was given to compare")
    stacked = np.stack(np.broadcast_arrays(*losses.values()))
    return losses, stacked.max(axis=0) / stacked.min(axis=0)
