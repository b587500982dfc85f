"""Forecasts of runs of few bits that a law has not seen: larger models, and bits with zeros.

The law of `simlib.laws.precision` is fitted to QuEST's models below 800M parameters (weights and
activations of 1 to 8 bits, or 16; none sparse). It forecasts the models of 822M, and, along
`ROUTES`, those of 4 bits with 4 of every 8 weights at zero. A route says what a non-zero weight is
worth at 50 % sparsity: worths multiply, so the law sees N times that.

The rule, written before any forecast was held against a loss: by route, the mean over its runs of
log measured less log forecast, with a central interval from the scatter of the runs about the law
and the interval of the forecasts, which err together. Contradicted where that leaves out zero;
where it does not, the route holds if the rule would find every other route of the same runs wrong
with a power of `ENOUGH`, else it is undecided. All runs of 4:8 have one sparsity, one number of
bits and one pattern: what is contradicted may be the worth of zeros, that of the pattern, or that
the two worths multiply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from simlib.catalog import Catalog
from simlib.datasets import load_law
from simlib.datasets.source import find_source
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import LEVEL, quantile_interval
from simlib.laws.law import Array
from simlib.runs.table import RunTable

LAW = "quest-below"  # fitted to the models below LARGE
LARGE = 8e8  # parameters
LARGEST, SPARSE = "largest", "4:8"
# what a non-zero weight is worth at 50 % sparsity: by a law of pruned models, or as a dense one
ROUTES = {LARGEST: ("",), SPARSE: ("t5-c4-refit", "gpt-plateau", "")}
ENOUGH = 0.8
SEED = 0


@dataclass(frozen=True)
class RunForecast:
    """The loss of a run in nats with a confidence interval of the law; N counts what is not zero.

    `route` names the law that says what zeros are worth, empty where they are worth nothing.
    """

    group: str
    route: str
    sparsity: float
    nonzero_params: float
    data_seen: float
    bits: int
    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Route:
    """One route against the runs of its group: errors are log measured less log forecast.

    `power` is the least chance that the rule contradicts it if another route were true, None where
    there is none.
    """

    group: str
    route: str
    errors: list[float]
    mean: float
    low: float
    high: float
    power: float | None

    @property
    def verdict(self) -> str:
        """Contradicted, holds or undecided; without another route at most not contradicted."""
        if not self.low <= 0 <= self.high:
            return "contradicted"
        if self.power is None:
            return "not contradicted"
        return "holds" if self.power >= ENOUGH else "undecided"


@dataclass(frozen=True)
class BitForecast:
    """Forecasts by a law, how they were made, and, once they were judged, the routes."""

    law: str
    level: float
    forecasts: list[RunForecast]
    made: dict[str, str]
    routes: list[Route]


CATALOG = Catalog(BitForecast, "bits", "forecast of few bits")


def heldout_runs() -> Mapping[str, RunTable]:
    """The runs of each group. Raises InputError where QuEST's file cannot be had."""
    dense = find_source("quest").runs
    return {
        LARGEST: RunTable(r for r in dense if r.nonzero_params > LARGE),
        SPARSE: find_source("quest-4of8").runs,
    }


def forecast_bits(
    runs: Mapping[str, RunTable], law: FittedLaw | None = None, level: float = LEVEL
) -> list[RunForecast]:
    """The loss of every run along every route of its group; no measured loss is read.

    Members of two ensembles are paired at random, for they were fitted to different runs. Raises
    InputError for a law of another form.
    """
    law = law or load_law(LAW)
    own, ensemble = law.by_bits
    members = ensemble.expand(1)
    found = []
    for group, table in runs.items():
        N, D = table.nonzero_params, table.data_seen
        P = table.column("weight_bits").astype(int)
        for route in ROUTES[group]:
            one, many = _worth(route, table.sparsity, law.refits)
            value = own(0.0, N * one, D, P)
            low, high = quantile_interval(members(0.0, N * many, D, P), level)
            columns = (table.sparsity, N, D, P, value, low, high)
            found += [
                RunForecast(group, route, float(s), float(n), float(d), int(p), *map(float, ends))
                for s, n, d, p, *ends in zip(*columns, strict=True)
            ]
    return found


def _worth(route: str, S: Array, members: int) -> tuple[Array, Array]:
    """What a non-zero weight is worth, (runs,), and over so many members, (members, runs)."""
    if not route:
        return np.ones(len(S)), np.ones((members, len(S)))
    law = load_law(route)
    drawn = np.random.default_rng(SEED).integers(law.refits, size=members)
    return law.joint.multiplier(S), law.members(1).multiplier(S)[drawn]


def judge(
    forecasts: Sequence[RunForecast],
    runs: Mapping[str, RunTable],
    scatter: float,
    level: float = LEVEL,
) -> list[Route]:
    """Each route held against the runs; `scatter` is that of log loss about the law."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    means, widths, noises, errors = {}, {}, {}, {}
    for group, table in runs.items():
        for route in ROUTES[group]:
            own = [f for f in forecasts if (f.group, f.route) == (group, route)]
            found = np.log(table.loss) - np.log([f.loss for f in own])
            spread = np.mean([np.log(f.high / f.low) / (2 * z) for f in own])
            key = (group, route)
            errors[key], means[key] = found, float(found.mean())
            noises[key] = float(np.hypot(scatter / np.sqrt(len(own)), spread))
            widths[key] = z * noises[key]
    return [
        Route(
            *key,
            errors[key].tolist(),
            means[key],
            means[key] - widths[key],
            means[key] + widths[key],
            _power(key, means, widths[key], noises[key]),
        )
        for key in means
    ]


def _power(
    key: tuple[str, str], means: Mapping[Any, float], width: float, noise: float
) -> float | None:
    """The least chance to contradict a route if another of its group were true."""
    normal = NormalDist(0.0, noise)
    away = [
        abs(means[key] - m) for other, m in means.items() if other[0] == key[0] and other != key
    ]
    return min((normal.cdf(a - width) + normal.cdf(-a - width) for a in away), default=None)
