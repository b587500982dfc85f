"""Where tasks are done: an engine takes tasks and returns those that failed."""

from __future__ import annotations

import multiprocessing as mp
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import warn_once
from simlib.sweep.tasks import Task
from simlib.sweep.worker import KEEP_MEMORY, Failure, Warned, log_path, not_begun, work
from simlib.train.pack import Progress
from simlib.train.settings import check_device

ENGINES = ("local", "ray")
UNGUARDED = 77  # exit code of a worker whose script calls sweep() as soon as it is imported


class Engine(Protocol):
    """Anything that can do tasks, each after those it needs.

    `alone`: whether it needs a folder in which no other sweep works.
    """

    alone: bool

    def check_device(self, config: RunConfig) -> None:
        """Raise InputError if there is no place for a run; called for all before `run`."""

    def gpus(self) -> int:
        """How many tasks are done on GPUs at the same time."""

    def close(self) -> None:
        """Let go of everything."""

    def run(self, tasks: Sequence[Task], root: Path, progress: Progress) -> list[Failure]:
        """Do all tasks whose needs were met; a failure never stops the others."""


def make_engine(
    name: str,
    workers: int | None,
    checkpoint_seconds: float,
    address: str | None = None,
    gpu_share: float | None = None,
) -> Engine:
    """The engine called `name`; see `sweep`. Raises InputError for one that is not there."""
    if name not in ENGINES:
        raise InputError(f"engine {name!r} is unknown: use {' or '.join(ENGINES)}")
    if name == "ray":
        return _ray_engine(workers, checkpoint_seconds, address, gpu_share)
    if address is not None or gpu_share is not None:
        raise InputError("an address and a share of a GPU are for engine 'ray': leave them out")
    return LocalEngine(workers, checkpoint_seconds)


def _ray_engine(
    workers: int | None, checkpoint_seconds: float, address: str | None, gpu_share: float | None
) -> Engine:
    try:
        from simlib.sweep.ray import RayEngine
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InputError(
            "engine 'ray' needs Ray, which is not installed: pip install 'simlib[ray]'"
        ) from error
    return RayEngine(workers, checkpoint_seconds, address, gpu_share or 1.0)


def leave_if_imported() -> None:
    """End this process if it is a worker that is still importing the user's script."""
    if getattr(mp.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        os._exit(UNGUARDED)


def cores() -> int:
    """CPU cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@dataclass
class Worker:
    """A process, the task it does, and how far that has come."""

    task: Task
    process: BaseProcess
    pipe: Connection
    done: bool = False
    reason: str | None = None


@dataclass
class LocalEngine:
    """A process for every task on this machine, as many at a time as there are cores.

    A worker that is killed or crashes takes its own task with it and nothing else. All tasks of
    a GPU run in one process at a time: trainers take turns there.
    """

    workers: int | None = None
    checkpoint_seconds: float = 30.0
    running: list[Worker] = field(default_factory=list)
    alone: bool = False

    def check_device(self, config: RunConfig) -> None:
        check_device(config)

    def gpus(self) -> int:
        return 1

    def close(self) -> None:
        """Nothing is held between two sweeps."""

    def run(self, tasks: Sequence[Task], root: Path, progress: Progress) -> list[Failure]:
        waiting, done, failed = list(tasks), set[str](), list[Failure]()
        context = _context()
        try:
            while waiting or self.running:
                self._start(waiting, done, root, context)
                if not self.running:
                    break  # what is left needs a task that failed
                self._listen(progress)
                for worker in [w for w in self.running if w.done]:
                    self.running.remove(worker)
                    worker.process.join()
                    if worker.reason is None:
                        done.add(worker.task.name)
                    else:
                        log = log_path(root, worker.task)
                        failed.append(Failure(worker.task.name, worker.reason, log))
        finally:
            self._stop()
        return failed + not_begun(waiting, root)

    def _start(
        self,
        waiting: list[Task],
        done: set[str],
        root: Path,
        context: mp.context.BaseContext,
    ) -> None:
        for task in [t for t in waiting if t.needs <= done]:
            if not self._has_room(task):
                continue
            waiting.remove(task)
            ours, theirs = context.Pipe(duplex=False)
            arguments = (task, root, self.checkpoint_seconds, theirs)
            process = context.Process(target=work, args=arguments, daemon=True)  # type: ignore[attr-defined]
            process.start()
            theirs.close()
            self.running.append(Worker(task, process, ours))

    def _has_room(self, task: Task) -> bool:
        if task.config.device == "cuda":
            return not any(w.task.config.device == "cuda" for w in self.running)
        busy = sum(w.task.config.threads for w in self.running)
        room = self.workers * task.config.threads if self.workers else cores()
        return not self.running or busy + task.config.threads <= room

    def _listen(self, progress: Progress) -> None:
        """Wait for news, pass updates on, and mark the workers that have ended."""
        ready = wait([w.pipe for w in self.running])
        for worker in [w for w in self.running if w.pipe in ready]:
            try:
                message = worker.pipe.recv()
            except EOFError:
                worker.process.join()
                code = worker.process.exitcode
                if code == UNGUARDED:
                    raise InputError(
                        "every worker runs the script anew, up to its call of sweep(): put that "
                        'call under `if __name__ == "__main__":`'
                    ) from None
                worker.done, worker.reason = True, f"its worker crashed (exit code {code})"
                continue
            if isinstance(message, Warned):
                warn_once(message.sentence)
            elif message is None or isinstance(message, str):
                worker.done, worker.reason = True, message
            else:
                progress(message)

    def _stop(self) -> None:
        for worker in self.running:
            worker.process.terminate()
        for worker in self.running:
            worker.process.join()
        self.running.clear()


def _context() -> mp.context.BaseContext:
    """Processes forked from a server that has imported torch once, where the system can."""
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # read when a process starts, so for workers only
    if "forkserver" not in mp.get_all_start_methods():
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    # making an optimizer imports torch._dynamo: a second of every task if it is not there
    context.set_forkserver_preload(["simlib.sweep.worker", "torch._dynamo", "simlib.sweep.source"])
    return context
