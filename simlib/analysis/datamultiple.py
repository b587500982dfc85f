"""What a trained model is worth to a sparse one: the data that training from scratch must see.

A model that is pruned over D tokens reaches some loss; the data multiple is how many times D a
model of the same shape and sparsity needs from scratch to reach the same (Frantar et al. 2024,
section 4.3). It says nothing of what the trained model cost; `Multiple.break_even` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from simlib.errors import InputError
from simlib.fit.profile import Interval
from simlib.laws.costs import training_flops
from simlib.laws.intervals import quantile_ends
from simlib.laws.law import Array
from simlib.laws.optimum import cost_model
from simlib.paper import DATA_MULTIPLES
from simlib.runs.cells import alike, same_sparsity, seed_spread
from simlib.runs.table import RunRecord, RunTable


@dataclass(frozen=True)
class Multiple:
    """Runs of one setting that pruned a trained model, beside the same from scratch.

    `data_seen` is what pruning saw, `start_data` what the trained model had seen before, in
    tokens or images; `loss` the mean over `seeds` runs. `matched` is the data from scratch with
    that loss, None where it lies outside `measured`, the least and most data from scratch; so are
    open ends of its `interval`. `above` says whether a loss that no run from scratch matches lies
    below the least of theirs. `gain` is `ln(loss from scratch / loss)` on the same data.
    """

    nonzero_params: int
    sparsity: float
    dense_params: int
    data_seen: int
    start_data: int
    loss: float
    seeds: int
    matched: float | None
    interval: Interval
    measured: tuple[float, float]
    above: bool
    gain: float | None
    gain_interval: Interval

    @property
    def value(self) -> float | None:
        """The data multiple, or None where it lies outside what was measured."""
        return None if self.matched is None else self.matched / self.data_seen

    @property
    def ends(self) -> Interval:
        """The interval of the multiple; an open end is None."""
        low, high = (None if end is None else end / self.data_seen for end in self.interval)
        return low, high

    @property
    def bound(self) -> float:
        """The multiple at the end of the measured data beyond which the value lies."""
        return self.measured[1 if self.above else 0] / self.data_seen

    def charge(self, cost: str) -> tuple[float, float]:
        """FLOP of the trained model, and of pruning it, under a cost model."""
        dense = training_flops(self.dense_params, self.start_data)
        return dense, self._flops(self.data_seen, cost)

    def _flops(self, data: float, cost: str) -> float:
        return float(cost_model(cost).flops(self.sparsity, self.nonzero_params, data))

    def break_even(self, data: float | None, cost: str) -> float | None:
        """How many models must be pruned from the trained one before that costs less in all.

        `data` is what one of them needs from scratch. At this number a share of the trained model
        and the pruning cost as much as training from scratch; below 1 pruning is cheaper even for
        a single model. Infinite where pruning alone costs more; None for no data.
        """
        if data is None:
            return None
        trained, pruning = self.charge(cost)
        saved = self._flops(data, cost) - pruning
        return trained / saved if saved > 0 else math.inf

    def break_even_ends(self, cost: str) -> Interval:
        """The interval of `break_even`: most where the matched data is least."""
        low, high = self.interval
        return self.break_even(high, cost), self.break_even(low, cost)


def published(sparsity: float) -> float | None:
    """The paper's multiple at a sparsity, or None where it has none."""
    return next((m for S, m in DATA_MULTIPLES.items() if same_sparsity(S, sparsity)), None)


def data_multiples(
    runs: RunTable, *, level: float = 0.9, draws: int = 1000, seed: int = 0
) -> list[Multiple]:
    """A multiple for every setting of `runs` that prunes a trained model.

    The table holds the trained models and, from scratch, the same shape and sparsity on three or
    more amounts of data. Log loss is interpolated in log D, made monotone first; `draws` of the
    noise of every run, as large as repeats in the table show it, give the interval. Raises
    InputError where something of that is missing.
    """
    runs = runs.finished
    noise = seed_spread(runs).deviation
    rng = np.random.default_rng(seed)
    settings: dict[tuple[Any, ...], list[RunRecord]] = {}
    for run in runs:
        if run.pruner == "from_checkpoint":
            key = (run.nonzero_params, run.dense_params, run.data_seen, run.pattern)
            settings.setdefault(key, []).append(run)
    if not settings:
        raise InputError(
            "the table has no run that pruned a trained model: add pruner "
            "from_checkpoint and a start to its grid"
        )
    return [_multiple(runs, same, noise, level, draws, rng) for _, same in sorted(settings.items())]


