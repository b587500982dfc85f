"""Run tables drawn from a law, with the noise of real ones, marked so that none passes for real."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

import simlib
from simlib.datasets import load_runs, table_names
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import Array, Law, fraction, offender, positive
from simlib.runs.cells import cell_index, combined_index, pooled
from simlib.runs.simulated import MARK
from simlib.runs.table import MOST, RunRecord, RunTable
from simlib.simulate.forecast import residual_noise

MOST_RUNS = 1_000_000  # of one virtual table
MOST_NOISE = 1.0  # of log loss: a factor of 2.7 either way


@dataclass(frozen=True)
class Noise:
    """Deviations of log loss from a law: of a repeat with another seed, and of the setting itself.

    `seed` and `misfit` are standard deviations. Repeats of one (S, N, D) share their misfit.
    `seed` is None in an estimate from a table without repeats, whose `misfit` then holds both.
    """

    seed: float | None
    misfit: float

    def __post_init__(self) -> None:
        if not all(np.isfinite(v) and v >= 0 for v in (self.seed or 0.0, self.misfit)):
            raise InputError(
                f"noise must be at least 0 and finite, got seed {self.seed}, misfit {self.misfit}"
            )

    @property
    def total(self) -> float:
        """Standard deviation of one run about the law."""
        return float(np.hypot(self.seed or 0.0, self.misfit))


def estimate_noise(runs: RunTable, law: Law) -> Noise:
    """Seed noise from repeats of one setting, misfit from how the settings' means miss the law.

    Analysis of variance with one group a setting; the law's k fitted coefficients take k degrees
    of freedom from between the groups. Raises InputError for no more settings than coefficients.
    """
    runs, k = runs.finished, len(law.names())
    S, N, D = runs.sparsity, runs.nonzero_params, runs.data_seen
    cell = cell_index(S, N, D)
    count = np.bincount(cell)
    if len(count) <= k:
        raise InputError(
            f"{len(count)} different settings say nothing of the noise about a law of {k} "
            "coefficients: more settings than coefficients are needed"
        )
    residual = np.log(runs.loss / law(S, N, D))
    means = np.bincount(cell, residual) / count
    between = float((count * means**2).sum() / (len(count) - k))
    within = pooled(residual, cell)
    if not within.degrees:
        return Noise(None, float(np.sqrt(between)))
    misfit = max(between - within.deviation**2, 0.0) / float(count.mean())
    return Noise(within.deviation, float(np.sqrt(misfit)))


def usual_noise(law_file: FittedLaw) -> Noise:
    """The noise of the runs behind a law: estimated from their table where it ships.

    Elsewhere, as for published runs without repeats, all that the law file records is one
    deviation, which is taken for misfit. Raises InputError for a law that records none.
    """
    table = law_file.table
    if table is not None and table in table_names():
        least = law_file.fitted_range.data_seen[0]  # a law of a regime leaves shorter runs out
        fitted = RunTable(r for r in load_runs(table) if r.data_seen >= least)
        return estimate_noise(fitted, law_file.law)
    return Noise(None, residual_noise(law_file))


def virtual_runs(
    law: Law,
    S: ArrayLike,
    N: ArrayLike,
    D: ArrayLike,
    noise: Noise,
    *,
    name: str = "law",
    repeats: int = 1,
    seed: int = 0,
) -> RunTable:
    """A run table drawn from a law at the points (S, N, D), which broadcast, each `repeats` times.

    Every record says that it is simulated: in its run_id, dataset, device and commit. Raises
    InputError for points outside the law's domain, fewer than one repeat, or noise so large that
    no loss is left.
    """
    if repeats < 1:
        raise InputError(f"a virtual table repeats each run at least once, got {repeats}")
    if noise.total > MOST_NOISE:
        raise InputError(
            f"noise of {noise.total:g} on log loss is more than any table has: give a share of the "
            "loss, such as 0.01"
        )
    whole = [
        fraction(S),
        _whole("nonzero_params", N),
        _whole("data_seen", D),
    ]
    count = int(np.broadcast(*whole).size) * repeats
    if count > MOST_RUNS:
        raise InputError(
            f"{count:,} runs are more than the {MOST_RUNS:,} of the largest virtual table: give "
            "fewer values or repeats"
        )
    axes = np.broadcast_arrays(*whole)
    columns = [np.tile(a.ravel(), repeats) for a in axes]
    _whole("dense_params", columns[1] / (1 - columns[0]))
    cell = combined_index(*columns)
    rng = np.random.default_rng(seed)
    shared = noise.misfit * rng.standard_normal(cell.max() + 1)[cell]
    own = (noise.seed or 0.0) * rng.standard_normal(len(cell))
    loss = law(*columns) * np.exp(shared + own)
    digest = hashlib.sha256(
        repr((name, law, noise, seed, [c.tolist() for c in columns])).encode()
    ).hexdigest()[:12]
    return RunTable(
        RunRecord(
            run_id=f"{MARK}-{digest}-{row:05d}",
            family="other",
            dataset=f"{MARK}:{name}",
            pruner="gmp" if s > 0 else "none",
            nonzero_params=int(n),
            dense_params=max(round(n / (1 - s)), int(n)),
            sparsity=s,
            data_seen=int(d),
            seed=seed,
            loss=y,
            device=MARK,
            commit=MARK,
            versions=f"simlib {simlib.__version__}",
        )
        for row, (s, n, d, y) in enumerate(zip(*columns, loss, strict=True))
    )


def _whole(name: str, values: ArrayLike) -> Array:
    """Counts as whole numbers. Raises InputError for one that a run table does not take."""
    counts = np.rint(positive(name, values))
    bad = (counts < 1) | (counts > MOST)
    if np.any(bad):
        least = offender(np.asarray(values, dtype=float), bad)
        raise InputError(f"{name} must lie between 1 and {MOST:g}, got {least:g}")
    return np.asarray(counts)
