"""What a weight is worth, by which parameters are counted as the size of a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simlib.analysis.contrasts import Estimate, t_interval
from simlib.claims.estimates import SPARSITY
from simlib.claims.pairs import dense_settings, sparse_settings
from simlib.errors import InputError
from simlib.laws.intervals import LEVEL
from simlib.runs.cells import same_sparsity, size_index
from simlib.runs.table import RunRecord, RunTable


def _with_head(run: RunRecord) -> int | None:
    head = run.head_nonzero_params
    return None if head is None else run.nonzero_params + head


COUNTS: dict[str, Callable[[RunRecord], int | None]] = {
    "body": lambda run: run.nonzero_params,
    "body and output layer": _with_head,
    "all parameters": lambda run: run.total_nonzero_params,
}


def pruned_embeddings(runs: RunTable) -> bool:
    """Whether embeddings and output layer of the sparse runs were pruned, too."""
    return any(r.embeddings == "pruned" for r in runs if r.sparsity > 0)


def recount(runs: RunTable, count: str) -> RunTable:
    """The runs with another count as their size; their sparsity stays that of the body.

    Raises InputError where the table does not have the count.
    """
    sizes = [COUNTS[count](r) for r in runs]
    if None in sizes:
        raise InputError("the table does not have this count")
    return RunTable(
        r.model_copy(update={"nonzero_params": N}) for r, N in zip(runs, sizes, strict=True)
    )


def smallest(runs: RunTable, count: str, sparsity: float) -> int:
    """The least size at a sparsity. Raises InputError where the table does not have the count."""
    sizes = [r.nonzero_params for r in recount(runs, count) if same_sparsity(r.sparsity, sparsity)]
    if not sizes:
        raise InputError(f"the table has no run at {sparsity:.3g} sparsity")
    return min(sizes)


def worth(runs: RunTable, count: str, sparsity: float = SPARSITY) -> Estimate:
    """How many dense weights one at a sparsity is worth, sizes counted like that.

    As many times larger as the dense model is that reaches the same loss on the same data, read off
    the dense runs, straight between two sizes in logs. Geometric mean of sizes with Student's t;
    what beats every dense run, or none, has no such size and is left out. Raises InputError where
    nothing else is left, or the table does not have the count.
    """
    counted = recount(runs.finished, count)
    dense = dense_settings(counted)
    sizes, logs = [], []
    for (S, N, D), own in sparse_settings(counted).items():
        curve = sorted((found.loss, n) for (n, d), found in dense.items() if d == D)
        if same_sparsity(S, sparsity) and curve and curve[0][0] <= own.loss <= curve[-1][0]:
            losses, dense_sizes = np.log(curve).T
            sizes.append(N)
            logs.append(float(np.interp(np.log(own.loss), losses, dense_sizes) - np.log(N)))
    if not sizes:
        raise InputError(f"no run at {sparsity:.3g} sparsity reaches the loss of a dense one")
    size = size_index(sizes)
    means = np.bincount(size, logs) / np.bincount(size)
    return t_interval(means, LEVEL).map(lambda log: float(np.exp(log)))
