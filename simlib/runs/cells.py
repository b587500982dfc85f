"""Cells: the runs of one setting, which differ in their seed alone, and how widely they scatter.

This module says once what "the same size" and "the same sparsity" mean. Models come in steps of
width, so that requests for one size are met within 3% (`simlib.runs.shape`), while the sizes of a
sweep lie factors apart; kept weights are counted tensor by tensor, so that sparsities differ in
their last digits.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simlib.errors import InputError
from simlib.runs.table import RunRecord, RunTable

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

SAME_SIZE = 0.1  # counts that differ by less than a tenth are one size, or one amount of data
SAME_DENSITY = 0.02  # densities that differ by less than this share belong to one sparsity

# what two runs have in common if nothing sets them apart but how they were made sparse
ALIKE = (
    "family",
    "dataset",
    "dataset_sha256",
    "start",
    "dense_params",
    "data_seen",
    "batch",
    "seq_len",
    "width",
    "depth",
    "heads",
    "lr",
    "optimizer",
    "embeddings",
    "seed",
    "precision",
)
# how a run was made sparse
PRUNING = ("pattern", "pruner", "schedule", "prune_start", "prune_end", "mask_optimizer")


@dataclass(frozen=True)
class Columns:
    """Columns of shape (runs,): S, N, D and the measured loss L, by their letters in formulas.

    The long names are those of a run table, so that whatever reads the one reads the other.
    """

    S: Array
    N: Array
    D: Array
    L: Array

    @classmethod
    def of(cls, runs: Any) -> Columns:
        """The columns of a run table, or of anything with its four column names."""
        return Columns(runs.sparsity, runs.nonzero_params, runs.data_seen, runs.loss)

    @property
    def sparsity(self) -> Array:
        """Fraction of zero weights, (runs,)."""
        return self.S

    @property
    def nonzero_params(self) -> Array:
        """Non-zero parameters, (runs,)."""
        return self.N

    @property
    def data_seen(self) -> Array:
        """Tokens or images seen, (runs,)."""
        return self.D

    @property
    def loss(self) -> Array:
        """Loss in nats, (runs,)."""
        return self.L

    def __len__(self) -> int:
        return len(self.L)

    def where(self, keep: Bools) -> Self:
        """The runs marked true."""
        return type(self)(*(v[keep] for v in vars(self).values()))

    def replace_loss(self, loss: Array) -> Columns:
        """The same runs with other losses."""
        return Columns(self.S, self.N, self.D, loss)


def same_size(one: ArrayLike, other: ArrayLike) -> Bools:
    """Whether parameter counts, or amounts of data, are one and the same; they broadcast."""
    factor = np.divide(one, other)
    return np.asarray(np.abs(np.log(factor)) < np.log1p(SAME_SIZE))


def same_sparsity(one: ArrayLike, other: ArrayLike) -> Bools:
    """Whether sparsities are one and the same; they broadcast. Nothing but 0 is dense."""
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    near = np.abs(np.log1p(-one) - np.log1p(-other)) < np.log1p(SAME_DENSITY)
    return np.asarray(near & ((one == 0) == (other == 0)))


def size_index(values: ArrayLike) -> Indices:
    """Index of each value's size, or amount of data, ascending, (runs,).

    Values within a tenth of the least one are one size.
    """
    return _grouped(np.log(np.asarray(values, dtype=float)), np.log1p(SAME_SIZE))


def sparsity_index(S: ArrayLike) -> Indices:
    """Index of each run's sparsity, ascending, (runs,); as in `same_sparsity`."""
    S = np.asarray(S, dtype=float)
    # dense runs stand apart however little the sparsest of the others is pruned
    return _grouped(-np.log1p(-S) + (S > 0), np.log1p(SAME_DENSITY))


def _grouped(values: Array, width: float) -> Indices:
    """Index of each value's group, ascending; a group begins beyond `width` from its least value.

    Where values lie densely, groups are thus bins of that width, not one group of all.
    """
    known, place = np.unique(values, return_inverse=True)
    number, least = np.zeros(len(known), dtype=np.intp), -np.inf
    for i, value in enumerate(known):
        begins = value - least > width
        least = value if begins else least
        number[i] = begins + (number[i - 1] if i else -1)
    return number[np.asarray(place).reshape(-1)]


def nominal_sizes(N: ArrayLike) -> Array:
    """The size that was asked for, as far as runs tell: the mean of those that are one, (runs,)."""
    known = np.unique(np.asarray(N, dtype=float))
    group = size_index(known)
    mean = np.array([known[group == g].mean() for g in range(group[-1] + 1)])
    return np.asarray(mean[group][np.searchsorted(known, N)])


def nominal_sparsities(S: ArrayLike) -> Array:
    """The sparsity that was asked for, to a thousandth: the median of those that are one."""
    S = np.asarray(S, dtype=float)
    group = sparsity_index(S)
    median = np.array([np.median(S[group == g]) for g in range(group.max(initial=-1) + 1)])
    return np.asarray(np.round(median, 3)[group])


