"""What ships with the book, by name: measured run tables and fitted law files."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw, read_law
from simlib.runs.table import RunTable, read_table

FOLDER = Path(__file__).parent
WORLD = FOLDER / "world"  # laws of tables that others published


def table_names() -> list[str]:
    """Names of the shipped run tables."""
    return sorted(p.stem for p in FOLDER.glob("*.csv"))


def law_names() -> list[str]:
    """Names of the shipped law files of pruned models, to plan with."""
    return sorted(p.stem for p in FOLDER.glob("*.json"))


def world_law_names() -> list[str]:
    """Names of the shipped laws of tables that others published."""
    return sorted(p.stem for p in WORLD.glob("*.json"))


def table_path(name: str) -> Path:
    """The file of a shipped table, or the path itself. Raises InputError if there is neither."""
    return _find(name, ".csv", "run table", table_names())


def table_hash(name: str) -> str:
    """SHA-256 of a shipped table. Raises InputError for an unknown name."""
    return hashlib.sha256(table_path(name).read_bytes()).hexdigest()


def load_runs(name: str) -> RunTable:
    """A shipped run table by name, or one of the reader's own by path."""
    return read_table(table_path(name))


@cache
def load_law(name: str) -> FittedLaw:
    """A shipped law file by name, or one of the reader's own by path."""
    if name in world_law_names():
        return read_law(WORLD / f"{name}.json")
    return read_law(_find(name, ".json", "law", law_names()))


def load_fitted(table: str, law: str) -> tuple[RunTable, FittedLaw]:
    """A run table and the law fitted to it, each by name or path.

    Raises InputError for a law of another table, or of another version of this one.
    """
    runs, law_file = load_runs(table), load_law(law)
    if law_file.table_sha256 not in (None, table_hash(table)):
        raise InputError(
            f"the law {law} was not fitted to the table {table} as it is: give the law that was, "
            f"or fit one, `simlib fit --runs {table} --save mine.json`"
        )
    return runs, law_file


def _find(name: str, suffix: str, what: str, known: list[str]) -> Path:
    shipped = FOLDER / f"{name}{suffix}"
    with suppress(OSError, ValueError):  # a name that is too long, or holds a NUL
        if Path(name).name == name and shipped.is_file():
            return shipped
        if Path(name).is_file():
            return Path(name)
    raise InputError(
        f"there is no {what} named {name!r:.200} and no file at that path; "
        f"shipped are: {', '.join(known) or 'none'}"
    )
