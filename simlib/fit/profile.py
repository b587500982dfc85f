"""Profile intervals: how far a quantity can move before the objective rises too much.

The threshold of "too much" is calibrated, not taken from a table: runs are drawn with replacement,
each such table is refitted freely and with the quantity held at the fit's own value, and the
threshold is the level's quantile of the rise. This keeps the interval honest for a Huber objective,
whose rises do not follow a chi-squared law. Tables of resampled residuals would not do: a fit close
to absolute values passes through as many runs as it has coefficients, and the residuals that this
leaves at zero make every threshold too low.

All ends of the profiles are one batch of the solver, and so are all calibration tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from simlib.fit.bootstrap import Ends, from_lifted, refit
from simlib.fit.newton import minimise
from simlib.fit.problem import Held, Hold, Problem
from simlib.fit.quantity import Axis
from simlib.laws.law import Array, Indices

Interval: TypeAlias = tuple[float | None, float | None]
WIDE = 4.0  # an interval whose ends differ by more than this factor does not identify a coefficient

FIRST, LONGEST = 0.02, 2.0  # steps out along a profile
NEAR = 1e-4  # an end is found where the root of the rise is within this of the threshold's
ROUNDS = 60  # points of a profile, several times what it takes


def wide(interval: Interval) -> bool:
    """Whether an interval is open, holds 0, or has ends that differ by more than `WIDE` times."""
    low, high = interval
    if low is None or high is None:
        return True
    least, most = sorted((abs(low), abs(high)))
    return low <= 0 < high or not most <= WIDE * least


def thresholds(
    axes: Sequence[Axis], theta: Array, resampled: Problem, cold: Array, level: float
) -> Array:
    """For each axis, the rise of the objective that a share `level` of tables keeps to."""
    tables = len(resampled.weights)
    free = refit(resampled, theta, tables, cold)
    which = np.repeat(np.arange(len(axes)), tables)
    u = np.array([axis.start for axis in axes])[which]
    batch = replace(resampled, weights=np.tile(resampled.weights, (len(axes), 1)))
    held = _held_ends(batch, axes, which, u, theta, np.tile(free.theta, (len(axes), 1)))
    rise = np.maximum(held.value.reshape(len(axes), tables) - free.value, 0)
    return np.asarray(np.quantile(rise, level, axis=1))


def profile_intervals(
    problem: Problem, axes: Sequence[Axis], theta: Array, rises: Array
) -> list[Interval]:
    """Lower and upper end of each axis' interval; None where the profile never closes."""
    best = float(minimise(problem, theta[None])[1][0])
    which = np.repeat(np.arange(len(axes)), 2)
    start = np.array([axis.start for axis in axes])[which]
    limit = np.array([axis.limits for axis in axes]).ravel()
    walk = _Walk(start, limit, np.tile(theta, (len(which), 1)))
    for _ in range(ROUNDS):
        if not len(walk.live):
            break
        u = walk.next()
        found = _held_ends(problem, axes, which[walk.live], u, theta, walk.theta[walk.live])
        rise = np.maximum(found.value - best, 0) / np.maximum(rises[which[walk.live]], 1e-300)
        walk.note(u, np.sqrt(rise), found.theta)
    values = [
        None if np.isnan(end) else axes[row // 2].to_value(float(end))
        for row, end in enumerate(walk.end)
    ]
    return list(zip(values[::2], values[1::2], strict=True))


def _held_ends(
    problem: Problem, axes: Sequence[Axis], which: Indices, u: Array, theta: Array, other: Array
) -> Ends:
    """Optimum of each member held at its u, from the fit and from another start (members, k)."""
    start = np.tile(theta, (len(u), 1))
    ends = Ends(start, np.full(len(u), np.inf), np.zeros(len(u), bool))
    for these, hold in _holds(axes, which, u):
        for begin in (start, other):
            found = Ends(*minimise(problem.members(these), begin[these], hold=hold))
            ends = ends.or_better(from_lifted(problem.members(these), found, hold), these)
    return ends


class _Walk:
    """Where each side of each profile is on its way to the threshold.

    The root of the rise, as a share of the threshold's, is nearly linear: `inside` it is below 1,
    `outside` above. A side goes out in steps of up to three times its way so far, then the two
    ends are brought together by secants and halving. A side that reaches its limit inside is
    open: its `end` stays NaN.
    """

    def __init__(self, start: Array, limit: Array, theta: Array) -> None:
        self.start, self.limit, self.theta = start, limit, theta
        self.inside, self.low = start.copy(), np.zeros(len(start))
        self.outside, self.high = np.full(len(start), np.nan), np.full(len(start), np.inf)
        self.end = np.full(len(start), np.nan)
        self.live = np.flatnonzero(start != limit)
        self.turn = 0

    def next(self) -> Array:
        """The next point of each live side, (live,)."""
        n = self.live
        way, low, inside = self.limit[n] - self.start[n], self.low[n], self.inside[n]
        gone = np.maximum(np.abs(inside - self.start[n]), FIRST / 4)
        far = gone * np.clip(1.1 / np.maximum(low, 1e-9), 1.5, 4)
        far = np.minimum(np.minimum(far, gone + LONGEST), np.abs(way))
        out = self.start[n] + np.sign(way) * far
        self.turn += 1
        share = (1 - low) / (self.high[n] - low)
        share = np.full(len(n), 0.5) if self.turn % 3 == 0 else np.clip(share, 0.01, 0.99)
        between = inside + share * (self.outside[n] - inside)
        return np.where(np.isnan(self.outside[n]), out, between)

    def note(self, u: Array, root: Array, theta: Array) -> None:
        """What was found at the points of `next`: the root of the rise, and theta there."""
        n = self.live
        over = ~(root <= 1)
        self.outside[n[over]], self.high[n[over]] = u[over], root[over]
        under = n[~over]
        self.inside[under], self.low[under], self.theta[under] = u[~over], root[~over], theta[~over]
        width = np.abs(self.outside[n] - self.inside[n])
        met = (np.abs(root - 1) < NEAR) | (width < 1e-7 * np.maximum(np.abs(u - self.start[n]), 1))
        self.end[n[met]] = u[met]
        done = met | (~over & (u == self.limit[n]))
        self.live = n[~done]


def _holds(axes: Sequence[Axis], which: Indices, u: Array) -> Iterator[tuple[Indices, Held]]:
    """Members and what holds them: all that are linear in theta together, then each curve."""
    parts = [
        (np.flatnonzero(which == i), axes[i].hold(u[which == i]))
        for i in sorted(set(which.tolist()))
    ]
    straight = [(these, hold) for these, hold in parts if isinstance(hold, Hold)]
    if straight:
        members, holds = zip(*straight, strict=True)
        yield np.concatenate(members), Hold(*(np.concatenate(a) for a in zip(*holds, strict=True)))
    yield from ((these, hold) for these, hold in parts if not isinstance(hold, Hold))
