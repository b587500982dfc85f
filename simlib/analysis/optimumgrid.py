"""Runs that show whether a predicted optimal sparsity is one: a grid file, and what is predicted.

At a size N and a training cost C, more sparsity buys a larger model under the mask and less data.
A law says where the balance lies; the runs of a point lie there and about it, all at the same N
and C.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from simlib.catalog import Catalog
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.optimum import cost_model, optimal_sparsity
from simlib.runs.config import RunConfig

STEPS_OF_SPARSITY = 2000  # of a search for sizes that can be built


@dataclass(frozen=True)
class Point:
    """A size and a training cost in FLOP with its predicted optimum and the runs about it.

    `low` and `high` are the ends of the interval of `optimum`; `sparsities` and `data` (tokens or
    images) are those of the runs.
    """

    nonzero_params: int
    flops: float
    cost: str
    optimum: float
    low: float
    high: float
    sparsities: tuple[float, ...]
    data: tuple[int, ...]


@dataclass(frozen=True)
class PredictedOptima:
    """Predicted optima of several points, and how they were made."""

    name: str
    made: dict[str, str]
    level: float
    points: tuple[Point, ...]


CATALOG = Catalog(PredictedOptima, "optima", "file of predicted optima")


@cache
def load_optima(name: str) -> PredictedOptima:
    """Shipped predicted optima by the name of their grid, or the reader's own by path."""
    return CATALOG.load(name)


def predict_point(
    law_file: FittedLaw,
    base: Mapping[str, Any],
    nonzero_params: int,
    flops: float,
    cost: str,
    *,
    count: int = 5,
    spread: float = 4.0,
    level: float = 0.9,
) -> Point:
    """The optimum that a law predicts, and `count` sparsities about it that can be built.

    Densities cover a factor `spread` about that of the optimum, evenly on the log scale; where a
    dense model bounds them above, they reach further down. `base` holds the other fields of the
    runs. Raises InputError where too few different sizes can be built, or the cost pays for too
    little data.
    """
    if count < 3 or spread <= 1:
        raise InputError(
            f"a point needs 3 sparsities and a spread above 1, got {count}, {spread:g}"
        )
    best = float(optimal_sparsity(law_file.joint, nonzero_params, flops, cost))
    low, high = law_file.interval(
        lambda law: optimal_sparsity(law, nonzero_params, flops, cost), level=level
    )
    can = _buildable(base, nonzero_params, best, spread)
    wanted = _densities(1 - best, count, spread)
    chosen = sorted({min(can, key=lambda S: abs(math.log((1 - S) / s))) for s in wanted})
    if len(chosen) < count:
        raise InputError(
            f"only {len(chosen)} of {count} different sparsities can be built at nonzero_params "
            f"{nonzero_params}: raise spread or nonzero_params"
        )
    data = cost_model(cost).data_seen(chosen, nonzero_params, flops)
    seen = [
        _whole_steps(base, nonzero_params, S, float(D)) for S, D in zip(chosen, data, strict=True)
    ]
    return Point(
        nonzero_params, flops, cost, best, float(low), float(high), tuple(chosen), tuple(seen)
    )


def _densities(best: float, count: int, spread: float) -> list[float]:
    """Densities about `best`, which is one of them; none above 1."""
    top = min(1.0, best * math.sqrt(spread))
    even = np.geomspace(top, top / spread, count)
    if best < top:
        even[1 + np.argmin(np.abs(np.log(even[1:] / best)))] = best
    return [float(s) for s in even]


def _buildable(
    base: Mapping[str, Any], nonzero_params: int, best: float, spread: float
) -> list[float]:
    """Sparsities at which a model of this rule's shapes keeps exactly `nonzero_params`."""
    found = set()
    for density in np.geomspace(1, (1 - best) / spread / 2, STEPS_OF_SPARSITY):
        try:
            shape = _config(base, nonzero_params, 1 - density, 10**9).shape
        except InputError:
            continue
        if shape.dense_params >= nonzero_params:
            found.add(round(1 - nonzero_params / shape.dense_params, 6))
    if not found:
        raise InputError(f"no model keeps nonzero_params {nonzero_params}: ask for more")
    return sorted(found)


def _whole_steps(base: Mapping[str, Any], nonzero_params: int, S: float, data: float) -> int:
    """Data that a whole number of steps sees. Raises InputError where pruning has no room."""
    config = _config(base, nonzero_params, S, max(1, round(data)))
    return config.total_steps * config.data_per_step


def _config(base: Mapping[str, Any], nonzero_params: int, S: float, data: int) -> RunConfig:
    own = {"nonzero_params": nonzero_params, "sparsity": float(S), "data_seen": data}
    return RunConfig(**{**base, **own})


def entries(points: Iterable[Point], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The runs of all points as entries of a grid file, those that points share once."""
    cells = {
        (p.nonzero_params, S, D): None
        for p in points
        for S, D in zip(p.sparsities, p.data, strict=True)
    }
    return [
        {"nonzero_params": N, "sparsity": S, "data_seen": D, "seed": list(seeds)}
        for N, S, D in cells
    ]


def grid_text(
    about: str, base: Mapping[str, Any], points: Iterable[Point], seeds: Sequence[int]
) -> str:
    """A grid file with the runs of all points; `about` is the comment that it begins with."""

    def mapping(fields: Mapping[str, Any]) -> str:
        return "{" + ", ".join(f"{name}: {value}" for name, value in fields.items()) + "}"

    lines = [f"# {line}".rstrip() for line in about.splitlines()]
    lines += [f"base: {mapping(base)}", "runs:"]
    lines += [f"  - {mapping(entry)}" for entry in entries(points, seeds)]
    return "\n".join(lines) + "\n"
