"""What a contrast is worth: the size or data at which a law says the reference would do as well."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from simlib.analysis.contrasts import Estimate, Pairs
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import LEVEL, quantile_interval
from simlib.laws.law import Array, JointLaw

COPIES = 999  # of a law without an ensemble, to deal quantiles of t to


def log_multipliers(pairs: Pairs, law: JointLaw, what: str = "size") -> Array:
    """For every pair, ln of the share of its size or data with which the reference does as well.

    The other run's loss is `exp(d)` times the reference's. The law says at which N' (`what`
    "size") or D' ("data") the reference arm reaches that multiple of its predicted loss; the
    answer is `ln(N'/N)`, below zero where the other arm is worse, infinite where none reaches it.
    A law whose coefficients have shape (members, 1) gives (members, pairs).

    Raises InputError for another `what`.
    """
    S, N, D = pairs.points
    target = law(S, N, D) * np.exp(pairs.differences)
    with np.errstate(over="ignore"):
        if what == "size":
            return np.asarray(np.log(law.solve_nonzero_params(S, D, target) / N))
        if what == "data":
            return np.asarray(np.log(law.solve_data_seen(S, N, target) / D))
    raise InputError(f"a multiplier is of 'size' or 'data', not of {what!r}")


def multiplier(
    pairs: Pairs, law_file: FittedLaw, what: str = "size", level: float = LEVEL
) -> Estimate:
    """Geometric mean of `exp(log_multipliers)` over the pairs.

    Its interval holds the spread over pairs and the uncertainty of the law; see `_interval`.
    """
    found = _regress(np.ones((len(pairs.runs), 1)), pairs, law_file, what, level)[0]
    return found.map(lambda value: float(np.exp(value)))


class Trend(NamedTuple):
    """By how much the log multiplier changes with each doubling of size and of data."""

    size: Estimate
    data: Estimate


def trend(pairs: Pairs, law_file: FittedLaw, level: float = LEVEL) -> Trend | None:
    """Least-squares slopes of `log_multipliers` against log2 N and log2 D; None if undetermined.

    A pattern follows the same law, with one multiplier, if both slopes are zero.
    """
    _, N, D = pairs.points
    design = np.stack([np.ones_like(N), np.log2(N), np.log2(D)], axis=1)
    if len(N) <= design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    _, size, data = _regress(design, pairs, law_file, "size", level)
    return Trend(size, data) if np.isfinite([size.mean, data.mean]).all() else None


def unexplained(pairs: Pairs, law: JointLaw) -> float:
    """Root mean square of the log loss that one multiplier for all pairs leaves unexplained."""
    S, N, D = pairs.points
    worth = np.exp(log_multipliers(pairs, law).mean())
    left = pairs.differences - np.log(law(S, worth * N, D) / law(S, N, D))
    return float(np.sqrt(np.mean(left**2)))


def _regress(
    design: Array, pairs: Pairs, law_file: FittedLaw, what: str, level: float
) -> list[Estimate]:
    """Least squares of the log multipliers on the columns of a design (pairs, columns)."""
    solve = np.linalg.pinv(design)
    with np.errstate(invalid="ignore"):
        best = solve @ log_multipliers(pairs, law_file.joint, what)
        intervals = _intervals(design, log_multipliers(pairs, _members(law_file), what), level)
    return [
        Estimate(float(b), ends, len(design))
        if np.isfinite(b)
        else Estimate(float(b), (None, None), len(design))
        for b, ends in zip(best, intervals, strict=True)
    ]


def _members(law_file: FittedLaw) -> JointLaw:
    if law_file.ensemble is not None:
        return law_file.members(1)
    return law_file.joint.from_vector(np.tile(law_file.joint.vector(), (COPIES, 1, 1)))


def _intervals(
    design: Array, values: Array, level: float
) -> list[tuple[float | None, float | None]]:
    """Intervals of least-squares coefficients from values (members, pairs).

    Each member has its coefficients and their standard errors; to each a quantile of Student's t
    is dealt, and the central part of the sums is the interval.
    """
    members, (rows, columns) = len(values), design.shape
    if rows <= columns:
        return [(None, None)] * columns
    solve = np.linalg.pinv(design)
    beta = values @ solve.T
    variance = np.sum((values - beta @ design.T) ** 2, axis=1) / (rows - columns)
    error = np.sqrt(variance[:, None] * np.sum(solve**2, axis=1))
    shares = (np.random.default_rng(0).permutation(members) + 0.5) / members
    drawn = beta + stats.t.ppf(shares, rows - columns)[:, None] * error
    # a member under which nothing reaches the loss counts as beyond the upper end
    drawn = np.where(np.isfinite(drawn), drawn, np.inf)
    ends = zip(*quantile_interval(drawn, level, nearest=True), strict=True)
    return [(_finite(low), _finite(high)) for low, high in ends]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
