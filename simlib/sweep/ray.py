"""Tasks on a Ray cluster, for `engine="ray"`: the only module that imports Ray.

Every task is one Ray task that streams parcels back (see `simlib.sweep.remote`). The driver keeps
the folder, decides what goes where, and gives a task of a lost node to another one together with
the last checkpoint that came.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.sweep.remote import Parcel, conditions, keep, needed, remaining, train_away
from simlib.sweep.tasks import Task
from simlib.sweep.worker import KEEP_MEMORY, Failure, add_log, add_note, log_path, not_begun
from simlib.train.pack import Progress
from simlib.train.records import Folder

log = logging.getLogger("simlib.sweep")
TRIES = 3  # times that a task may be lost in a row without a checkpoint in between
_AT_A_TIME = 512  # tasks handed to Ray and not ended: enough for any scheduler to look ahead
_ANSWER_SECONDS = 5.0  # for a head to answer, and for tasks to end when the driver is stopped
_PARCEL_SECONDS = 600.0  # for a parcel that was announced to arrive


@dataclass
class Running:
    """A task on the cluster: its stream of parcels, what was sent along, what has come back."""

    task: Task
    stream: Any
    sent: dict[Path, Any]
    saved: bool = False


@dataclass(frozen=True)
class End:
    """How a task on the cluster ended: lost with its node, failed for a reason, or well."""

    lost: bool = False
    reason: str | None = None


@dataclass
class RayEngine:
    """Tasks on the nodes of a Ray cluster, as many at a time as its CPUs and GPUs allow.

    A task takes as many CPUs as its runs have threads, and `gpu_share` of a GPU if they train on
    one. Nodes need the same simlib and corpora as the driver, and no disk in common.
    """

    workers: int | None = None
    checkpoint_seconds: float = 30.0
    address: str | None = None
    gpu_share: float = 1.0
    alone: bool = True  # the records of two drivers that share a folder could double
    _ours: bool = False
    _settings: ExitStack = field(default_factory=ExitStack)
    _running: list[Running] = field(default_factory=list)
    _recorded: set[str] = field(default_factory=set)
    _lost: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if not 0 < self.gpu_share <= 1:
            raise InputError(
                f"a share of {self.gpu_share:g} of a GPU is impossible: use one above 0, up to 1"
            )

    def check_device(self, config: RunConfig) -> None:
        """Raise InputError if no node has room for a run, or no cluster answers."""
        self._connect()
        if lacking := self._lacking(config):
            raise InputError(
                f"no node of the Ray cluster has {lacking} for a run with device "
                f"{config.device!r} and {config.threads} threads: add such a node first"
            )

    def gpus(self) -> int:
        """How many tasks are done on GPUs at the same time."""
        return max(1, sum(int(n.get("GPU", 0) / self.gpu_share) for n in _nodes()))

    def run(self, tasks: Sequence[Task], root: Path, progress: Progress) -> list[Failure]:
        """Do all tasks whose needs were met; a failure never stops the others."""
        folder, waiting = Folder(root), list(tasks)
        self._recorded = {r.run_id for r in folder.recorded()}
        done, failed = set[str](), list[Failure]()
        while True:
            failed += self._start(waiting, done, folder)
            if not self._running:
                break  # what is left needs a task that failed
            for worker in self._ready():
                ended = self._take(worker, folder, progress)
                if ended is None:
                    continue
                self._running.remove(worker)
                if ended.lost:
                    waiting.insert(0, worker.task)
                elif ended.reason is None:
                    done.add(worker.task.name)
                else:
                    failed.append(_failure(worker.task, root, ended.reason))
        return failed + not_begun(waiting, root)

    def close(self) -> None:
        """Stop what still runs, and leave the cluster if this engine joined it."""
        try:
            for worker in self._running:
                ray.cancel(worker.stream)
            ends = [w.stream.completed() for w in self._running]
            if ends:  # they remove their folders
                ray.wait(ends, num_returns=len(ends), timeout=_ANSWER_SECONDS)
        finally:
            self._running.clear()
            if self._ours:
                ray.shutdown()
                self._ours = False
            self._settings.close()

    def _connect(self) -> None:
        if ray.is_initialized():
            return
        address = _to_join(self.address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the cluster
        if address == "local":
            self._settings.enter_context(_for_this_process_alone())
        try:
            ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # a start that takes too long raises no narrower class
            self._settings.close()
            why, remedy = _first(error), _remedy(address)
            raise InputError(f"{_named(address)} cannot be used ({why}): {remedy}") from error
        self._ours = True

    def _resources(self, config: RunConfig) -> dict[str, float]:
        wants: dict[str, float] = {"CPU": config.threads}
        return wants | ({"GPU": self.gpu_share} if config.device == "cuda" else {})

    def _lacking(self, config: RunConfig) -> str:
        """What no living node has, in words; empty if a node has room for a run."""
        wants = self._resources(config)
        if any(all(n.get(k, 0) >= v for k, v in wants.items()) for n in _nodes()):
            return ""
        return " and ".join(f"{amount:g} {kind}" for kind, amount in wants.items())

    def _start(self, waiting: list[Task], done: set[str], folder: Folder) -> list[Failure]:
        """Hand over every task whose turn it is; returns those that cannot begin."""
        failed = []
        for task in [t for t in waiting if t.needs <= done]:
            if len(self._running) >= (self.workers or _AT_A_TIME):
                break
            waiting.remove(task)
            try:
                self._running.append(self._hand_over(task, folder))
            except InputError as error:
                add_note(log_path(folder.root, task), str(error))
                failed.append(_failure(task, folder.root, str(error)))
        return failed

    def _hand_over(self, task: Task, folder: Folder) -> Running:
        left = remaining(folder, task, self._recorded)
        files = needed(folder, left)
        there = {path: ref for w in self._running for path, ref in w.sent.items()}
        sent = {p: there[p] if p in there else ray.put(p.read_bytes()) for p in files.values()}
        wants = self._resources(task.config)
        stream = _train_away.options(
            name=task.name, num_cpus=wants["CPU"], num_gpus=wants.get("GPU", 0)
        ).remote(
            left,
            conditions(left),
            self.checkpoint_seconds,
            list(files),
            *(sent[p] for p in files.values()),
        )
        return Running(task, stream, sent)

    def _ready(self) -> list[Running]:
        """Those that have something to say, at least one."""
        streams = [w.stream for w in self._running]
        ray.wait(streams)
        ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        return [w for w in self._running if w.stream in ready]

    def _take(self, worker: Running, folder: Folder, progress: Progress) -> End | None:
        """Take a parcel; the end of its task, if this was the last."""
        place = log_path(folder.root, worker.task)
        try:
            parcel: Parcel = ray.get(next(worker.stream), timeout=_PARCEL_SECONDS)
        except RayTaskError as error:
            return End(reason=f"{type(error.cause).__name__}: {error.cause}".splitlines()[0])
        except (RayError, StopIteration) as error:
            return self._after_loss(worker, place, error)
        try:
            add_log(place, parcel.log)
            keep(folder, worker.task, parcel)
        except InputError as error:
            ray.cancel(worker.stream)
            return End(reason=str(error))
        worker.saved = worker.saved or bool(parcel.files)
        self._recorded |= {u.config.run_id for u in parcel.updates if u.finished}
        for update in parcel.updates:
            progress(update)
        return End(reason=parcel.reason) if parcel.over else None

    def _after_loss(self, worker: Running, place: Path, error: Exception) -> End:
        name, reason = worker.task.name, _reason(error)
        self._lost[name] = 1 if worker.saved else self._lost[name] + 1
        if self._lost[name] >= TRIES:
            return End(reason=f"{reason}, {TRIES} times in a row without a checkpoint between")
        lacking = self._lacking(worker.task.config)
        when = f" when a node with {lacking} joins" if lacking else ""
        add_note(place, f"{reason}: going on from the last checkpoint{when}")
        log.warning("%s: %s: going on from the last checkpoint%s", name, reason, when)
        return End(lost=True)


_REMEDY = (
    "give host:port of its head as `ray start --head` prints it, run this on one of its nodes, or "
    "give 'local' to use this machine alone"
)
_TOKEN = "set RAY_AUTH_MODE=token if it was started with that"
_AGAIN = "try again when this machine has less to do, or leave Ray out: engine 'local'"
_train_away = ray.remote(
    max_retries=0,  # a retry needs a newer checkpoint than Ray would send
    num_returns="streaming",
    runtime_env={"env_vars": KEEP_MEMORY},
)(train_away)


@contextmanager
def _for_this_process_alone() -> Iterator[None]:
    """Settings for a cluster started here: it listens on the loopback only, and asks for a token.

    Whoever may submit a task to a cluster runs code there. Ray has no public setting of the first:
    this is what it does by itself where it cannot make a cluster of several machines.
    """
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.get(name) for name in token}
    several = ray_constants.ENABLE_RAY_CLUSTER
    try:
        ray_constants.ENABLE_RAY_CLUSTER = False
        os.environ.update(token)
        _read_settings()
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = several
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        _read_settings()


def _read_settings() -> None:
    """Let Ray read the environment again, which it keeps from its import on."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _nodes() -> list[dict[str, float]]:
    """Resources of every living node."""
    return [n["Resources"] for n in ray.nodes() if n["Alive"]]


