"""Summaries of a quantity over an ensemble at many points, without the full product in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import check_level, quantile_interval
from simlib.laws.law import Array

BLOCK = 1 << 20  # numbers held at a time: 8 MiB of members x points


class Summary(NamedTuple):
    """A quantity at each point: by the law itself, and the ends of its central interval."""

    value: Array
    low: Array
    high: Array


def summarise(
    law_file: FittedLaw,
    quantity: Callable[..., Array],
    *points: ArrayLike,
    level: float = 0.9,
    block: int = BLOCK,
) -> Summary:
    """`quantity(law, *points)` with its central interval over the ensemble, at every point.

    `points` broadcast to one shape, which the results have; `quantity` acts elementwise and takes
    a law whose coefficients broadcast. At most `block` numbers are computed at a time, so memory
    does not grow with members x points. Raises InputError for a law without an ensemble or a
    level outside (0, 1).
    """
    check_level(level)
    members = ensemble_of(law_file).expand(1)
    size = max(block // len(members.vector()), 1)
    arrays = np.broadcast_arrays(*(np.asarray(p, dtype=float) for p in points))
    flat = [a.ravel() for a in arrays]
    found = np.empty((3, flat[0].size))
    for start in range(0, flat[0].size, size):
        part = [f[start : start + size] for f in flat]
        values = np.asarray(quantity(members, *part))
        found[0, start : start + size] = quantity(law_file.law, *part)
        found[1:, start : start + size] = quantile_interval(values, level)
    return Summary(*(row.reshape(arrays[0].shape) for row in found))


def ensemble_of(law_file: FittedLaw) -> Any:
    """The ensemble of a law file of any form. Raises InputError for a law without one."""
    if law_file.ensemble is None:
        raise InputError(
            f"the law {law_file.name!r} has no ensemble, so it gives no interval: take a law that "
            "was fitted with one, such as t5-c4-refit, or fit your own with --resamples"
        )
    return law_file.ensemble
