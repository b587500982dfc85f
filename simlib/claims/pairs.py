"""Sparse runs beside the dense run they are to be judged by, without any law of sparsity.

Which dense run that is makes the question: of equal non-zero size and data, of equal non-zero size
and equal cost of training (where masks save nothing, so that it sees 1/(1-S) times the data), or of
equal size under the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from simlib.analysis.contrasts import Estimate, t_interval
from simlib.errors import InputError
from simlib.laws.intervals import LEVEL, quantile_ends
from simlib.laws.law import Array, Bools, DenseLaw, Indices, JointLaw
from simlib.runs.cells import cells, curve_index, same_size, size_index, sparsity_index
from simlib.runs.table import RunRecord, RunTable

DRAWS = 1000  # of curves behind the interval of a ratio of two regression coefficients
Share = Callable[[float, float], float]  # of sparsity and non-zero size
TOO_ALIKE = 0.1  # sum of squared doublings of data below which no size has a slope
SHORT = float(np.sqrt(2))  # factor by which a dense curve may be extended beyond its runs


class Setting(NamedTuple):
    """Geometric mean of the losses of a setting's seeds, and how many there are."""

    loss: float
    runs: int


Dense: TypeAlias = Mapping[tuple[float, float], Setting]  # by size and data
Partner = Callable[[Dense, JointLaw | DenseLaw, float, float], Setting | None]


@dataclass(frozen=True)
class DensePairs:
    """Settings of sparse runs with their dense partners, arrays of shape (pairs,).

    `gain` is ln(dense loss / sparse loss), above zero where the sparse run is better, and
    `difference` the same in nats; losses are means over seeds, `seeds` their number, the harmonic
    sum of both sides': a gain scatters by one over its root as widely as a run. `data_seen` is the
    partner's, `own_data_seen` the sparse run's.
    """

    sparsity: Array
    nonzero_params: Array
    data_seen: Array
    own_data_seen: Array
    gain: Array
    difference: Array
    seeds: Array

    def __len__(self) -> int:
        return len(self.gain)

    def where(self, keep: Bools) -> DensePairs:
        """The pairs marked true. Raises InputError for none."""
        if not keep.any():
            raise InputError("no pair of runs lies where this comparison looks")
        return DensePairs(*(v[keep] for v in vars(self).values()))

    @property
    def size(self) -> Indices:
        """Index of each pair's size, ascending, (pairs,)."""
        return size_index(self.nonzero_params)

    def by_size(self, estimate: Callable[[DensePairs], float | None]) -> Estimate:
        """Mean over sizes of an estimate from the pairs of one, with Student's t interval.

        Pairs of one size share dense partners, and all of them whatever is special about that
        dense shape, so a size is what counts as one; those that have no estimate are left out.
        Raises InputError where none has one.
        """
        parts = [self.where(self.size == i) for i in range(int(self.size.max()) + 1)]
        found = [value for part in parts if (value := estimate(part)) is not None]
        if not found:
            raise InputError(f"{len(self)} pairs of runs are too few for that")
        return t_interval(found, LEVEL)

    def mean(self) -> Estimate:
        """Mean gain of the sizes, each that of its settings."""
        return self.by_size(lambda part: float(part.gain.mean()))

    def slope(self, relative: bool = False, share: bool = False) -> Estimate:
        """Change of the difference in nats with each doubling of data, in one sparsity and size.

        In nats a law's terms add: by the joint law the difference at equal size and cost always
        rises with training, and those at equal data stay; `relative` asks for that of the gain,
        a share of a loss that falls; `share` gives it as a share of the mean difference. Least
        squares with a level for each sparsity, size by size.
        """

        def of_size(part: DensePairs) -> float | None:
            target = part.gain if relative else part.difference
            levels = sparsity_index(part.sparsity)
            x = _centred(np.log2(part.data_seen), levels)
            if (x**2).sum() < TOO_ALIKE:
                return None
            found = float((x * target).sum() / (x**2).sum())
            return found / abs(float(target.mean())) if share else found

        return self.by_size(of_size)

    def drift(self, law: JointLaw, members: JointLaw) -> Estimate:
        """Factor on the break-even budget, in Chinchilla's, with each doubling of N.

        The gain in nats times N^b_N is, by the joint law, a function of sparsity and of the ratio
        of D to Chinchilla's alone. It is regressed on log D and log N, with a level for each
        sparsity; the ratio of slopes says how D at equal gain rises with N, and b_N / b_D how
        Chinchilla's does. The interval draws whole curves of one sparsity and size, and `members`
        for the law.
        """
        level = sparsity_index(self.sparsity)
        curve = curve_index(self.sparsity, self.nonzero_params)
        design = np.column_stack(
            [
                np.eye(level.max() + 1)[level],
                np.log(self.data_seen),
                np.log(self.nonzero_params),
            ]
        )
        if len(self) <= design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
            raise InputError(f"{len(self)} pairs of runs are too few for a trend")
        target = self.difference * (self.nonzero_params / self.nonzero_params.mean()) ** law.b_N
        rng = np.random.default_rng(0)
        count = int(curve.max()) + 1
        weights = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS)[:, curve]
        gram = np.einsum("mp,pi,pj->mij", weights, design, design)
        moment = np.einsum("mp,pi,p->mi", weights, design, target)
        # a draw without any run of one sparsity has no level for it, which a ridge of nothing mends
        gram += 1e-9 * np.eye(design.shape[1])
        beta = np.linalg.solve(gram, moment[..., None])[..., 0]
        best = np.linalg.lstsq(design, target, rcond=None)[0]
        line = rng.choice(members.b_N / members.b_D, DRAWS)
        with np.errstate(over="ignore", divide="ignore"):
            drawn = np.exp2(-beta[:, -1] / beta[:, -2] - line)
            value = float(np.exp2(-best[-1] / best[-2] - law.b_N / law.b_D))
        return Estimate(value, quantile_ends(drawn, nearest=True), len(self))


