"""How widely seeds of sparse runs scatter, in multiples of dense ones, from many tables at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
from scipy import stats

from simlib.errors import InputError
from simlib.laws.intervals import LEVEL
from simlib.laws.law import Array, Bools
from simlib.runs.cells import alike, numbered, setting, size_index
from simlib.runs.table import RunRecord, RunTable

WIDEST = 20.0  # log of the ratio of variances beyond which none is looked for
HALVINGS = 60  # of that range

# Seeds scatter differently by task, size and data, so that dense and sparse runs are compared where
# they share these
PLACE = ("family", "dataset", "dataset_sha256", "batch", "seq_len", "optimizer", "data_seen")


class SpreadRatio(NamedTuple):
    """Standard deviation of log loss over seeds, sparse over dense, with its interval.

    `dense` and `sparse` are how many cells of either kind it rests on, `places` at how many sizes
    and amounts of data, `clusters` of how many dense shapes; `unmatched` cells have repeats, but no
    cell of the other kind beside them.
    """

    value: float
    interval: tuple[float, float]
    dense: int
    sparse: int
    places: int
    clusters: int
    unmatched: int


class _Sums(NamedTuple):
    """Squares about the means of cells, and degrees of freedom: (clusters, places, 2).

    The last axis is dense, sparse.
    """

    squares: Array
    degrees: Array

    def without(self, cluster: int) -> _Sums:
        """The same without one cluster."""
        return _Sums(*(np.delete(part, cluster, axis=0) for part in self))

    def log_ratio(self) -> float:
        """Log of the ratio of standard deviations, NaN where no place has both kinds.

        At each place sums of squares are chi-square times a variance of its own, which sparse runs
        have times the ratio squared. The ratio maximises the likelihood of the shares that sparse
        runs have of the squares, which do not depend on those variances; its score falls from the
        left to the right.
        """
        (dense, sparse), (b, a) = (np.moveaxis(part.sum(axis=0), -1, 0) for part in self)
        known = (a > 0) & (b > 0) & (dense + sparse > 0)
        if not known.any():
            return float("nan")
        dense, sparse, a, b = (part[known] for part in (dense, sparse, a, b))
        low, high = -WIDEST, WIDEST
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            scaled = sparse * np.exp(-middle)
            score = ((a + b) * scaled / (dense + scaled) - a).sum()
            low, high = (middle, high) if score > 0 else (low, middle)
        return (low + high) / 4


def repeated(runs: RunTable) -> list[list[RunRecord]]:
    """Cells of several finished runs that differ in their seed; each run once.

    A cell that holds a seed twice differs in something that a table does not record, and is left
    out.
    """
    found: dict[tuple[Hashable, ...], list[RunRecord]] = defaultdict(list)
    for run in runs.finished:
        found[setting(run)].append(run)
    return [c for c in found.values() if len(c) > 1 and len({r.seed for r in c}) == len(c)]


def spread_ratio(runs: RunTable, level: float = LEVEL) -> SpreadRatio:
    """The ratio from every cell with repeats that has one of the other kind beside it.

    Runs of one dense shape and seed share their training until they are pruned, and all runs of a
    shape what is special about it, so that a shape is what counts as one: the interval is that of
    the jackknife over shapes, with Student's t. Raises InputError where dense and sparse repeats
    meet in fewer than three shapes.
    """
    cells = repeated(runs)
    if not cells:
        raise InputError("no setting was trained with two seeds: add seeds to the grid")
    first = [cell[0] for cell in cells]
    size = size_index([r.nonzero_params for r in first])
    place = numbered(
        (*(getattr(r, name) for name in PLACE), n) for r, n in zip(first, size, strict=True)
    )
    sparse = np.array([int(r.sparsity > 0) for r in first])
    kinds = np.zeros((place.max() + 1, 2))
    np.add.at(kinds, (place, sparse), 1)
    matched: Bools = np.asarray((kinds > 0).all(axis=1))[place]
    if not matched.any():
        raise InputError(
            "no dense and sparse setting of one size and one amount of data both have two seeds"
        )
    kept = [cell for cell, keep in zip(cells, matched, strict=True) if keep]
    shape = numbered(alike(c[0], "seed", "start", "data_seen", "embeddings") for c in kept)
    place, sparse = numbered(place[matched].tolist()), sparse[matched]
    sums = _Sums(*(np.zeros((shape.max() + 1, place.max() + 1, 2)) for _ in range(2)))
    np.add.at(sums.squares, (shape, place, sparse), [_squares(cell) for cell in kept])
    np.add.at(sums.degrees, (shape, place, sparse), [len(cell) - 1 for cell in kept])
    value, clusters = sums.log_ratio(), int(shape.max()) + 1
    without = np.array([sums.without(i).log_ratio() for i in range(clusters)])
    if clusters < 3 or not np.isfinite([value, *without]).all():
        raise InputError(f"repeats of {clusters} dense shapes are too few for an interval")
    error = float(np.sqrt((clusters - 1) / clusters * ((without - without.mean()) ** 2).sum()))
    half = float(stats.t.ppf((1 + level) / 2, clusters - 1)) * error
    return SpreadRatio(
        float(np.exp(value)),
        (float(np.exp(value - half)), float(np.exp(value + half))),
        int((sparse == 0).sum()),
        int(sparse.sum()),
        int(place.max()) + 1,
        clusters,
        int((~matched).sum()),
    )


def _squares(cell: list[RunRecord]) -> float:
    """Sum of the squares of log losses about their mean."""
    losses = np.log([r.loss for r in cell])
    return float(((losses - losses.mean()) ** 2).sum())
