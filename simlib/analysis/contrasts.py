"""What one choice changes: differences between runs that are alike in everything else.

Two runs are a pair if they share family, data, dense size, sparsity, recipe and seed, and differ in
how they were made sparse. Their log losses differ by what that does: most of the seed's noise is
common to both, all of it up to where their masks part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from simlib.errors import InputError
from simlib.fit.profile import Interval
from simlib.laws.intervals import LEVEL
from simlib.laws.law import Array
from simlib.paper import PRUNE_END, PRUNE_START
from simlib.runs.cells import alike, same_size, same_sparsity, sparsity_index
from simlib.runs.table import RunRecord, RunTable

# pruners and schedules in words; others, such as somebody's own, go by their name
PRUNERS = {
    "gmp": "magnitude",
    "acdc": "AC/DC",
    "rigl": "RigL",
    "set": "SET",
    "random_gradual": "random choice",
    "random_static": "fixed random mask",
    "from_checkpoint": "magnitude, from a trained model",
}
SCHEDULES = {"oneshot": "one-shot"}
OPTIMIZERS = {"adamw": "AdamW", "adafactor": "Adafactor"}
FAMILIES = {"gpt": "GPT", "vit": "ViT", "t5": "T5"}


def _spoken(pruner: str) -> str:
    return PRUNERS.get(pruner, pruner)


class Arm(NamedTuple):
    """How runs were made sparse: what a contrast compares.

    `aware` says whether the optimizer knew the masks.
    """

    pattern: str
    pruner: str
    schedule: str
    start: float | None
    end: float | None
    aware: bool = True

    @classmethod
    def of(cls, run: RunRecord) -> Arm:
        """The arm of a run; a mask that is made once has no end."""
        once = run.schedule == "oneshot" or run.pruner == "random_static"
        end = run.prune_start if once else run.prune_end
        aware = run.mask_optimizer
        return cls(run.pattern, run.pruner, run.schedule, run.prune_start, end, aware)

    def __str__(self) -> str:
        pattern = "" if self.pattern == "unstructured" else f"{self.pattern}, "
        return f"{pattern}{_spoken(self.pruner)}, {self.ramp}{self.blindness}"

    def beside(self, reference: Arm) -> str:
        """What sets this arm apart from another, in as few words."""
        parts = [self.pattern] if self.pattern != reference.pattern else []
        parts += [_spoken(self.pruner)] if self.pruner != reference.pruner else []
        if self[2:5] != reference[2:5]:
            parts.append(self.ramp)
        if self.aware != reference.aware:
            parts.append("masks unknown to the optimizer" if reference.aware else "masks known")
        return ", ".join(parts) or "the same"

    @property
    def blindness(self) -> str:
        """Empty, unless the optimizer did not know the masks."""
        return "" if self.aware else ", masks unknown to the optimizer"

    @property
    def ramp(self) -> str:
        """The schedule and when masks change, as a share of the steps: `cubic 25–75%`."""
        schedule = SCHEDULES.get(self.schedule, self.schedule)
        if self.start is None or self.end is None:
            return schedule
        if self.start == self.end:
            return f"{schedule} at {100 * self.start:.4g}%" if self.end else "from the start"
        return f"{schedule} {100 * self.start:.4g}–{100 * self.end:.4g}%"


REFERENCE = Arm("unstructured", "gmp", "cubic", PRUNE_START, PRUNE_END)


class Estimate(NamedTuple):
    """A mean with its interval; an end that does not exist is None."""

    mean: float
    interval: Interval
    values: int  # how many were averaged

    @property
    def sign(self) -> int:
        """1 if the whole interval lies above zero, -1 if below, 0 if neither is sure."""
        low, high = self.interval
        if low is not None and low > 0:
            return 1
        return -1 if high is not None and high < 0 else 0

    def map(self, function: Callable[[float], float]) -> Estimate:
        """The same under an increasing function, such as `exp`."""
        low, high = (None if end is None else function(end) for end in self.interval)
        return Estimate(function(self.mean), (low, high), self.values)


@dataclass(frozen=True)
class Pairs:
    """Runs of two arms side by side: `runs` holds (reference, other); `lost` pairs diverged."""

    reference: Arm
    other: Arm
    runs: tuple[tuple[RunRecord, RunRecord], ...]
    lost: int = 0

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def label(self) -> str:
        """What sets the other arm apart from the reference."""
        return self.other.beside(self.reference)

    @property
    def differences(self) -> Array:
        """`ln(loss of other / loss of reference)` (pairs,): above zero the other is worse."""
        return np.array([np.log(other.loss / first.loss) for first, other in self.runs])

    @property
    def points(self) -> tuple[Array, Array, Array]:
        """Sparsity, non-zero parameters and data of the reference runs, each (pairs,)."""
        columns = [(r.sparsity, float(r.nonzero_params), float(r.data_seen)) for r, _ in self.runs]
        S, N, D = np.array(columns, dtype=float).reshape(-1, 3).T
        return S, N, D

    def split(self, key: Callable[[RunRecord], Any]) -> dict[Any, Pairs]:
        """The pairs in groups by a key of the reference run, in order of the keys."""
        return self.grouped([key(first) for first, _ in self.runs])

    def grouped(self, keys: Sequence[Any]) -> dict[Any, Pairs]:
        """The pairs in groups by a key of each, in order of the keys."""
        groups: dict[Any, list[tuple[RunRecord, RunRecord]]] = defaultdict(list)
        for key, pair in zip(keys, self.runs, strict=True):
            groups[key].append(pair)
        return {k: Pairs(self.reference, self.other, tuple(groups[k])) for k in sorted(groups)}

    def effect(self, level: float = LEVEL) -> Estimate:
        """Mean difference of log loss over all pairs: cells and seeds are pooled."""
        return t_interval(self.differences, level)

    def effect_over_cells(self, level: float = LEVEL) -> Estimate:
        """The same with seeds averaged within their cell first: wider if cells differ."""
        sparsity = sparsity_index(self.points[0]).tolist()
        keys = [
            (first.family, first.dense_params, at, first.data_seen)
            for at, (first, _) in zip(sparsity, self.runs, strict=True)
        ]
        means = [cell.differences.mean() for cell in self.grouped(keys).values()]
        return t_interval(means, level)


def match(runs: RunTable, other: Arm, reference: Arm = REFERENCE) -> Pairs:
    """Every run of `other` with the run of `reference` that is alike in all else.

    Raises InputError if there is no such pair, or if a run has two partners.
    """
    partners: dict[tuple[Any, ...], list[RunRecord]] = defaultdict(list)
    for run in runs:
        if run.sparsity > 0 and Arm.of(run) == reference:
            partners[alike(run)].append(run)
    found, lost = [], 0
    for run in runs:
        if run.sparsity == 0 or Arm.of(run) != other:
            continue
        near = [r for r in partners[alike(run)] if same_sparsity(r.sparsity, run.sparsity)]
        if len(near) > 1:
            raise InputError(f"run {run.run_id} pairs with {near[0].run_id} and {near[1].run_id}")
        ended = [r for r in near if not (r.diverged or run.diverged)]
        found += [(r, run) for r in ended]
        lost += len(near) - len(ended)
    if not found:
        raise InputError(f"no run of '{other}' has a partner of '{reference}' that ended as well")
    return Pairs(reference, other, tuple(found), lost)


def against_dense(runs: RunTable, arm: Arm) -> Pairs:
    """Every run of an arm with the dense run of its non-zero size, data and seed.

    They share no training, so the seed's noise stays in. Raises InputError if there is no pair.
    """
    dense = [r for r in runs.finished if r.sparsity == 0]
    found = [
        (first, run)
        for run in runs.finished
        if run.sparsity > 0 and Arm.of(run) == arm
        for first in dense
        if (first.family, first.data_seen, first.seed) == (run.family, run.data_seen, run.seed)
        and same_size(first.nonzero_params, run.nonzero_params)
    ]
    if not found:
        raise InputError(f"no run of '{arm}' has a dense partner of its size, data and seed")
    return Pairs(Arm.of(found[0][0]), arm, tuple(found))


def arms(runs: RunTable) -> list[Arm]:
    """Every arm of the sparse runs of a table, in order of appearance."""
    return list(dict.fromkeys(Arm.of(r) for r in runs if r.sparsity > 0))


def t_interval(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean and Student's t interval of independent values; one value has no interval."""
    values = np.asarray(values, dtype=float)
    n, mean = len(values), float(np.mean(values))
    if n < 2 or not np.isfinite(mean):
        return Estimate(mean, (None, None), n)
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, (mean - half, mean + half), n)
