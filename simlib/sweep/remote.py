"""A task done away from the sweep's folder: what it needs arrives as bytes, all it makes leaves so.

The two machines share no disk. The worker trains in a folder of its own, which is removed at the
end; whatever appears there is sent to the driver, checkpoints included, and the driver alone
writes the sweep's folder.
"""

from __future__ import annotations

import logging
import queue
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from simlib import __version__
from simlib.errors import InputError
from simlib.files import replace_file
from simlib.runs.config import RunConfig
from simlib.runs.table import append_record
from simlib.sweep.tasks import Task
from simlib.sweep.worker import LOG_FORMAT, train
from simlib.train.batches import make_batches
from simlib.train.checkpoint import first_whole
from simlib.train.pack import Update, forget, load_start
from simlib.train.records import RESUME, Folder, before
from simlib.train.settings import check_device

PAUSE = 0.2  # seconds between two parcels of a worker
_TRAVELS = ("*.safetensors", "side.json")
_FILE = re.compile(r"\w+\.safetensors|side\.json")


@dataclass(frozen=True)
class Parcel:
    """What a worker has to say: news of its runs, new files by name, lines of its log.

    `over` marks its last; `reason` is then the sentence of a failure, or None if all went well.
    """

    updates: tuple[Update, ...]
    files: Mapping[str, bytes]
    log: str
    over: bool
    reason: str | None


@dataclass(frozen=True)
class Conditions:
    """What a worker must have in common with the driver: simlib, and each corpus by SHA-256."""

    version: str
    corpora: Mapping[tuple[str, str], str]

    def inspect(self, task: Task) -> None:
        """Raise InputError if this machine would train something else."""
        if __version__ != self.version:
            raise InputError(
                f"this node has simlib {__version__}, the driver {self.version}: install the "
                "same version on every node"
            )
        for config in configs_of(task):
            check_device(config)
            wanted, found = self.corpora[_corpus(config)], make_batches(config).sha256
            if found != wanted:
                raise InputError(
                    f"corpus {config.corpus!r} on this node has SHA-256 {found[:16]}..., on the "
                    f"driver {wanted[:16]}...: install the same data on every node"
                )


def conditions(task: Task) -> Conditions:
    """What this machine has, for a task."""
    corpora = {_corpus(c): make_batches(c).sha256 for c in configs_of(task)}
    return Conditions(__version__, corpora)


def configs_of(task: Task) -> list[RunConfig]:
    """Every configuration of a task."""
    return [*task.configs, *(s.config for s in task.segments)]


def remaining(folder: Folder, task: Task, recorded: Set[str]) -> Task:
    """The task without the `recorded` runs and without what is saved already, and whole."""
    places = [(s, folder.prefix(s.config, s.until)) for s in task.segments]
    return replace(
        task,
        configs=tuple(c for c in task.configs if c.run_id not in recorded),
        segments=tuple(s for s, path in places if not first_whole([path])),
    )


def needed(folder: Folder, task: Task) -> dict[str, Path]:
    """The files that a task goes on from, by their names in the worker's folder.

    Damaged ones are set aside. Raises InputError if the weights that one of its runs starts from
    are missing or damaged.
    """
    found: dict[str, Path] = {}
    for segment in task.segments:
        if resume := first_whole(folder.prefix_resumes(segment.config)):
            found[_name(folder, folder.prefix_resume(segment.config))] = resume[0]
        if prefix := first_whole(folder.trunks_before(segment.config, segment.until)):
            found[_name(folder, prefix[0])] = prefix[0]
    for config in task.configs:
        if load_start(folder, config):
            found[_name(folder, folder.brought_start(config))] = folder.start(config)
        if resume := first_whole(folder.resumes(config)):
            found[_name(folder, folder.resume(config))] = resume[0]
            continue
        prefixes = folder.trunks_before(config, config.private_from)
        if config.start == "scratch" and (prefix := first_whole(prefixes)):
            found[_name(folder, prefix[0])] = prefix[0]
    return found


def keep(folder: Folder, task: Task, parcel: Parcel) -> None:
    """Write what a parcel holds, files before the records that promise them.

    Raises InputError if it cannot be written, or is none of the task's: then nothing is written.
    """
    _refuse_foreign(folder, task, parcel)
    for name, content in parcel.files.items():
        path = folder.root / name
        kept = before(path) if path.name == RESUME else None
        replace_file(path, content, "training state", kept)
    for update in parcel.updates:
        if update.finished:
            append_record(folder.table, update.finished)
            forget(folder.resume(update.config))
    if parcel.over and parcel.reason is None:
        for segment in task.segments:
            forget(folder.prefix_resume(segment.config))


