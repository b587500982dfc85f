"""From how much training on a sparse model beats a dense one of equal size and cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from simlib.analysis.contrasts import Estimate
from simlib.claims.pairs import DensePairs, Share, along, pairs
from simlib.errors import InputError
from simlib.fit import FORMS, FittedLaw, fit
from simlib.fit.profile import Interval
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.intervals import LEVEL
from simlib.laws.law import Array, Bools, DenseLaw, Indices, JointLaw
from simlib.laws.optimum import COSTS, CostModel, break_even_multiple, chinchilla_flops
from simlib.runs.cells import nominal_sparsities, same_sparsity, seed_spread, size_index
from simlib.runs.table import RunRecord, RunTable

FEWEST = 3  # sizes below which a jackknife over them says nothing
ROUNDING = 1e-6
TOO_ALIKE = 0.1  # range of the logs of training below which no line is drawn
Verdict = Literal["overtakes", "ahead", "behind", "open"]


class Crossover(NamedTuple):
    """Where the gain of one sparsity turns positive, in multiples of the dense compute optimum.

    `multiple` is None where the gain stays below zero however long the training, 0 where it is
    above zero all along; an end of its `interval` that does not exist is None. `reach` is the least
    and the greatest multiple of any pair, outside of which a crossover is not measured; `typical`
    the same of the pairs of one size, a mean over sizes. `first` and `last` are the gains at the
    typical multiples, of the loss at `nonzero_params`, the middle of the sizes.
    """

    sparsity: float
    nonzero_params: float
    multiple: float | None
    interval: Interval
    pairs: int
    sizes: int
    reach: tuple[float, float]
    typical: tuple[float, float]
    first: Estimate
    last: Estimate

    @property
    def side(self) -> int:
        """Where it lies: 0 among the pairs, -1 before all of them, 1 beyond them or nowhere."""
        if self.multiple is None or self.multiple > self.reach[1]:
            return 1
        return -1 if self.multiple < self.reach[0] else 0

    @property
    def verdict(self) -> Verdict:
        """Who wins beyond doubt: sparse from the crossover on, or all along, dense, or neither."""
        high = self.interval[1]
        if self.side == 0 and high is not None and high <= self.reach[1]:
            return "overtakes"
        if self.last.sign < 0:
            return "behind"
        if self.last.sign > 0 and self.first.sign > 0 and self.side:
            return "ahead"
        return "overtakes" if self.last.sign > 0 and self.side <= 0 else "open"


class _Line(NamedTuple):
    """The gain of one sparsity in nats over the size term: level - slope multiple^-beta."""

    level: float
    slope: float
    law: DenseLaw

    def log_zero(self) -> float:
        """Log of the multiple of no gain: inf where there is never one, -inf where always."""
        if self.level <= 0:
            return float("inf")
        if self.slope <= 0:
            return float("-inf")
        return float(np.log(self.slope / self.level) / self.law.beta)

    def gain(self, multiple: float, N: float) -> float:
        """The gain of the dense loss, ln(dense / sparse), at a multiple and a size."""
        nats = (self.level - self.slope * multiple**-self.law.beta) * N**-self.law.alpha
        return float(-np.log1p(-nats / self.law(0.0, N, data_at(self.law, multiple, N))))


def at_equal_cost(runs: RunTable, law: DenseLaw, cost: CostModel, head: bool = False) -> DensePairs:
    """Sparse settings beside the dense one of equal non-zero size and cost of training.

    The dense loss is read off the curve of its size; see `along`. With `head` the cost of output
    layer and embeddings counts, too. Raises InputError for a table that does not say what they
    cost, or that has no pair.
    """
    share = _with_head(runs, cost) if head else lambda S, _: float(cost.multiplier(S))
    return pairs(runs, law, data=share, partner=along)


def _with_head(runs: RunTable, cost: CostModel) -> Share:
    outside = {(r.sparsity, float(r.nonzero_params)): _outside(r, cost) for r in runs.finished}

    def nearest(S: float, N: float) -> float:
        shapes = (shape for shape in outside if same_sparsity(shape[0], S))
        return outside[min(shapes, key=lambda shape: abs(np.log(shape[1] / N)))]

    def share(S: float, N: float) -> float:
        sparse = N * float(cost.multiplier(S)) + nearest(S, N)
        return float(sparse / (N + nearest(0.0, N)))

    return share


def _outside(run: RunRecord, cost: CostModel) -> float:
    """Parameters outside of the body that a datum is multiplied with, a mean over the run.

    The table has the cost when zeros are skipped.
    """
    if run.flops_head is None:
        raise InputError("the table does not say what its output layers cost")
    S = 1 - np.sqrt(1 - run.sparsity) if run.embeddings == "pruned" else 0.0
    flops = run.flops_head + (run.flops_embeddings or 0.0)
    skipped = flops / (FLOP_PER_PARAMETER_AND_DATUM * run.data_seen)
    return float(skipped * cost.multiplier(S) / COSTS["sparse"].multiplier(S))


def beyond(found: DensePairs, runs: RunTable) -> Bools:
    """Whether each pair's dense loss lies past the longest dense run of its size, (pairs,)."""
    dense = [(r.nonzero_params, r.data_seen) for r in runs.finished if r.sparsity == 0]
    both = np.concatenate([found.nonzero_params, [float(N) for N, _ in dense]])
    size = size_index(both)
    longest = np.zeros(size.max() + 1)
    np.maximum.at(longest, size[len(found) :], [float(D) for _, D in dense])
    return np.asarray(found.data_seen > longest[size[: len(found)]] * (1 + ROUNDING))