def combined_index(*keys: ArrayLike) -> Indices:
    """Index of each row's combination of keys, each (runs,), in the order of the keys' values."""
    _, index = np.unique(np.stack(keys), axis=1, return_inverse=True)
    return np.asarray(index).reshape(-1)


def numbered(keys: Iterable[Hashable]) -> Indices:
    """Number of each key, in order of first appearance, (n,)."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.intp)


def curve_index(S: ArrayLike, N: ArrayLike) -> Indices:
    """Index of each run's curve, (runs,): the runs of one sparsity and size, whatever their data.

    They share a shape, and so whatever the law misses of it: they err together.
    """
    return combined_index(sparsity_index(S), size_index(N))


def cell_index(S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Indices:
    """Index of each run's cell, (runs,): the runs of one sparsity and size on the same data."""
    return combined_index(sparsity_index(S), size_index(N), D)


@dataclass(frozen=True)
class Cells:
    """The settings of a sweep, arrays of shape (cells,): S, N, D, mean log loss, runs.

    `size` is the nominal size: the mean N of all runs that were asked for one size.
    """

    sparsity: Array
    nonzero_params: Array
    size: Array
    data_seen: Array
    log_loss: Array
    runs: Indices

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def loss(self) -> Array:
        """Geometric mean of the losses of each setting, nats."""
        return np.asarray(np.exp(self.log_loss))


def cells(runs: RunTable) -> Cells:
    """The finished runs of a sweep by sparsity, size and data, in this order; seeds averaged.

    Runs that differ in anything else, such as the pruner, are not told apart. Raises InputError
    without runs.
    """
    runs = runs.finished
    if len(runs) == 0:
        raise InputError("there are no finished runs to look at")
    S, N, D = runs.sparsity, runs.nonzero_params, runs.data_seen
    place = cell_index(S, N, D)
    counts = np.bincount(place)

    def mean(values: Array) -> Array:
        return np.asarray(np.bincount(place, weights=values) / counts)

    first = np.unique(place, return_index=True)[1]
    S, size = nominal_sparsities(S), nominal_sizes(N)
    return Cells(S[first], mean(N), size[first], D[first], mean(np.log(runs.loss)), counts)


def alike(run: RunRecord, *but: str) -> tuple[Hashable, ...]:
    """What a run shares with those that differ from it in how they were made sparse, if at all.

    `but` names fields that may differ as well.
    """
    return tuple(getattr(run, name) for name in ALIKE if name not in but)


def setting(run: RunRecord) -> tuple[Hashable, ...]:
    """All that was chosen of a run but its seed, and the seed of the run that it starts from.

    Sizes and sparsities are taken as they are: seeds of one setting share a shape.
    """
    return (
        *alike(run, "seed", "start"),
        *(getattr(run, name) for name in PRUNING),
        run.start == "scratch",
        run.nonzero_params,
        run.weight_bits,
    )


class Pooled(NamedTuple):
    """Standard deviation within groups of values, pooled; NaN where no group has two."""

    deviation: float
    degrees: int  # of freedom: values less groups
    groups: int  # of more than one value


def pooled(values: Array, group: Indices) -> Pooled:
    """The scatter of values (n,) about the mean of their group (n,), numbered from 0."""
    counts = np.bincount(group)
    off = values - (np.bincount(group, values) / counts)[group]
    degrees = len(values) - len(counts)
    deviation = float(np.sqrt((off**2).sum() / degrees)) if degrees else float("nan")
    return Pooled(deviation, degrees, int((counts > 1).sum()))


class Spread(NamedTuple):
    """Standard deviation of log loss over seeds, pooled over cells."""

    deviation: float
    interval: tuple[float, float]
    degrees: int  # of freedom: runs less cells
    cells: int
    independent: int  # degrees of freedom where runs of one prefix count as one


def seed_spread(runs: RunTable, level: float = 0.9) -> Spread:
    """How much log loss varies between runs that differ in their seed alone, by chi-square.

    Runs of one dense shape, recipe and seed share their training until they are pruned or cooled
    down, and with it much of the seed's noise, so the interval counts them as one. Raises
    InputError for runs without repeats.
    """
    from scipy import stats  # here: it takes long to import, and few who read tables ask for this

    runs = runs.finished
    found = pooled(np.log(runs.loss), numbered(map(setting, runs)))
    if found.degrees < 1:
        raise InputError(
            "the spread over seeds needs two seeds of at least one setting: add seeds to the grid"
        )
    prefixes: dict[tuple[Hashable, ...], set[int | None]] = {}
    for run in runs:
        prefixes.setdefault(alike(run, "seed", "start", "data_seen"), set()).add(run.seed)
    independent = min(found.degrees, max(sum(len(seeds) - 1 for seeds in prefixes.values()), 1))
    quantiles = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], independent)
    low, high = found.deviation * np.sqrt(independent / quantiles)
    return Spread(
        found.deviation, (float(low), float(high)), found.degrees, found.groups, independent
    )
