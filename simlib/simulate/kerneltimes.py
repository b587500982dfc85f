"""Measured times of sparse products as files, and what they are worth in a training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from simlib.catalog import Catalog
from simlib.errors import InputError
from simlib.runs.timings import PRODUCTS, TRAINING_ROWS, ServingTiming, StepTiming, Timing


@dataclass(frozen=True)
class TimingFile:
    """Timings with the class of the machine and how they were made."""

    machine: dict[str, str]
    made: dict[str, str]
    timings: list[Timing]
    steps: list[StepTiming] = field(default_factory=list)
    serving: list[ServingTiming] = field(default_factory=list)


CATALOG = Catalog(TimingFile, "hardware", "set of kernel timings")


@cache
def load_timings(name: str) -> TimingFile:
    """Shipped timings by the name of their machine class, or the reader's own by path."""
    return CATALOG.load(name)


def pays(timing: Timing | StepTiming | ServingTiming) -> bool:
    """Whether a kernel beats dense beyond the scatter of its rounds: its lower quartile > 1."""
    return timing.low > 1


def step_speedup(timings: Sequence[Timing], width: int, sparsity: float) -> float:
    """How much faster the three products of a training step run by the best mix of kernels.

    Each product is done by the fastest kernel that pays, else dense; so it is never below 1.
    Attention scores, norms, optimizer and masks are left out: they gain nothing, and would bring
    it closer to 1. Raises InputError where the step was not measured at that width and sparsity.
    """
    at = [t for t in timings if (t.width, t.rows, t.sparsity) == (width, TRAINING_ROWS, sparsity)]
    dense = {t.product: t.dense_ms for t in at}
    if not {"forward", "to inputs", "to weights"} <= set(dense):
        raise InputError(f"no training step was measured at width {width}, sparsity {sparsity:g}")
    # as ratios of the dense times: those of one product differ between measurements by noise
    gain = {p: max([1.0, *(t.speedup for t in at if t.product == p and pays(t))]) for p in PRODUCTS}
    usual = dense["to inputs"] + dense["to weights"]
    apart = dense["to inputs"] / gain["to inputs"] + dense["to weights"] / gain["to weights"]
    best = dense["forward"] / gain["forward"] + min(apart, usual / gain["backward"])
    return (dense["forward"] + usual) / best


def step_speedups(timings: Sequence[Timing], width: int) -> tuple[tuple[float, float], ...]:
    """(S, speed-up) of a training step at every sparsity measured at a width.

    Raises InputError for a width that was not measured.
    """
    measured = {t.width: None for t in timings if t.rows == TRAINING_ROWS}
    if width not in measured:
        raise InputError(
            f"width {width} was not measured: choose {', '.join(map(str, sorted(measured)))}"
        )
    levels = sorted({t.sparsity for t in timings if (t.width, t.rows) == (width, TRAINING_ROWS)})
    return tuple((s, step_speedup(timings, width, s)) for s in levels)
