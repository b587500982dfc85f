"""A run table by name or path, whoever recorded it, with the hash of its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from simlib.datasets import table_path
from simlib.datasets.published import FILES, TABLE_NAMES, Count, find_file, released_runs
from simlib.errors import InputError
from simlib.runs.foreign import (
    ESSENTIAL,
    header_of,
    parse_columns,
    read_foreign,
    refuse_mixture,
    refuse_units,
)
from simlib.runs.table import RunTable, read_table, warn_once


@dataclass(frozen=True)
class Source:
    """A run table and where it came from."""

    name: str
    runs: RunTable
    sha256: str


def find_source(table: str, count: Count = "nominal", names: str | None = None) -> Source:
    """A released table by name, a shipped one, or the reader's own by path."""
    if table in TABLE_NAMES:
        which = TABLE_NAMES[table]
        find_file(which)
        return Source(table, released_runs(which, count), FILES[which][1])
    if count != "nominal":
        raise InputError(f"--count {count} is for the released T5 runs, not for {table}")
    path = table_path(table)
    runs = _own(path) if names is None else read_foreign(path, parse_columns(names))
    if len(runs.finished):
        columns = ("nonzero_params", "data_seen", "loss")
        refuse_units(path, {name: float(runs.finished.column(name).max()) for name in columns})
    refuse_mixture(runs)
    return Source(table, runs.finished, hashlib.sha256(path.read_bytes()).hexdigest())


def _own(path: Path) -> RunTable:
    """A run table; columns of its owner's beside the known ones are named in one line, and left."""
    header, own = header_of(path)
    if not own or not set(ESSENTIAL) <= set(header):
        return read_table(path)
    warn_once(f"{path}: no run table has {', '.join(map(repr, own))}, so that is not read")
    return read_foreign(path, {})
