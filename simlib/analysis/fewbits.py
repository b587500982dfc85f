"""Zeros and few bits in one model: do they cost each other anything?

Where the worth of a weight of few bits is the same in sparse and dense models, as in the law of
`simlib.laws.precision`, P bits multiply the size term of every model of one size alike, so that

    L(S, P) - L(S) = f(S) / f(0) (L(0, P) - L(0)),

with f the sparsity factor of the joint law and L without P the loss in full precision. The excess
of a cell is what is left, in nats: above zero the sparse model loses more to few bits.

The rule: the mean excess over all sparsities and over the bits in `DECIDING`, with a central
interval from the scatter of seeds and from the law of f. Contradicted where that leaves out zero;
it holds where it does not and `power` reaches `ENOUGH`; else it is undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import Array
from simlib.laws.precision import FULL
from simlib.runs.cells import nominal_sparsities, numbered, pooled, same_size
from simlib.runs.table import RunTable

DECIDING = (4, 3)  # bits whose cost few seeds can see; that of 8 is below their noise
HALF_AS_MUCH_AGAIN = 0.5  # of what bits cost a dense model: the excess that the rule must find
ENOUGH = 0.8  # power below which nothing found means nothing


@dataclass(frozen=True)
class Crossing:
    """Mean losses of models of one size and data, (sparsities, bits) with S = 0 and `FULL` first.

    `counts` are the runs of each cell, `deviation` the scatter of seeds in nats and `degrees` its
    degrees of freedom. `factor` is f(S) / f(0) (sparsities,), `factors` (members, sparsities) the
    same over an ensemble.
    """

    sparsities: tuple[float, ...]
    bits: tuple[int, ...]
    loss: Array
    counts: Array
    deviation: float
    degrees: int
    factor: Array
    factors: Array

    @property
    def cost(self) -> Array:
        """What few bits cost in nats, (sparsities, bits)."""
        return np.asarray(self.loss - self.loss[:, :1])

    @property
    def excess(self) -> Array:
        """What is left of the cost, (sparsities, bits); zero in the first row and column."""
        return np.asarray(self.cost - self.factor[:, None] * self.cost[0])

    def weights(self, bits: Sequence[int] = DECIDING) -> Array:
        """What each mean loss counts for in the mean excess of sparse cells of `bits`."""
        chosen = np.isin(self.bits, bits)
        weights = np.zeros(self.loss.shape)
        weights[1:, chosen] = 1 / (chosen.sum() * (len(self.sparsities) - 1))
        weights[1:, 0] -= weights[1:, chosen].sum(axis=1)
        weights[0] -= (self.factor[1:, None] * weights[1:]).sum(axis=0)
        return weights

    def noise(self, bits: Sequence[int] = DECIDING) -> float:
        """Standard error of the mean excess from the scatter of seeds alone, nats."""
        return float(self.deviation * np.sqrt((self.weights(bits) ** 2 / self.counts).sum()))


@dataclass(frozen=True)
class Excess:
    """The mean excess in nats, its central interval, and the power of the rule."""

    value: float
    low: float
    high: float
    power: float

    @property
    def verdict(self) -> str:
        """Contradicted, holds, or undecided."""
        if not self.low <= 0 <= self.high:
            return "contradicted"
        return "holds" if self.power >= ENOUGH else "undecided"


def crossing(runs: RunTable, law: FittedLaw) -> Crossing:
    """The cells of the smallest dense model of few bits: its size, and its data.

    Raises InputError where one of sparsity and bits has no run there.
    """
    runs = runs.finished
    few = [r for r in runs if r.weight_bits and r.sparsity == 0]
    if not few:
        raise InputError("no dense model has weights of few bits: nothing to hold sparse ones to")
    first = min(few, key=lambda r: (r.nonzero_params, r.data_seen))
    size = first.nonzero_params
    alike = (r for r in runs if same_size(r.nonzero_params, size))
    runs = RunTable(r for r in alike if same_size(r.data_seen, first.data_seen))
    zeros = nominal_sparsities(runs.sparsity)
    widths = np.array([r.weight_bits or FULL for r in runs])
    crossed = np.isin(zeros, zeros[widths < FULL])  # sparsities in full precision alone say nothing
    runs = RunTable(r for r, kept in zip(runs, crossed, strict=True) if kept)
    zeros, widths = zeros[crossed], widths[crossed]
    sparsities, bits = tuple(np.unique(zeros).tolist()), tuple(np.unique(widths)[::-1].tolist())
    cells = [[(zeros == s) & (widths == p) for p in bits] for s in sparsities]
    counts = np.array([[cell.sum() for cell in row] for row in cells])
    if sparsities[0] != 0 or bits[0] != FULL or len(bits) < 2 or not counts.all():
        raise InputError(
            f"models of {size:g} weights lack a cell of sparsity and bits: what few bits cost a "
            "sparse model is held against dense models and full precision"
        )
    loss = np.array([[runs.loss[cell].mean() for cell in row] for row in cells])
    spread = pooled(runs.loss, numbered(zip(zeros.tolist(), widths.tolist(), strict=True)))
    own, members = law.joint, law.members(1)
    dense = members.sparsity_factor(0.0)
    return Crossing(
        sparsities,
        bits,
        loss,
        counts,
        spread.deviation,
        spread.degrees,
        np.asarray(own.sparsity_factor(sparsities) / own.sparsity_factor(0.0)),
        np.asarray(members.sparsity_factor(sparsities) / dense),
    )


def judge(found: Crossing, bits: Sequence[int] = DECIDING, level: float = 0.9) -> Excess:
    """The rule of this module, for the cells of some bits."""
    from scipy import stats  # here: it takes long to import

    noise, chosen = found.noise(bits), np.isin(found.bits, bits)
    value = float(found.excess[1:, chosen].mean())
    by_law = (found.factors[:, 1:].mean(axis=1) * found.cost[0, chosen].mean()).std()
    width = float(stats.t.ppf((1 + level) / 2, found.degrees) * np.hypot(noise, by_law))
    expected = HALF_AS_MUCH_AGAIN * float((found.factor[1:, None] * found.cost[0, chosen]).mean())
    return Excess(value, value - width, value + width, power(expected, width, noise))


def power(excess: float, width: float, noise: float) -> float:
    """How often an interval of half this width leaves out zero where the true excess is this."""
    from scipy import stats

    above, below = (excess - width) / noise, -(excess + width) / noise
    return float(stats.norm.cdf(above) + stats.norm.cdf(below))
