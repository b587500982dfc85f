"""Comparisons of forms as JSON files, and those that ship with the book."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from simlib.catalog import Catalog
from simlib.fit.compare import Comparison


@dataclass(frozen=True)
class ComparisonFile:
    """A comparison with the name of its table and how it was made."""

    name: str
    made: dict[str, str]
    comparison: Comparison


CATALOG = Catalog(ComparisonFile, "comparisons", "comparison")


@cache
def load_comparison(name: str) -> ComparisonFile:
    """A shipped comparison by the name of its table, or one of the reader's own by path."""
    return CATALOG.load(name)
