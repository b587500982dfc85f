"""How the loss on a task whose classes have a long tail follows from how often each is seen.

If a class is either known or not, known once it was seen a number of times, and if its frequency
falls as rank^-(alpha + 1), then the loss falls as D^(-alpha / (alpha + 1)) with data and as
N^-alpha with size (Michaud et al. 2023, "The quantization model of neural scaling"). Here a class
may be known in part: what it costs after it was seen a number of times is measured.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.law import Array
from simlib.runs.table import RunRecord

FEWEST = 30  # examples below which a group's mean loss is left out
LAST = 3  # groups whose slope continues the line past the classes seen most


class ClassCosts(NamedTuple):
    """What a class costs by how often it was seen: one entry for each doubling, (groups,).

    `times` is the geometric mean over the group's examples, `loss` their mean loss in nats,
    `error` its standard error, `examples` how many they are.
    """

    times: Array
    loss: Array
    error: Array
    examples: Array

    def at(self, times: ArrayLike) -> Array:
        """Loss of a class seen so often, nats, in the shape of `times`.

        Between groups a line in logarithms, before the first its loss, after the last the line
        through the last ones.
        """
        x, y = np.log(self.times), np.log(self.loss)
        wanted = np.log(np.asarray(times, dtype=float))
        slope, level = np.polyfit(x[-LAST:], y[-LAST:], 1)
        beyond = np.minimum(slope, 0.0) * (wanted - x[-1]) + slope * x[-1] + level
        return np.asarray(np.exp(np.where(wanted > x[-1], beyond, np.interp(wanted, x, y))))


def learned(times: ArrayLike, losses: ArrayLike) -> ClassCosts:
    """Examples grouped by how often their class was seen, a group for each doubling.

    `times` and `losses` (nats) are of validation examples, (examples,). Raises InputError if fewer
    than `LAST` groups have `FEWEST` examples.
    """
    times, losses = np.asarray(times, dtype=float), np.asarray(losses, dtype=float)
    octave = np.floor(np.log2(times)).astype(int)
    groups = [octave == o for o in np.unique(octave) if (octave == o).sum() >= FEWEST]
    if len(groups) < LAST:
        raise InputError(
            f"of {len(losses)} examples {len(groups)} doublings have {FEWEST} or more, and {LAST} "
            "are needed: validate on more"
        )
    return ClassCosts(
        np.array([np.exp(np.log(times[g]).mean()) for g in groups]),
        np.array([losses[g].mean() for g in groups]),
        np.array([losses[g].std(ddof=1) / np.sqrt(g.sum()) for g in groups]),
        np.array([g.sum() for g in groups]),
    )


def forecast(shares: Array, found: ClassCosts, data: ArrayLike) -> Array:
    """Loss after `data` examples, nats, if it depends on how often each class was seen alone.

    `shares` are the classes' frequencies, (classes,); the result has the shape of `data`.
    """
    seen = np.asarray(data, dtype=float)[..., None] * shares
    return np.asarray((shares * found.at(seen)).sum(axis=-1))


def endless(exponent: float) -> float:
    """Power of data by which the loss falls if classes are known or not and never end.

    `exponent`, alpha + 1, is that of the frequencies. Raises InputError if it is 1 or less: such
    frequencies have no sum.
    """
    if exponent <= 1:
        raise InputError(f"frequencies that fall with the power {exponent:g} have no sum")
    return (exponent - 1) / exponent


def local_powers(data: ArrayLike, loss: ArrayLike) -> Array:
    """Power of data by which the loss falls between each amount and the next.

    `data` is (amounts,), `loss` (..., amounts); the result is (..., amounts - 1).
    """
    return np.asarray(-np.diff(np.log(loss)) / np.diff(np.log(data)))


def dense_means(runs: list[RunRecord], dataset: str, size: int) -> tuple[Array, Array]:
    """Amounts of data of the dense runs of a size on a task, and the mean of their log losses.

    Losses are geometric means over seeds and learning rates, nats. Raises InputError if there are
    fewer than two amounts.
    """
    chosen = [
        r for r in runs if r.dataset == dataset and r.sparsity == 0 and r.nonzero_params == size
    ]
    amounts = sorted({r.data_seen for r in chosen})
    if len(amounts) < 2:
        raise InputError(f"the tables have no dense runs of {size:,} weights on {dataset}")
    means = [np.exp(np.mean([np.log(r.loss) for r in chosen if r.data_seen == D])) for D in amounts]
    return np.array(amounts, dtype=float), np.array(means)
