"""From how much training on a sparse model beats a dense one of equal size and cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from simlib.claims.pairs import Pairs, Share, pairs
from simlib.contrasts import LEVEL, Estimate, t_interval
from simlib.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.errors import InputError
from simlib.fit import FORMS, fit
from simlib.fit.holdout import groups
from simlib.fit.profile import Interval
from simlib.law import Array, DenseLaw
from simlib.optimum import CostModel, chinchilla_flops
from simlib.runs import RunTable

HALF_DOUBLING = np.sqrt(2) - 1  # the partner's data may lie as far from a measured amount
FEWEST = 3  # sizes below which a jackknife over them says nothing
TOO_ALIKE = 0.1  # range of the logs of training below which no line is drawn


class Crossover(NamedTuple):
    """Where the gain of one sparsity turns positive, in multiples of the dense compute optimum.

    `multiple` is None where the gain stays below zero however long the training, 0 where it is
    above zero all along; an end of its `interval` that does not exist is None. `reach` is the least
    and the greatest multiple of any pair, outside of which a crossover is not measured; `first` and
    `last` are the gains at the shortest and the longest training, means of sizes.
    """

    sparsity: float
    multiple: float | None
    interval: Interval
    pairs: int
    reach: tuple[float, float]
    first: Estimate
    last: Estimate

    @property
    def side(self) -> int:
        """Where it lies: 0 among the pairs, -1 before all of them, 1 beyond them or nowhere."""
        if self.multiple is None or self.multiple > self.reach[1]:
            return 1
        return -1 if self.multiple < self.reach[0] else 0


def at_equal_cost(runs: RunTable, law: DenseLaw, cost: CostModel, head: bool = False) -> Pairs:
    """Sparse settings beside the dense one of equal non-zero size and cost of training.

    With `head` the output layer's cost counts, too. Raises InputError for a table that does not say
    how large output layers are, or that has no pair.
    """
    share = _with_head(runs, cost) if head else lambda S, _: float(cost.multiplier(S))
    return pairs(runs, law, data=share, near=HALF_DOUBLING)


def _with_head(runs: RunTable, cost: CostModel) -> Share:
    heads = {}
    for run in runs.finished:
        if run.head_nonzero_params is None:
            raise InputError("the table does not say how large its output layers are")
        own = 1 - np.sqrt(1 - run.sparsity) if run.embeddings == "pruned" else 0.0
        size = run.head_nonzero_params * float(cost.multiplier(own))
        heads[round(run.sparsity, 3), float(run.nonzero_params)] = size

    def share(S: float, N: float) -> float:
        dense = min((n for s, n in heads if s == 0), key=lambda n: abs(np.log(n / N)))
        sparse = N * float(cost.multiplier(S)) + heads[S, N]
        return float(sparse / (N + heads[0.0, dense]))

    return share


def multiples(found: Pairs, law: DenseLaw) -> Array:
    """How many times the dense compute optimum the dense partners were trained, (pairs,)."""
    flops = FLOP_PER_PARAMETER_AND_DATUM * found.nonzero_params * found.data_seen
    return np.asarray(flops / chinchilla_flops(law, found.nonzero_params))


def dense_law(runs: RunTable) -> DenseLaw:
    """The law of the dense runs alone, so that no sparse run has a say in where their optimum is.

    Raises InputError for too few of them.
    """
    dense = RunTable(r for r in runs.finished if r.sparsity == 0)
    law = fit(dense, FORMS["dense"], resamples=0, profile_resamples=0).law
    assert isinstance(law, DenseLaw)
    return law


def crossovers(runs: RunTable, cost: CostModel, head: bool = False) -> list[Crossover]:
    """The crossover of every sparsity, ascending.

    By the dense law a model whose data cost c times as much loses a multiple of D^-b_D, so that the
    gain in nats, in units of the size term N^-b_N, is a line in (multiple)^-b_D: least squares
    over all sizes, whose zero is the crossover. Only the optimum and the two exponents are the
    dense law's. The interval is that of the jackknife over sizes, the dense law fitted anew each
    time, with Student's t: shapes and dense partners are common to the runs of a size.
    """
    law = dense_law(runs)
    found = at_equal_cost(runs, law, cost, head)
    size = groups(runs.nonzero_params)
    zeros = _log_zeros(found, law)
    parts = []
    for i in range(int(size.max()) + 1):
        rest = RunTable(r for r, own in zip(runs, size, strict=True) if own != i)
        own_law = dense_law(rest)
        parts.append(_log_zeros(at_equal_cost(rest, own_law, cost, head), own_law))
    return [
        _crossover(
            found, multiples(found, law), S, zero, np.array([p.get(S, np.nan) for p in parts])
        )
        for S, zero in zeros.items()
    ]


def _log_zeros(found: Pairs, law: DenseLaw) -> dict[float, float]:
    """By sparsity, the log of the multiple at which it is as good as dense; see `_log_zero`."""
    level = np.round(found.sparsity, 2)
    x = multiples(found, law) ** -law.beta
    y = found.difference * found.nonzero_params**law.alpha
    return {float(S): _log_zero(x[level == S], y[level == S], law.beta) for S in np.unique(level)}


def _crossover(found: Pairs, times: Array, sparsity: float, zero: float, parts: Array) -> Crossover:
    mine = np.round(found.sparsity, 2) == sparsity
    size, times, gain = found.size[mine], times[mine], found.gain[mine]

    def mean(which: Callable[[Array], Any]) -> Estimate:
        own = [np.flatnonzero(size == i) for i in np.unique(size)]
        return t_interval([gain[i[which(times[i])]] for i in own], LEVEL)

    interval = _jackknife(zero, parts) if len(np.unique(size)) >= FEWEST else (None, None)
    return Crossover(
        sparsity=float(found.sparsity[mine].mean()),
        multiple=None if zero == np.inf else float(np.exp(zero)),
        interval=interval,
        pairs=int(mine.sum()),
        reach=(float(times.min()), float(times.max())),
        first=mean(np.argmin),
        last=mean(np.argmax),
    )


def _log_zero(x: Array, y: Array, beta: float) -> float:
    """Log of the multiple at which y = level - slope x is zero, for x = multiple^-beta.

    Infinite where y stays below zero, minus infinity where it is above zero throughout; NaN where
    one amount of training cannot tell.
    """
    if np.ptp(np.log(x)) < TOO_ALIKE:
        return float("nan")
    slope, level = np.polyfit(-x, y, 1)
    if level <= 0:
        return float("inf")
    return float("-inf") if slope <= 0 else float(np.log(slope / level) / beta)


def _jackknife(whole: float, without: Array) -> Interval:
    """Interval of exp of a value, from the values without each part."""
    n = len(without)
    if n < 2 or not np.isfinite(whole) or not np.isfinite(without).all():
        return None, None
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    return float(np.exp(whole - half)), float(np.exp(whole + half))
