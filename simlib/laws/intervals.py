"""Central intervals from draws, such as the members of an ensemble: one level, one arithmetic.

Two kinds of interval are told apart by name everywhere. A *confidence interval* is about the law:
it holds what resampled runs leave open of a mean, a coefficient, an optimum. A *prediction
interval* is about one run: it joins that with the run's own noise, so it is the wider one, and the
only one that a measured loss can be held against (`simlib.simulate.forecast`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.law import Array

LEVEL = 0.9  # of every interval in the book


def check_level(level: float) -> None:
    """Raises InputError for a level outside (0, 1)."""
    if not 0 < level < 1:
        raise InputError(f"the level of an interval lies between 0 and 1, got {level}")


def tails(level: float) -> list[float]:
    """The two probabilities that cut off a central interval."""
    return [(1 - level) / 2, (1 + level) / 2]


def quantile_interval(
    draws: ArrayLike, level: float = LEVEL, *, nearest: bool = False
) -> tuple[Array, Array]:
    """Ends of the central interval of draws (draws, ...) along their first axis.

    Ends lie between two draws in proportion; with `nearest` they are draws, as they must be where
    some are infinite, since nothing lies between a number and infinity. Raises InputError for a
    level outside (0, 1).
    """
    check_level(level)
    method: Literal["nearest", "linear"] = "nearest" if nearest else "linear"
    low, high = np.quantile(np.asarray(draws, dtype=float), tails(level), axis=0, method=method)
    return low, high


def quantile_ends(
    draws: ArrayLike, level: float = LEVEL, *, nearest: bool = False
) -> tuple[float, float]:
    """The same of draws of one number, as floats."""
    low, high = quantile_interval(np.ravel(draws), level, nearest=nearest)
    return float(low), float(high)
