"""Comparisons of forms as JSON files, and those that ship with the book."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from simlib.datasets import FOLDER
from simlib.errors import InputError
from simlib.fit.compare import Comparison

SHIPPED = FOLDER / "comparisons"


@dataclass(frozen=True)
class ComparisonFile:
    """A comparison with the name of its table and how it was made."""

    name: str
    made: dict[str, str]
    comparison: Comparison


_FILE = TypeAdapter(ComparisonFile)


def write_comparison(path: str | Path, content: ComparisonFile) -> None:
    """Write a comparison in one step. Raises InputError where the folder cannot be written."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(_FILE.dump_json(content, indent=1) + b"\n")
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: the comparison could not be written ({error})") from error


@cache
def load_comparison(name: str) -> ComparisonFile:
    """A shipped comparison by the name of its table, or one of the reader's own by path."""
    shipped = SHIPPED / f"{name}.json"
    path = shipped if Path(name).name == name and shipped.is_file() else Path(name)
    try:
        return _FILE.validate_json(path.read_bytes())
    except OSError as error:
        known = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.json"))) or "none"
        raise InputError(
            f"there is no comparison named {name!r} and no file at that path; shipped are: {known}"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: this is not a comparison ({first['msg']} at {place})") from error
