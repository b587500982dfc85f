"""What a worker process does: one task, its log, its messages to the driver."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from simlib.errors import InputError
from simlib.sweep.tasks import Task
from simlib.train.checkpoint import cannot_write
from simlib.train.pack import Job, Update
from simlib.train.records import Folder

log = logging.getLogger("simlib.sweep")
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
# glibc hands large blocks back to the system whenever they are freed, and every step takes them
# again at a page fault for each 4 KiB: up to a quarter of a step at widths around 100
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}


@dataclass(frozen=True)
class Failure:
    """A task that did not end well: why, in a sentence, and where its log is."""

    task: str
    reason: str
    log: Path


@dataclass(frozen=True)
class Warned:
    """What a worker warned of, in a sentence: whoever started the sweep should read it."""

    sentence: str


def log_path(root: Path, task: Task) -> Path:
    """The log of a task: beside the run's other files, or in `logs` for prefixes."""
    if task.configs:
        return root / task.configs[0].run_id / "log.txt"
    return root / "prefixes" / f"{task.name.removeprefix('prefix-')}.log"


def not_begun(waiting: Sequence[Task], root: Path) -> list[Failure]:
    """The failures of tasks that were left because another one failed."""
    reason = "not begun: it needs a task that failed"
    return [Failure(t.name, reason, log_path(root, t)) for t in waiting]


def add_log(path: Path, text: str) -> None:
    """Add text to a task's log from another process. Raises InputError if it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise cannot_write(path, error) from error


def add_note(path: Path, text: str) -> None:
    """Add a line of the driver's to a task's log."""
    add_log(path, f"{time.strftime('%Y-%m-%d %H:%M:%S')} driver {text}\n")


def work(task: Task, root: Path, checkpoint_seconds: float, pipe: Connection) -> None:
    """Train a task; send every Update and warning, at the end None or the sentence of a failure.

    The driver's death breaks the pipe, and the next update ends the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the driver's to handle
    try:
        _write_log(log_path(root, task))
    except InputError as error:
        pipe.send(str(error))
    else:
        logging.getLogger("simlib").addHandler(_Warnings(pipe))
        train(task, root, checkpoint_seconds, pipe)


class _Warnings(logging.Handler):
    """Sends warnings to the driver; what it is told at the end of a task is not said twice."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.WARNING)
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            with suppress(BrokenPipeError):
                self.pipe.send(Warned(record.getMessage()))


class Outlet(Protocol):
    """Where a worker's messages go: a pipe, or what takes its place."""

    def send(self, message: Update | str | None, /) -> None:
        """Send; raises BrokenPipeError if nobody listens any more."""


def train(
    task: Task,
    root: Path,
    checkpoint_seconds: float,
    outlet: Outlet,
    inspect: Callable[[Task], None] | None = None,
) -> None:
    """Train a task, after `inspect` has looked at it; messages as in `work`."""
    try:
        if inspect:
            inspect(task)
        job = Job(Folder(root), Reporter(outlet), checkpoint_seconds)
        job.train_prefixes(task.segments)
        job.finish(task.configs)
    except BrokenPipeError:
        log.warning("the driver is gone: stopping here, the same command continues")
    except InputError as error:
        log.error("%s", error)
        outlet.send(str(error))
    except Exception as error:
        log.error("%s", traceback.format_exc())
        outlet.send(f"{type(error).__name__}: {error}".splitlines()[0])
    else:
        outlet.send(None)


class Reporter:
    """Sends updates to the driver and logs every tenth of a run."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.tenths: dict[str, int] = {}

    def __call__(self, update: Update) -> None:
        tenth = 10 * update.position // update.steps
        if tenth != self.tenths.get(update.config.run_id):
            self.tenths[update.config.run_id] = tenth
            log.info(
                "%s step %d of %d, loss %.4f, sparsity %.3f",
                update.config.run_id,
                update.position,
                update.steps,
                update.loss,
                update.sparsity,
            )
        if update.finished:
            log.info("recorded: %s", update.finished)
        self.outlet.send(update)


def _write_log(path: Path) -> None:
    """Send everything this process says to `path`, messages of native libraries too."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise cannot_write(path, error) from error
    os.dup2(file.fileno(), sys.stdout.fileno())
    os.dup2(file.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, stream=file, format=LOG_FORMAT, force=True)
    logging.captureWarnings(True)