def _to_join(address: str | None) -> str | None:
    """What Ray is to be told: `address`, or $RAY_ADDRESS for one that names no cluster.

    Ray goes to the cluster that was last started here, by the address in a file that outlives a
    cluster which ended without `ray stop`, and tries for minutes. So whether anything listens is
    seen here: where no cluster was asked for, a dead one is none, and Ray starts its own.

    Raises InputError for an address where nothing listens.
    """
    if address in (None, "", "auto"):
        address = os.environ.get("RAY_ADDRESS") or address or None
    if address in (None, "auto"):
        last = _last_started()
        alive = bool(last) and _listens(last)
        if address is None and not alive:
            return "local"
        if last and not alive:
            raise InputError(
                f"the Ray cluster last started on this machine, {last}, does not answer: {_REMEDY}"
            )
    elif address and address.startswith("ray://"):
        raise InputError(
            f"{_named(address)} is one of Ray Client, which carries no checkpoints: {_REMEDY}"
        )
    elif address != "local" and not _listens(address):
        raise InputError(f"{_named(address)} does not answer: {_REMEDY}")
    return address


def _last_started() -> str:
    """Address of the cluster that `ray start` last started here; empty if there is none."""
    place = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    try:
        return (Path(place) / "ray" / "ray_current_cluster").read_text().strip()
    except OSError:
        return ""


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _named(address: str | None) -> str:
    here = address in (None, "local")
    return "a Ray cluster here" if here else f"the Ray cluster at address {address!r}"


def _remedy(address: str | None) -> str:
    if address == "local":
        return _AGAIN
    return _REMEDY if address in (None, "auto") else f"{_TOKEN}, or {_REMEDY}"


def _first(error: Exception) -> str:
    """The first sentence of an error."""
    return re.split(r"\.\s|\n", str(error).strip())[0].rstrip(".:")


def _reason(error: Exception) -> str:
    """What became of a task that ended without a word."""
    if isinstance(error, OutOfMemoryError):
        return "its node ran out of memory"
    if isinstance(error, NodeDiedError):
        return "its node was lost"
    if isinstance(error, (WorkerCrashedError, StopIteration)):
        return "its worker crashed"
    return f"its worker ended: {_first(error)}"


def _failure(task: Task, root: Path, reason: str) -> Failure:
    return Failure(task.name, reason, log_path(root, task))