def from_scratch(runs: RunTable, like: RunRecord) -> RunTable:
    """The runs from scratch of the shape, sparsity and recipe of a pruned one, by data."""
    found = [
        run
        for run in runs
        if run.pruner == "gmp"
        and run.start == "scratch"
        and _recipe(run) == _recipe(like)
        and same_sparsity(run.sparsity, like.sparsity)
    ]
    return RunTable(sorted(found, key=lambda run: run.data_seen))


def _multiple(
    runs: RunTable,
    pruned: list[RunRecord],
    noise: float,
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> Multiple:
    first = pruned[0]
    scratch = from_scratch(runs, first)
    data, where, counts = np.unique(scratch.data_seen, return_inverse=True, return_counts=True)
    if len(data) < 3:
        raise InputError(
            f"{len(data)} amounts of data from scratch at nonzero_params {first.nonzero_params} "
            f"and sparsity {first.sparsity:g} show no curve: train 3 or more"
        )
    means = np.bincount(where, np.log(scratch.loss)) / counts
    goal = float(np.mean([math.log(run.loss) for run in pruned]))
    drawn = means + noise / np.sqrt(counts) * rng.standard_normal((draws, len(data)))
    goals = goal + noise / math.sqrt(len(pruned)) * rng.standard_normal(draws)
    found = [_matched(data, curve, g) for curve, g in zip(drawn, goals, strict=True)]
    low, high = quantile_ends(found, level, nearest=True)
    at = _matched(data, means, goal)
    gain, gain_ends = _gain(data, means, drawn, goal, goals, first.data_seen, level)
    return Multiple(
        first.nonzero_params,
        first.sparsity,
        int(first.dense_params or 0),
        first.data_seen,
        _start(runs, first).data_seen,
        math.exp(goal),
        len(pruned),
        _inside(at),
        _ends(low, high, data),
        (float(data[0]), float(data[-1])),
        bool(at > data[-1]),
        gain,
        gain_ends,
    )


def _matched(data: Array, log_loss: Array, goal: float) -> float:
    """The data at which a curve, made monotone, reaches `goal`; 0 or infinite beyond its ends."""
    falling = isotonic_regression(log_loss, increasing=False).x
    return float(np.exp(np.interp(-goal, -falling, np.log(data), -np.inf, np.inf)))


def _gain(
    data: Array, means: Array, drawn: Array, goal: float, goals: Array, at: float, level: float
) -> tuple[float | None, Interval]:
    same = np.flatnonzero(data == at)
    if not len(same):
        return None, (None, None)
    return float(means[same[0]] - goal), quantile_ends(drawn[:, same[0]] - goals, level)


def _start(runs: RunTable, pruned: RunRecord) -> RunRecord:
    found = [run for run in runs if run.run_id == pruned.start]
    if not found:
        raise InputError(
            f"run {pruned.run_id} starts from {pruned.start}, which the table does not hold: add "
            "the dense run"
        )
    return found[0]


def _recipe(run: RunRecord) -> tuple[object, ...]:
    """What pruning a trained model and pruning from scratch have in common."""
    pruned = (run.pattern, run.schedule, run.prune_start, run.prune_end)
    return (*alike(run, "seed", "start", "data_seen"), *pruned)


def _inside(value: float) -> float | None:
    return float(value) if 0 < value < math.inf else None


def _ends(low: float, high: float, data: Array) -> Interval:
    """An end inside the measured data, or open; an interval beyond it starts where it ends."""
    least, most = float(data[0]), float(data[-1])
    return (min(low, most) if low else None), (max(high, least) if high < math.inf else None)
