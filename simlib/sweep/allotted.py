"""A grid trained within an allotted time, and its runs as one zip that can be gone on with."""

from __future__ import annotations

import json
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simlib.errors import InputError
from simlib.files import put_whole
from simlib.sweep.collect import collect
from simlib.sweep.grid import read_grid
from simlib.sweep.run import sweep
from simlib.train.records import Folder

FASTEST = 1  # level of compression: a third of the size at disk speed
_PACKING = 0.05  # share of the time that is kept for packing what was done


@dataclass(frozen=True)
class Done:
    """Runs recorded of those wanted, and why others failed."""

    recorded: int
    wanted: int
    failures: tuple[str, ...]


class TimeUpError(Exception):
    """Raised in the driver when its time has passed; workers leave their checkpoints."""


def train_for(
    work: Path, archive: str, go_on: str | None, end: float | None, workers: int | None
) -> Done:
    """Train the grid unpacked in `work/job` until `end` (monotonic seconds); pack its runs.

    `go_on` is an archive of an earlier call to begin with. Raises InputError for whatever `sweep`
    refuses, and for an archive that cannot be read.
    """
    about = json.loads((work / "job" / "job.json").read_text())
    grid = read_grid(work / "job" / "grids" / f"{about['grid']}.yaml").only(about["only"])
    runs, failures = work / "runs", tuple[str, ...]()
    if go_on:
        collect(go_on, runs, everything=True)
    left = None if end is None else max(1.0, end - time.monotonic())
    try:
        with _alarm(None if left is None else left * (1 - _PACKING)):
            result = sweep(
                grid.configs,
                runs,
                workers=workers,
                checkpoint_seconds=30.0 if left is None else min(30.0, left / 20),
            )
        failures = tuple(f"{f.task}: {f.reason}" for f in result.failures)
    except TimeUpError:
        pass
    pack_runs(runs, archive)
    done = {r.run_id for r in Folder(runs).recorded()}
    return Done(sum(c.run_id in done for c in grid.configs), len(grid.configs), failures)


def pack_runs(runs: Path, archive: str | Path) -> None:
    """Everything in a folder of runs as one zip: rows, curves, weights and checkpoints."""

    def fill(temporary: Path) -> None:
        # a checkpoint hardly shrinks
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=FASTEST) as out:
            for file in sorted(runs.rglob("*")):
                if file.is_file() and file.name != "lock" and not file.name.startswith("."):
                    out.write(file, file.relative_to(runs))

    try:
        put_whole(Path(archive), fill)
    except OSError as error:
        raise InputError(f"{archive}: the runs could not be packed ({error})") from error


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    """Raise TimeUpError in the main thread after `seconds`."""
    if seconds is None:
        yield
        return

    def stop(*_: object) -> None:
        raise TimeUpError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
