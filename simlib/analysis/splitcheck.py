"""Was the split that a law chose the best of those that were trained?

A law of bits forecasts the loss of every split of one number of bytes that a grid holds. The rules,
written before the runs: the law is contradicted where the mean of log measured less log forecast
over all splits, with a central interval from the scatter of seeds and that of the forecasts, which
err together, leaves out zero; its choice, the split of least forecast, where another one is better
by more than chance lets the best of so many others be (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from simlib.analysis.bitforecast import RunForecast
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import LEVEL, quantile_interval
from simlib.laws.law import Array
from simlib.laws.precision import FULL
from simlib.runs.cells import numbered, pooled, same_size, same_sparsity
from simlib.runs.config import RunConfig
from simlib.runs.table import RunTable

SPLITS = "splits"


@dataclass(frozen=True)
class SplitCheck:
    """Forecasts of splits beside the mean losses of their runs, (splits,), in nats.

    `error` is the mean of log measured less log forecast, `low` to `high` its interval; `regret`
    the loss of the law's choice less the least one, `allowed` how much of that chance explains.
    """

    forecasts: tuple[RunForecast, ...]
    loss: Array
    seeds: int
    error: float
    low: float
    high: float
    regret: float
    allowed: float

    @property
    def chosen(self) -> int:
        """The split of least forecast."""
        return int(np.argmin([f.loss for f in self.forecasts]))

    @property
    def best(self) -> int:
        """The split of least measured loss."""
        return int(np.argmin(self.loss))


def forecast_splits(
    configs: Sequence[RunConfig], law_file: FittedLaw, level: float = LEVEL
) -> list[RunForecast]:
    """The loss of each setting of a grid, seeds taken together, with a confidence interval.

    Raises InputError for a law of another form and for bits that it does not know.
    """
    law, ensemble = law_file.by_bits
    found = {}
    for config in configs:
        S, P = config.sparsity, config.weight_bits or FULL
        N = config.shape.dense_params * (1 - S)
        D = config.total_steps * config.data_per_step
        low, high = quantile_interval(ensemble(S, N, D, P), level)
        loss = float(law(S, N, D, P))
        found[S, N, D, P] = RunForecast(SPLITS, "", S, N, D, P, loss, float(low), float(high))
    return list(found.values())


def check_splits(
    forecasts: Sequence[RunForecast], runs: RunTable, level: float = LEVEL
) -> SplitCheck:
    """Forecasts of splits held against the runs of their grid, and maybe of others.

    Raises InputError where a split has no run, or none has two.
    """
    runs = runs.finished
    cell = np.full(len(runs), -1)
    bits = np.array([r.weight_bits or FULL for r in runs])
    for place, f in enumerate(forecasts):
        alike = same_size(runs.nonzero_params, f.nonzero_params) & (bits == f.bits)
        alike &= same_size(runs.data_seen, f.data_seen)
        cell[alike & same_sparsity(runs.sparsity, f.sparsity)] = place
    runs, cell = RunTable(r for r, c in zip(runs, cell, strict=True) if c >= 0), cell[cell >= 0]
    counts = np.bincount(cell, minlength=len(forecasts))
    if not counts.all():
        f = forecasts[int(np.argmin(counts))]
        raise InputError(
            f"no run has {f.nonzero_params:.5g} weights of {f.bits} bits at {f.sparsity:g} sparsity"
        )
    spread = pooled(np.log(runs.loss), numbered(cell.tolist())).deviation
    if not np.isfinite(spread):
        raise InputError("no split has two seeds, so nothing says what chance does")
    mean = np.exp(np.bincount(cell, weights=np.log(runs.loss)) / counts)
    said = np.array([f.loss for f in forecasts])
    z = NormalDist().inv_cdf((1 + level) / 2)
    together = np.mean([np.log(f.high / f.low) / (2 * z) for f in forecasts])
    width = z * float(np.hypot(spread * np.sqrt((1 / counts).sum()) / len(counts), together))
    error = float(np.log(mean / said).mean())
    chosen, others = int(np.argmin(said)), len(forecasts) - 1
    apart = NormalDist().inv_cdf(1 - (1 - level) / max(others, 1))
    pair = np.sqrt(1 / counts[chosen] + 1 / counts[int(np.argmin(mean))])
    return SplitCheck(
        tuple(forecasts),
        mean,
        int(counts.min()),
        error,
        error - width,
        error + width,
        float(mean[chosen] - mean.min()),
        float(apart * spread * pair * mean[chosen]),
    )
