"""Rows of tables, drawn by chance and trained again."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, read_table
from simlib.runs.verification import Repeat
from simlib.sweep.grid import read_grid
from simlib.sweep.run import check, sweep
from simlib.train.pack import Progress
from simlib.train.progress import describe_run
from simlib.train.records import Folder
from simlib.train.settings import cpu, versions

# Since then the kernels sum in another order than before, and round otherwise: a row that was begun
# earlier is met as on another kind of machine. A test holds the file of the kernels against it.
KERNELS_SINCE = "2026-11-27T19:44:20+00:00"
KERNELS_SHA256 = "4b4c6fba261c0e3d3219fd1b2a90f7ba51436e3627e57dfd979c08bd52c8a261"
_SINCE = datetime.fromisoformat(KERNELS_SINCE)


@dataclass(frozen=True)
class RecordedRow:
    """A recorded run of a table, and the configurations that make it: of its start, then its own.

    `spread` is the relative standard deviation of the loss over the seeds of its setting, `usual`
    the median of those of its table; None where there is one seed each.
    """

    table: str
    record: RunRecord
    configs: tuple[RunConfig, ...]
    spread: float | None
    usual: float | None

    @property
    def seconds(self) -> float:
        """What the run itself took where it was recorded; what it shared is not in it."""
        return self.record.seconds or 0.0


def recorded_rows(grids: Path, shipped: Path, tables: Sequence[str] = ()) -> list[RecordedRow]:
    """The rows of all tables in the folder `shipped`, or of those named, that a grid there makes.

    Raises InputError for a name without table or grid.
    """
    found = sorted(path.stem for path in shipped.glob("*.csv"))
    known = [name for name in found if (grids / f"{name}.yaml").is_file()]
    if missing := [name for name in tables if name not in known]:
        raise InputError(f"no grid makes a shipped table {missing[0]!r}: {', '.join(known)} do")
    return [
        row
        for name in tables or known
        for row in _rows(name, grids / f"{name}.yaml", shipped / f"{name}.csv")
    ]


def _rows(name: str, grid: Path, table: Path) -> list[RecordedRow]:
    configs = {c.run_id: c for c in read_grid(grid).configs}
    runs = read_table(table)
    losses: dict[str, list[float]] = {}
    for run in runs.finished:
        losses.setdefault(_setting(configs[run.run_id]), []).append(np.log(run.loss))

    spreads = {key: float(np.std(y, ddof=1)) for key, y in losses.items() if len(y) > 1}
    usual = float(np.median(list(spreads.values()))) if spreads else None

    def row(run: RunRecord) -> RecordedRow:
        own = configs[run.run_id]
        start = (configs[own.start],) if own.start in configs else ()
        return RecordedRow(name, run, (*start, own), spreads.get(_setting(own)), usual)

    return [row(run) for run in runs.finished]


def _setting(config: RunConfig) -> str:
    """All of a configuration but its seed, and the seed of its start."""
    fields = config.model_dump(exclude={"seed", "start"})
    return repr((fields, config.start == "scratch"))


def draw(
    rows: Sequence[RecordedRow], count: int, seed: int, hours: float | None = None
) -> list[RecordedRow]:
    """So many rows by chance; with `hours`, only such as those that took no more than their share.

    Raises InputError where there is none.
    """
    if hours is not None:
        rows = [r for r in rows if r.seconds * len(r.configs) <= hours * 3600 / count]
    if not rows:
        raise InputError("no row can be trained again in that time: give more hours")
    return random.Random(seed).sample(list(rows), min(count, len(rows)))


def absent(row: RecordedRow) -> str:
    """Why a row cannot be trained here, such as photographs that are not at hand; else empty."""
    try:
        with tempfile.TemporaryDirectory() as place:
            check(row.configs, Folder(Path(place)))
    except InputError as error:
        return str(error)
    return ""


def repeat(
    rows: Sequence[RecordedRow], workers: int | None = None, progress: Progress | None = None
) -> list[Repeat]:
    """Train rows again, in a folder of their own. Raises InputError for one that fails."""
    configs = {c.run_id: c for row in rows for c in row.configs}
    with tempfile.TemporaryDirectory() as place:
        done = sweep(list(configs.values()), place, workers=workers, progress=progress)
    if done.failures:
        raise InputError(f"{done.failures[0].task}: {done.failures[0].reason}")
    again = {r.run_id: r.loss for r in done.runs}
    return [
        Repeat(
            row.table,
            row.record.run_id,
            describe_run(row.configs[-1]),
            row.record.loss,
            again[row.record.run_id],
            is_same_machine(row.record),
            row.spread,
            row.usual,
        )
        for row in rows
    ]


def is_same_machine(record: RunRecord) -> bool:
    """Whether processor, versions and kernels, which decide the last digits, are the record's."""
    alike = record.cpu == cpu() and record.versions == versions()
    return alike and datetime.fromisoformat(record.started_at or KERNELS_SINCE) >= _SINCE
