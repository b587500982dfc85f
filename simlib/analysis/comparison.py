"""Which of two runs won: differences between runs that are alike but for their sparsity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simlib.errors import InputError
from simlib.runs.cells import nominal_sparsities
from simlib.runs.table import RunTable

TIE = 2.0  # standard errors of the mean difference below which nothing is called a win


@dataclass(frozen=True)
class SeedComparison:
    """Validation losses of dense and sparse runs, one of each for every seed, in nats."""

    sparsity: float
    seeds: tuple[int, ...]
    dense: NDArray[np.float64]
    sparse: NDArray[np.float64]

    @property
    def differences(self) -> NDArray[np.float64]:
        """Dense minus sparse, per seed."""
        return self.dense - self.sparse

    @property
    def mean(self) -> float:
        """Mean difference over the seeds; above zero the sparse runs are better."""
        return float(self.differences.mean())

    @property
    def stderr(self) -> float:
        """Standard error of that mean, from the spread over seeds; NaN for one seed."""
        if len(self.seeds) < 2:
            return float("nan")
        return float(self.differences.std(ddof=1) / np.sqrt(len(self.seeds)))

    @property
    def winner(self) -> str:
        """Sparse, dense, or neither if the seeds disagree or the difference is in their noise."""
        agree = abs(np.sign(self.differences).sum()) == len(self.seeds)
        clear = not abs(self.mean) < TIE * self.stderr  # a single seed has no noise to compare to
        if not (agree and clear):
            return "neither"
        return "sparse" if self.mean > 0 else "dense"


def compare(runs: RunTable) -> SeedComparison:
    """Compare the sparse runs of a table with its dense runs, seed by seed.

    Raises InputError unless there is, for every seed, one dense and one sparse run that ended,
    of one sparsity, with equal data.
    """
    dense = {r.seed: r for r in runs.finished if r.sparsity == 0}
    sparse = {r.seed: r for r in runs.finished if r.sparsity > 0}
    levels = set(nominal_sparsities([r.sparsity for r in sparse.values()]).tolist())
    if dense.keys() != sparse.keys() or len(levels) != 1 or len(runs) != 2 * len(dense):
        raise InputError(
            "a comparison needs one dense and one sparse run of one sparsity for every seed, "
            f"and this table has dense seeds {sorted(map(str, dense))}, sparse seeds "
            f"{sorted(map(str, sparse))}, sparsities {sorted(levels)}"
        )
    if len({r.data_seen for r in runs}) != 1:
        raise InputError("a comparison needs runs with equal data_seen")
    seeds = tuple(s for s in dense if s is not None)
    losses = (np.array([side[s].loss for s in seeds]) for side in (dense, sparse))
    return SeedComparison(levels.pop(), seeds, *losses)