def _centred(values: Array, levels: Indices) -> Array:
    """Values less the mean of their level."""
    return np.asarray(values - (np.bincount(levels, values) / np.bincount(levels))[levels])


def beside(dense: Dense, law: JointLaw | DenseLaw, N: float, D: float) -> Setting | None:
    """The dense setting nearest to a size and data, at most a tenth away in both.

    Its loss is moved to the exact place by the ratio of the dense law's predictions.
    """

    def distance(place: tuple[float, float]) -> float:
        return float(np.abs(np.log(np.divide(place, (N, D)))).max())

    nearest = min(dense, key=distance, default=None)
    if nearest is None or not same_size(nearest, (N, D)).all():
        return None
    loss, runs = dense[nearest]
    return Setting(loss * float(law(0.0, N, D) / law(0.0, *nearest)), runs)


def along(dense: Dense, law: JointLaw | DenseLaw, N: float, D: float) -> Setting | None:
    """The dense curve of a size, at any data that its runs span.

    It runs through every measured loss; what these miss of the dense law is drawn straight in log D
    from one to the next, and held beyond the shortest and longest runs, for a factor `SHORT`.
    """
    curve = sorted((d, n) for n, d in dense if same_size(n, N))
    data = np.array([d for d, _ in curve])
    if not curve or not data[0] / SHORT <= D <= data[-1] * SHORT:
        return None
    off = [np.log(dense[n, d].loss / law(0.0, n, d)) for d, n in curve]
    nearest = curve[int(np.abs(np.log(data / D)).argmin())]
    moved = np.exp(np.interp(np.log(D), np.log(data), off))
    return Setting(float(law(0.0, N, D) * moved), dense[nearest[1], nearest[0]].runs)


def pairs(
    runs: RunTable,
    law: JointLaw | DenseLaw,
    *,
    size: float = 0.0,
    data: float | Share = 0.0,
    partner: Partner = beside,
) -> DensePairs:
    """Every sparse setting whose partner is in the table: N (1-S)^-size and D (1-S)^-data, dense.

    `data` may also say by S and N how many times the data the partner sees; `partner` finds it
    among the dense settings. Raises InputError where no setting has one.
    """
    share = data if callable(data) else lambda S, _: (1 - S) ** -data
    dense = dense_settings(runs)
    rows = []
    for (S, N, D), own in sparse_settings(runs).items():
        wanted = N * (1 - S) ** -size, D * share(S, N)
        found = partner(dense, law, *wanted)
        if found is not None:
            seeds = 1 / (1 / own.runs + 1 / found.runs)
            gain = np.log(found.loss / own.loss)
            rows.append((S, N, wanted[1], D, gain, found.loss - own.loss, seeds))
    if not rows:
        raise InputError("no sparse run has the dense partner that this comparison needs")
    return DensePairs(*np.array(rows).T)


def dense_settings(runs: RunTable) -> Dense:
    """Every dense setting, by size and data."""
    found = _settings(runs, lambda r: r.sparsity == 0)
    return {(N, D): setting for (_, N, D), setting in found.items()}


def sparse_settings(runs: RunTable) -> Mapping[tuple[float, float, float], Setting]:
    """Every setting of unstructured runs that were pruned from scratch, by sparsity as well."""
    return _settings(runs, lambda r: r.sparsity > 0 and _plain(r))


def _plain(run: RunRecord) -> bool:
    return run.pattern == "unstructured" and run.start == "scratch" and run.pruner == "gmp"


def _settings(
    runs: RunTable, keep: Callable[[RunRecord], bool]
) -> dict[tuple[float, float, float], Setting]:
    """Every setting by sparsity, size and data."""
    kept = RunTable(run for run in runs.finished if keep(run))
    if not len(kept):
        return {}
    found = cells(kept)
    columns = (found.sparsity, found.nonzero_params, found.data_seen, found.loss, found.runs)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {(S, N, D): Setting(loss, count) for S, N, D, loss, count in rows}
