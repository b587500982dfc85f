"""How often intervals held the truth, and fits the optimum, on drawn tables, as a file.

`benchmarks/coverage.py` writes it, the page on fits reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from simlib.catalog import Catalog

LEAST, MOST = 0.85, 0.95  # of the shares that intervals of nominally 90% are to hold


@dataclass(frozen=True)
class Share:
    """In how many of so many tables whose fit has a status the intervals of a kind held the truth.

    `kind` is "bootstrap" or "profile", `of` a coefficient, "optimal sparsity" or "loss beyond".
    """

    status: str
    kind: str
    of: str
    tables: int
    inside: int

    @property
    def value(self) -> float:
        """The share."""
        return self.inside / self.tables

    @property
    def holds(self) -> bool:
        """Whether it is as near to nominal as it is to be."""
        return LEAST <= self.value <= MOST


@dataclass(frozen=True)
class Optima:
    """In how many of so many tables a fit was within 1e-6 of the best of scipy's starts.

    `worst` is the largest excess over scipy's objective, relative to it; `lower` counts the tables
    in which the fit was lower than that by more than 1e-6. `disagreeing` counts fits that say so of
    their starts.
    """

    tables: str
    count: int
    within: int
    lower: int
    worst: float
    disagreeing: int


@dataclass(frozen=True)
class Coverage:
    """Both, with what was drawn and how it was made; `drawn` counts the tables of each status."""

    made: dict[str, str]
    level: float
    resamples: int
    profile_resamples: int
    drawn: dict[str, int]
    shares: tuple[Share, ...]
    optima: tuple[Optima, ...]


CATALOG = Catalog(Coverage, "coverage", "record of coverage")


@cache
def load_coverage(name: str) -> Coverage:
    """A shipped record by the name of the form, or the reader's own by path."""
    return CATALOG.load(name)