def noise(found: DensePairs, runs: RunTable) -> Array:
    """Half of each gain's interval, for what seeds scatter alone, (pairs,).

    Runs of one dense shape and seed count as one; see `seed_spread`. NaN for runs without repeats.
    """
    try:
        spread = seed_spread(runs)
    except InputError:
        return np.full(len(found), np.nan)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, spread.independent))
    return np.asarray(quantile * spread.deviation / np.sqrt(found.seeds))


def multiples(found: DensePairs, law: DenseLaw) -> Array:
    """How many times the dense compute optimum the dense partners were trained, (pairs,)."""
    return np.asarray(found.data_seen / data_at(law, 1.0, found.nonzero_params))


def data_at(law: DenseLaw, multiple: ArrayLike, N: ArrayLike) -> Array:
    """The data of a dense model trained for a multiple of its compute optimum."""
    flops = np.asarray(multiple) * chinchilla_flops(law, N)
    return np.asarray(flops / (FLOP_PER_PARAMETER_AND_DATUM * np.asarray(N)))


def in_units(law: JointLaw, S: float, N: float, cost: CostModel, unit: DenseLaw) -> Array:
    """The crossover of a joint law, in multiples of another dense law's optimum for a size."""
    own = break_even_multiple(law, S, cost) * chinchilla_flops(law, N)
    return np.asarray(own / chinchilla_flops(unit, N))


def dense_fit(runs: RunTable) -> FittedLaw:
    """The fit to the dense runs alone, so that no sparse run has a say in where their optimum is.

    Raises InputError for too few of them.
    """
    dense = RunTable(r for r in runs.finished if r.sparsity == 0)
    return fit(dense, FORMS["dense"], resamples=0, profile_resamples=0)


def dense_law(runs: RunTable) -> DenseLaw:
    """The law of that fit."""
    law = dense_fit(runs).law
    assert isinstance(law, DenseLaw)
    return law


def crossovers(runs: RunTable, cost: CostModel, head: bool = False) -> list[Crossover]:
    """The crossover of every sparsity, ascending.

    By the dense law a model whose data cost c times as much loses a multiple of D^-b_D, so that the
    gain in nats, in units of the size term N^-b_N, is a line in (multiple)^-b_D: least squares with
    a level for each size, whose mean has the crossover for its zero. Only the optimum, which is the
    unit, and the two exponents are the dense law's. Intervals are those of the jackknife over
    sizes, with Student's t: shapes and dense partners are common to the runs of a size.
    """
    law = dense_law(runs)
    found = at_equal_cost(runs, law, cost, head)
    size = size_index(runs.nonzero_params)
    without = []
    for i in range(int(size.max()) + 1):
        rest = RunTable(r for r, own in zip(runs, size, strict=True) if own != i)
        without.append(_lines(at_equal_cost(rest, law, cost, head), law))
    return [
        _crossover(found.where(_level(found) == S), line, [part.get(S) for part in without])
        for S, line in _lines(found, law).items()
    ]


def _level(found: DensePairs) -> Array:
    return nominal_sparsities(found.sparsity)


def _lines(found: DensePairs, law: DenseLaw) -> dict[float, _Line]:
    """The line of every sparsity whose pairs were trained for more than one amount."""
    level = _level(found)
    x = multiples(found, law) ** -law.beta
    y = found.difference * found.nonzero_params**law.alpha
    lines = {}
    for S in np.unique(level):
        mine = level == S
        size = found.where(mine).size
        if np.ptp(np.log(x[mine])) > TOO_ALIKE:
            lines[float(S)] = _Line(*_line(x[mine], y[mine], size), law)
    return lines


def _line(x: Array, y: Array, size: Indices) -> tuple[float, float]:
    """Level and slope of y = level - slope x, the slope within sizes if any has several x."""
    count = np.bincount(size)
    mean_x, mean_y = (np.bincount(size, v) / count for v in (x, y))
    off_x, off_y = x - mean_x[size], y - mean_y[size]
    if np.abs(off_x).max() < TOO_ALIKE * x.max():
        slope, level = np.polyfit(-x, y, 1)
        return float(level), float(slope)
    slope = -float((off_x * off_y).sum() / (off_x**2).sum())
    return float((mean_y + slope * mean_x).mean()), slope


def _crossover(found: DensePairs, line: _Line, without: list[_Line | None]) -> Crossover:
    """From the pairs of one sparsity, their line, and that without each size of the table."""
    times = multiples(found, line.law)
    N = float(np.exp(np.log(found.nonzero_params).mean()))
    own = [np.log(times[found.size == i]) for i in np.unique(found.size)]
    least, most = (float(np.exp(np.mean([end(t) for t in own]))) for end in (np.min, np.max))

    def estimate(of: Callable[[_Line], float]) -> Estimate:
        parts = np.array([np.nan if part is None else of(part) for part in without])
        interval = _jackknife(of(line), parts) if len(own) >= FEWEST else (None, None)
        return Estimate(of(line), interval, len(found))

    zero = estimate(_Line.log_zero)
    return Crossover(
        sparsity=float(found.sparsity.mean()),
        nonzero_params=N,
        multiple=None if zero.mean == np.inf else float(np.exp(zero.mean)),
        interval=zero.map(lambda end: float(np.exp(end))).interval,
        pairs=len(found),
        sizes=len(own),
        reach=(float(times.min()), float(times.max())),
        typical=(least, most),
        first=estimate(lambda one: one.gain(least, N)),
        last=estimate(lambda one: one.gain(most, N)),
    )


def _jackknife(whole: float, without: Array) -> Interval:
    """Interval of a value, from the values without each part; none if one of them is not finite."""
    n = len(without)
    if n < 2 or not np.isfinite(whole) or not np.isfinite(without).all():
        return None, None
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    return whole - half, whole + half
