"""A run table by name or path, whoever recorded it, with the hash of its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from simlib.datasets import table_path
from simlib.datasets.adapter import adapter_names, load_adapter
from simlib.datasets.published import FILES, TABLE_NAMES, Count, find_file, released_runs
from simlib.errors import InputError
from simlib.runs.cellfile import is_csv, read_cells
from simlib.runs.foreign import (
    NAMED,
    TableReading,
    read_foreign,
    refuse_mixture,
    refuse_units,
)
from simlib.runs.table import FIELDS, RunTable, read_table, warn_once


@dataclass(frozen=True)
class Source:
    """A run table and where it came from."""

    name: str
    runs: RunTable
    sha256: str
    path: Path
    curves: bool = False  # points along runs, which err together


def find_source(
    table: str, count: Count = "nominal", reading: TableReading | None = None
) -> Source:
    """A released table by name, one with an adapter, a shipped one, or the reader's own by path.

    What `reading` says takes the place of what an adapter says of the same field. Raises InputError
    for a table that cannot be had or read.
    """
    reading = reading or TableReading()
    if table in TABLE_NAMES:
        if reading != TableReading():
            raise InputError(
                f"{table} is read as its authors wrote it: leave --columns and rows out"
            )
        which = TABLE_NAMES[table]
        path = find_file(which)
        return Source(table, released_runs(which, count), FILES[which][1], path)
    if count != "nominal":
        raise InputError(f"--count {count} is for the released T5 runs, not for {table}")
    if table in adapter_names():
        adapter = load_adapter(table)
        reading = _over(adapter.reading, reading)
        path = adapter.path()
        runs = read_foreign(path, reading.columns, reading.pick).finished
        along = adapter.curves and not reading.pick.last_per
        return Source(table, runs, adapter.sha256, path, along)
    path = table_path(table)
    runs = _own(path, reading)
    if len(runs.finished):
        columns = ("nonzero_params", "data_seen", "loss")
        refuse_units(path, {name: float(runs.finished.column(name).max()) for name in columns})
    refuse_mixture(runs)
    return Source(table, runs.finished, hashlib.sha256(path.read_bytes()).hexdigest(), path)


def _over(said: TableReading, given: TableReading) -> TableReading:
    """An adapter's reading, with what the user gave in the place of the same part of it."""
    parts = {name: value for name, value in vars(given.pick).items() if value}
    return TableReading({**said.columns, **given.columns}, replace(said.pick, **parts))


def _own(path: Path, reading: TableReading) -> RunTable:
    """The reader's own table; columns that nothing reads are named in one line, and left."""
    header = [name.strip() for name in next(iter(read_cells(path)), [])]
    recorded = "run_id" in header and set(header) <= set(FIELDS)  # simlib wrote it
    if reading == TableReading() and is_csv(path) and recorded:
        return read_table(path)
    if unread := reading.unread(header):
        more = f" and {len(unread) - NAMED} more" if len(unread) > NAMED else ""
        named = ", ".join(map(repr, unread[:NAMED])) + more
        warn_once(f"{path}: no run table has {named}, so that is not read")
    return read_foreign(path, reading.columns, reading.pick)
