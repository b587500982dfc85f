"""What the benchmark suite measured, as a file: rows, their cases, targets and reasons.

No torch here: `benchmarks/suite.py` writes it, the page reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from simlib.catalog import Catalog
from simlib.errors import InputError

# what each row measures, by the name that `--only` takes, in the order of the page
TITLES = {
    "joint-fit": "joint fit, cold start to the optimum",
    "bootstrap": "1000 bootstrap refits, each at its own optimum",
    "dense-law": "dense law, 240 synthetic runs",
    "growth": "growth with the number of runs",
    "optimum": "optimal sparsity on a 1000 x 1000 grid, and with an ensemble",
    "step": "training step, dense and masked",
    "fused": "training step of whole sublayers, by width",
    "mask-update": "mask update on a 4096 x 1024 matrix",
    "grid": "a grid of four sparsities, end to end",
    "peak": "share of the measured matmul peak reached in training",
    "startup": "import simlib, simlib --help",
    "book": "the book",
}


@dataclass(frozen=True)
class Goal:
    """What a case is to reach, by the ratio or by our own number."""

    of: Literal["ratio", "ours"]
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Case:
    """One thing measured, ours and the other's in turn.

    `ratio` is the median over rounds of other over ours, `low` and `high` its quartiles: above 1
    ours is the better one. `other` and `ratio` are None where there is no rival.
    """

    name: str
    unit: str
    ours: float
    against: str = ""
    other: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 1
    goal: Goal | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        value = self.ours if self.goal.of == "ours" else self.ratio
        if value is None:
            return False
        least, most = self.goal.least, self.goal.most
        return (least is None or value >= least) and (most is None or value <= most)


@dataclass(frozen=True)
class Row:
    """A row of the suite: its cases, or the reason why it has none.

    `why` is what a profile says of a row that misses a goal, `needed` what would reach it.
    """

    name: str
    seconds: float
    cases: list[Case] = field(default_factory=list)
    failed: str = ""
    why: str = ""
    needed: str = ""

    @property
    def missed(self) -> bool:
        """Whether a goal is not reached."""
        return any(case.reached is False for case in self.cases)


@dataclass(frozen=True)
class BenchFile:
    """All rows, the class of the machine, and how they were measured."""

    machine: dict[str, str]
    made: dict[str, str]
    rows: list[Row]

    def row(self, name: str) -> Row:
        """A row by name. Raises InputError for one that was not run."""
        for row in self.rows:
            if row.name == name:
                return row
        known = ", ".join(row.name for row in self.rows) or "none"
        raise InputError(f"the benchmark {name!r} was not run; there are {known}")


CATALOG = Catalog(BenchFile, "benchmarks", "table of benchmarks")


@cache
def load_benchmarks(name: str) -> BenchFile:
    """Shipped benchmarks by the name of their machine class, or the reader's own by path."""
    return CATALOG.load(name)
