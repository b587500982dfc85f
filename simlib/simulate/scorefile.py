"""Scores of forecasts as JSON files, and those that ship with the book."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from simlib.fit.fittedlaw import FittedLaw
from simlib.shelf import Shelf
from simlib.simulate.calibration import Score


@dataclass(frozen=True)
class ScoreFile:
    """A score with the name of its table, the share of it that was fitted, and how it was made."""

    name: str
    share: float
    made: dict[str, str]
    score: Score


SHELF = Shelf(ScoreFile, "calibrations", "score")


@cache
def load_score(name: str) -> ScoreFile:
    """A shipped score by the name of its table, or one of the reader's own by path."""
    return SHELF.load(name)


def demanded_stretch(law_file: FittedLaw) -> float:
    """What the shipped score of a law's table demands of its intervals; 1 without a score."""
    table = law_file.table or ""
    if table not in SHELF.names():
        return 1.0
    return load_score(table).score.widen
