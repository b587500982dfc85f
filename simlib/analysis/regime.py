"""From which data on a table's runs can belong to a law: where learning no longer speeds up.

A loss that follows a power of data falls less with each doubling than with the one before. A model
that has not yet left a plateau, such as the entropy of single letters, falls more. A table's
shorter runs may lie there, and a law fitted through them describes the plateau.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simlib.analysis.contrasts import Estimate, t_interval
from simlib.errors import InputError
from simlib.laws.intervals import LEVEL
from simlib.laws.law import Array, Indices
from simlib.runs.cells import curve_index, size_index
from simlib.runs.table import RunTable


class Step(NamedTuple):
    """How the fall of the loss for a doubling of data changes at an amount of data.

    `falls` is the mean over curves of the loss that a doubling saves before `data_seen` and after
    it, in nats; `rise` the mean of the later less the earlier over the same curves, with its
    interval.
    """

    data_seen: float
    falls: tuple[float, float]
    rise: Estimate

    @property
    def rises(self) -> bool:
        """Whether learning speeds up here beyond doubt."""
        return self.rise.sign == 1


class Regime(NamedTuple):
    """The least data that a fit may use, and the steps that decided it, by data."""

    start: float
    steps: tuple[Step, ...]

    def holds(self, runs: RunTable) -> RunTable:
        """The runs of a table that lie in the regime."""
        return RunTable(r for r in runs if r.data_seen >= self.start * (1 - 1e-9))


def regime(runs: RunTable) -> Regime:
    """The rule: a D enters a fit only from where local slopes no longer rise, for all sizes alike.

    A curve is the runs of one sparsity and size, losses averaged over seeds. At each amount of data
    between two others the loss that a doubling saves after it is compared with that before it, on
    the curves that have all three. Where the whole interval of the mean difference lies above zero,
    slopes rise; the regime starts after the last such place. Raises InputError for fewer than three
    amounts of data on every curve, or where slopes rise up to the last.
    """
    runs = runs.finished
    curve, data = curve_index(runs.sparsity, runs.nonzero_params), size_index(runs.data_seen)
    amounts = np.array([runs.data_seen[data == i].mean() for i in range(data.max() + 1)])
    loss = _means(curve, data, runs.loss)
    steps = tuple(
        step
        for i in range(1, len(amounts) - 1)
        if (step := _step(amounts[i - 1 : i + 2], loss[:, i - 1 : i + 2]))
    )
    if not steps:
        raise InputError(
            "no curve has three amounts of data, so none shows where slopes rise: "
            "train more amounts of data"
        )
    rising = [step.data_seen for step in steps if step.rises]
    start = rising[-1] if rising else amounts[0]
    if rising and rising[-1] == steps[-1].data_seen:
        raise InputError(
            "the loss falls ever faster up to the longest runs, which are still on a "
            "plateau: train longer"
        )
    return Regime(float(start), steps)


def _means(curve: Indices, data: Indices, loss: Array) -> Array:
    """Mean loss of every curve at every amount of data, NaN where there is no run."""
    total, count = (np.zeros((curve.max() + 1, data.max() + 1)) for _ in range(2))
    np.add.at(total, (curve, data), loss)
    np.add.at(count, (curve, data), 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def _step(amounts: Array, loss: Array) -> Step | None:
    """One place, from three amounts of data and losses (curves, 3)."""
    known = loss[np.isfinite(loss).all(axis=1)]
    if not len(known):
        return None
    falls = -np.diff(known, axis=1) / np.diff(np.log2(amounts))
    before, after = falls.mean(axis=0)
    return Step(
        float(amounts[1]),
        (float(before), float(after)),
        t_interval(falls[:, 1] - falls[:, 0], LEVEL),
    )
