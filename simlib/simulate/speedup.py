"""Training cost on hardware that gains less from zeros than it could: measured speed-ups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.law import Array, fraction
from simlib.laws.optimum import CostModel, cubic_progress
from simlib.simulate.kerneltimes import load_timings, step_speedups

_MOMENTS = (np.arange(200) + 0.5) / 200  # shares of training at which a schedule is sampled


@dataclass(frozen=True)
class SpeedupCost:
    """Training cost in dense FLOP where a step at sparsity S runs `speedup(S)` times faster.

    `points` are measured (S, speed-up) pairs, joined by straight lines from (0, 1) and constant
    beyond the last; without points nothing is gained, which is the cost model "dense". A speed-up
    of `1 / (1 - S)` at every S is the cost model "sparse". The schedule is dense for 25% of
    training, cubic to 75%, sparse after.
    """

    points: tuple[tuple[float, float], ...] = ()
    name: str = "measured"

    def __post_init__(self) -> None:
        for S, factor in self.points:
            if not (0 < S < 1 and np.isfinite(factor) and factor > 0):
                raise InputError(
                    f"a measured speed-up is a sparsity in (0, 1) with a positive factor, got "
                    f"{S:g}:{factor:g}"
                )
        if len({S for S, _ in self.points}) < len(self.points):
            raise InputError(f"two speed-ups are given for one sparsity: {self.points}")

    def speedup(self, S: ArrayLike) -> Array:
        """How many times faster a training step at sparsity S runs than a dense one."""
        known = sorted([(0.0, 1.0), *self.points])
        return np.interp(np.asarray(S, float), [p[0] for p in known], [p[1] for p in known])

    def multiplier(self, S: ArrayLike) -> Array:
        """Cost relative to a dense run of the same non-zero parameters."""
        S = fraction(S)
        progress = cubic_progress()(_MOMENTS)
        return (1 / self.speedup(S[..., None] * progress)).mean(axis=-1) / (1 - S)


def two_four_cost(speedup: float = 1.0, share: float = 0.25) -> CostModel:
    """Cost of a 2:4 run, S = 1/2, that trains `speedup` times faster for a `share` of its steps.

    The default is no speed-up. With gradual pruning the mask is 2:4 for the last quarter of
    training; a method that holds a 2:4 mask throughout has share 1. Data sheets promise 2 for the
    matrix product, which no whole training step reaches. Raises InputError for impossible values.
    """
    if not (1 <= speedup <= 2 and 0 <= share <= 1):
        raise InputError(
            f"a 2:4 speed-up lies in [1, 2] and its share of training in [0, 1], got {speedup:g} "
            f"and {share:g}"
        )
    return CostModel("2:4", 1 - share + share / speedup, 0.0)


def parse_speedups(text: str) -> SpeedupCost:
    """A curve from text such as `0.5:1.1,0.9:2.5`, or one measured, such as `cpu@1024`.

    The second form names shipped timings (or the path of one's own) and a width. Raises InputError
    for anything else.
    """
    name, at, width = text.rpartition("@")
    if at and width.isdigit():
        return SpeedupCost(step_speedups(load_timings(name).timings, int(width)), text)
    try:
        pairs = [item.split(":") for item in text.split(",")]
        points = tuple((float(S), float(factor)) for S, factor in pairs)
    except ValueError as error:
        raise InputError(
            f"speed-ups are written as sparsity:factor pairs such as 0.5:1.1,0.9:2.5, or as "
            f"measured timings and a width such as cpu@1024, got {text!r}"
        ) from error
    return SpeedupCost(points)