def _refuse_foreign(folder: Folder, task: Task, parcel: Parcel) -> None:
    """Raise InputError for a file or a record that is none of the task's.

    Names come from another machine: one that led out of the folder would be written all the same.
    """
    runs = {c.run_id for c in task.configs}
    places = {(run_id,) for run_id in runs} | {("prefixes", c.prefix_id) for c in configs_of(task)}
    for name in parcel.files:
        *place, last = name.split("/")
        if tuple(place) not in places or not _FILE.fullmatch(last):
            raise InputError(f"a worker sent a file {name!r:.80}, which is none of its task's")
    for update in parcel.updates:
        if update.finished and update.finished.run_id not in runs:
            raise InputError(
                f"a worker sent a record of run {update.finished.run_id!r:.80}, which is none of "
                "its task's"
            )


def train_away(
    task: Task,
    required: Conditions,
    checkpoint_seconds: float,
    names: Sequence[str],
    *contents: bytes,
) -> Iterator[Parcel]:
    """Train a task in a temporary folder that begins with the named files; send all it makes.

    Ends with a parcel that is `over`. If the reader leaves, training stops at its next update.
    """
    with TemporaryDirectory(prefix="simlib-") as place, _Log() as log:
        root = Path(place)
        for name, content in zip(names, contents, strict=True):
            replace_file(root / name, content, "training state")
        changes, outlet = _Changes(root), _Outlet()
        work = (task, root, checkpoint_seconds, outlet, required.inspect)
        thread = Thread(target=train, args=work, daemon=True)
        thread.start()
        try:
            while True:
                parcel = outlet.collect(changes, log)
                if parcel.updates or parcel.files or parcel.log or parcel.over:
                    yield parcel
                if parcel.over:
                    return
        finally:
            outlet.closed = True
            thread.join()


class _Outlet:
    """Messages of the training thread, waiting to be sent."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Update | str | None] = queue.Queue()
        self.closed = False

    def send(self, message: Update | str | None, /) -> None:
        if self.closed and isinstance(message, Update):
            raise BrokenPipeError
        self.messages.put(message)

    def collect(self, changes: _Changes, log: _Log) -> Parcel:
        """What has happened within `PAUSE`, of every run the latest."""
        latest: dict[str, Update] = {}
        over, reason = False, None
        end = time.monotonic() + PAUSE
        with suppress(queue.Empty):
            while not over:
                message = self.messages.get(timeout=max(0.0, end - time.monotonic()))
                if isinstance(message, Update):
                    latest[message.config.run_id] = message
                else:
                    over, reason = True, message
        return Parcel(tuple(latest.values()), changes.take(), log.take(), over, reason)


class _Changes:
    """Files below a folder that were written since the last look."""

    def __init__(self, root: Path) -> None:
        self.root, self.seen = root, dict[Path, tuple[int, ...]]()
        self.take()

    def take(self) -> dict[str, bytes]:
        """Their contents by name; half-written ones (with a dot in front) are not looked at."""
        found: dict[str, bytes] = {}
        for path in [p for form in _TRAVELS for p in self.root.rglob(form)]:
            with suppress(FileNotFoundError):  # a checkpoint goes when its run ends
                stat = path.stat()
                stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if not path.name.startswith(".") and self.seen.get(path) != stamp:
                    self.seen[path] = stamp
                    found[str(path.relative_to(self.root))] = path.read_bytes()
        return found


class _Log(logging.Handler):
    """What simlib logs while this is open, kept as text."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter(LOG_FORMAT))
        self.lines: deque[str] = deque()
        self.logger = logging.getLogger("simlib")

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + "\n")

    def take(self) -> str:
        """The lines since the last look."""
        return "".join(self.lines.popleft() for _ in range(len(self.lines)))

    def __enter__(self) -> _Log:
        self.before = self.logger.level, self.logger.propagate
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False
        self.logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.logger.removeHandler(self)
        self.logger.setLevel(self.before[0])
        self.logger.propagate = self.before[1]


def _corpus(config: RunConfig) -> tuple[str, str]:
    return config.corpus, config.corpus_sha256


def _name(folder: Folder, path: Path) -> str:
    return str(path.relative_to(folder.root))
