"""Sparse models against dense twins trained on the same data: forecast differences, and measured.

A law fitted elsewhere does not know the text, the tokens or the architecture, so that its losses
say nothing; but all of that cancels in the difference of two models that share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from simlib.analysis.experts import worth
from simlib.catalog import Catalog
from simlib.datasets import load_law
from simlib.datasets.adapter import FOLDER
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import LEVEL
from simlib.laws.law import Array
from simlib.laws.rivals import AverageParams, DensityPower
from simlib.runs.cellfile import read_cells

SEED = 0


@dataclass(frozen=True)
class Pair:
    """A sparse model and its dense twin: parameters of the linear layers, and tokens of both.

    `average` is the mean number of non-zero parameters over the training of the sparse one.
    """

    name: str
    dense: float
    nonzero: float
    average: float
    twin: float
    tokens: float

    @property
    def sparsity(self) -> float:
        """Share of zeros at the end."""
        return 1 - self.nonzero / self.dense


@dataclass(frozen=True)
class Difference:
    """Loss of the sparse model less that of its twin in nats, with an interval of `level`.

    `dense_equal` is the size of the dense model that the law holds equal to the sparse one.
    """

    pair: str
    law: str
    size_term: str
    dense_equal: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class MeasuredDifference:
    """A measured difference in nats, with the standard error that its two losses state."""

    pair: str
    difference: float
    stderr: float


@dataclass(frozen=True)
class TwinForecast:
    """Forecast differences of a set of pairs, before any loss was read, and how they were made."""

    table: str
    level: float
    differences: list[Difference]
    made: dict[str, str]


CATALOG = Catalog(TwinForecast, "twins", "forecast of twins")
# which law says how large the equal dense model is, and whose size term turns sizes into losses
ROUTES = tuple(
    (law, size_term)
    for law in ("t5-c4-refit", "t5-c4-density-power", "t5-c4-average-params")
    for size_term in (law, "clark-sbase-ends")
)


def read_pairs(name: str = "sparsellm-1b") -> list[Pair]:
    """The pairs of a shipped table, in its order. Raises InputError for a twin of no model."""
    header, *rows = read_cells(FOLDER / f"{name}.csv")
    models = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    pairs = []
    for twin in models.values():
        if not twin["twin_of"]:
            continue
        if twin["twin_of"] not in models:
            raise InputError(f"{name}: there is no model {twin['twin_of']!r} to be a twin of")
        sparse = models[twin["twin_of"]]
        sizes = (sparse[c] for c in ("linear_params", "nonzero_linear", "average_linear"))
        twin_of = float(twin["nonzero_linear"])
        dense, nonzero, average = map(float, sizes)
        tokens = float(sparse["tokens"])
        pairs.append(Pair(sparse["model"], dense, nonzero, average, twin_of, tokens))
    return pairs


def measured_differences(name: str = "sparsellm-1b") -> list[MeasuredDifference]:
    """Loss of each sparse model less that of its twin, in the order of the table."""
    header, *rows = read_cells(FOLDER / f"{name}.csv")
    models = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    found = []
    for twin in models.values():
        if sparse := models.get(twin["twin_of"]):
            difference = float(sparse["loss"]) - float(twin["loss"])
            errors = float(sparse["loss_error"]), float(twin["loss_error"])
            found.append(MeasuredDifference(sparse["model"], difference, float(np.hypot(*errors))))
    return found


def dense_equal(law: Any, pair: Pair) -> Array:
    """Size of the dense model of equal loss on equal data, (members,) for an ensemble."""
    if isinstance(law, AverageParams):
        return np.broadcast_to(pair.average, np.shape(law.b_N))
    if isinstance(law, DensityPower):
        return np.asarray(pair.nonzero * (1 - pair.sparsity) ** -law.k)
    return np.asarray(pair.nonzero * worth(law, pair.sparsity))


def size_loss(law: Any, N: Array) -> Array:
    """The size term of a dense model in nats."""
    factor = law.a_N if hasattr(law, "a_N") else law.a_S + law.c_S
    return np.asarray(factor * N**-law.b_N)


def forecast_pairs(
    pairs: list[Pair], laws: Mapping[str, FittedLaw] | None = None, level: float = LEVEL
) -> list[Difference]:
    """The difference of every pair by every route, before any loss of theirs is read.

    Members of two ensembles are paired at random, for they were fitted to different runs; those of
    one law are kept together.
    """
    names = sorted({name for route in ROUTES for name in route})
    found = {name: (laws or {}).get(name) or load_law(name) for name in names}
    rng, tails = np.random.default_rng(SEED), [(1 - level) / 2, (1 + level) / 2]
    differences = []
    for name, term in ROUTES:
        sizing, pricing = found[name], found[term]
        if sizing.ensemble is None or pricing.ensemble is None:
            raise InputError(f"{name} or {term} has no ensemble, so a forecast has no interval")
        draw = rng.integers(pricing.refits, size=sizing.refits)
        drawn = pricing.ensemble.from_vector(pricing.ensemble.vector()[draw])
        prices = sizing.ensemble if name == term else drawn
        for pair in pairs:
            equal = dense_equal(sizing.law, pair)
            value = size_loss(pricing.law, equal) - size_loss(pricing.law, np.asarray(pair.twin))
            members = size_loss(prices, dense_equal(sizing.ensemble, pair))
            members = members - size_loss(prices, np.asarray(pair.twin))
            low, high = np.quantile(members, tails)
            differences.append(
                Difference(
                    pair.name, name, term, float(equal), float(value), float(low), float(high)
                )
            )
    return differences


@dataclass(frozen=True)
class Judgement:
    """One route against all pairs together.

    `error` is the mean of measured less forecast in nats, with its central interval of `level`; a
    route is contradicted where that leaves zero out. `inside` counts the pairs whose own difference
    agrees. `power` is the chance that the rule contradicts this route if another one's forecasts
    were true, by route.
    """

    route: tuple[str, str]
    error: float
    low: float
    high: float
    inside: int
    pairs: int
    power: Mapping[tuple[str, str], float]

    @property
    def contradicted(self) -> bool:
        """Whether zero lies outside of the interval."""
        return not self.low <= 0 <= self.high


def judge(
    differences: list[Difference], measured: list[MeasuredDifference], level: float = LEVEL
) -> list[Judgement]:
    """Each route held against the measurements, by a rule that was written before they were read.

    Stated errors of losses count as independent standard errors. That of a forecast is its interval
    over that of a normal distribution of the same level, and forecasts of one law err together.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    noise = float(np.sqrt(sum(m.stderr**2 for m in measured))) / len(measured)
    by_route = {
        route: {d.pair: d for d in differences if (d.law, d.size_term) == route} for route in ROUTES
    }
    means = {
        r: float(np.mean([d[m.pair].difference for m in measured])) for r, d in by_route.items()
    }
    found = []
    for route, forecast in by_route.items():
        own = np.array([(forecast[m.pair].high - forecast[m.pair].low) / (2 * z) for m in measured])
        each = np.array([m.difference - forecast[m.pair].difference for m in measured])
        width = z * float(np.hypot(noise, own.mean()))
        errors = np.array([m.stderr for m in measured])
        inside = int((np.abs(each) <= z * np.hypot(errors, own)).sum())
        power = {
            other: 1 - _between(-width, width, means[other] - means[route], noise)
            for other in by_route
            if other != route
        }
        error = float(each.mean())
        found.append(
            Judgement(route, error, error - width, error + width, inside, len(measured), power)
        )
    return found


def _between(low: float, high: float, mean: float, deviation: float) -> float:
    normal = NormalDist(mean, deviation)
    return normal.cdf(high) - normal.cdf(low)


@cache
def load_twins(name: str = "sparsellm-1b") -> TwinForecast:
    """A shipped forecast by the name of its table, or the reader's own by path."""
    return CATALOG.load(name)
