"""Scores of forecasts as JSON files, and those that ship with the book."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from simlib.datasets import FOLDER
from simlib.errors import InputError
from simlib.lawfile import LawFile
from simlib.simulate.calibration import Score

SHIPPED = FOLDER / "calibrations"


@dataclass(frozen=True)
class ScoreFile:
    """A score with the name of its table, the share of it that was fitted, and how it was made."""

    name: str
    share: float
    made: dict[str, str]
    score: Score


_FILE = TypeAdapter(ScoreFile)


def write_score(path: str | Path, content: ScoreFile) -> None:
    """Write a score in one step. Raises InputError where the folder cannot be written."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(_FILE.dump_json(content, indent=1) + b"\n")
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: the score could not be written ({error})") from error


@cache
def load_score(name: str) -> ScoreFile:
    """A shipped score by the name of its table, or one of the reader's own by path.

    Raises InputError where there is none or the file holds something else.
    """
    shipped = SHIPPED / f"{name}.json"
    path = shipped if Path(name).name == name and shipped.is_file() else Path(name)
    try:
        return _FILE.validate_json(path.read_bytes())
    except OSError as error:
        known = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.json"))) or "none"
        raise InputError(f"there is no score named {name!r} and no file at that path; shipped are: "
                         f"{known}") from error  # fmt: skip
    except ValidationError as error:
        raise InputError(f"{path}: this is not a score ({error.errors()[0]['msg']})") from error


def demanded_stretch(law_file: LawFile) -> float:
    """What the shipped score of a law's table demands of its intervals; 1 without a score."""
    table = law_file.record.get("made", {}).get("table", "")
    if not (SHIPPED / f"{table}.json").is_file():
        return 1.0
    return load_score(table).score.widen
