"""Run a set of runs: skip what is recorded, do the rest, report what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, RunTable, append_record
from simlib.sparsify import make_pruner
from simlib.sweep.engine import leave_if_imported, make_engine
from simlib.sweep.tasks import plan_tasks
from simlib.sweep.worker import Failure
from simlib.train.batches import make_batches
from simlib.train.checkpoint import claim
from simlib.train.pack import Progress, Update, refuse_twins
from simlib.train.records import Folder
from simlib.train.settings import check_device


@dataclass(frozen=True)
class SweepResult:
    """The records of a sweep in the order of its configs, and what failed."""

    runs: RunTable
    failures: tuple[Failure, ...]

    @property
    def diverged(self) -> RunTable:
        """The runs that were recorded as diverged."""
        return RunTable(r for r in self.runs if r.diverged)


def sweep(
    configs: Sequence[RunConfig],
    out: str | Path,
    *,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    gpu_share: float | None = None,
    progress: Progress | None = None,
    checkpoint_seconds: float = 30.0,
    known: RunTable | None = None,
) -> SweepResult:
    """Train `configs` in parallel and record each in `out/runs.csv`.

    Recorded runs are skipped and interrupted ones continued, so the same call after any end,
    a power cut included, finishes the work to the same bits.

    Args:
        configs: the runs; those that share a prefix are recognised.
        out: folder of the runs; see `simlib.train.Folder`.
        engine: "local" for processes on this machine, "ray" for tasks on a Ray cluster.
        workers: tasks at a time; by default as many as there are cores for (local), or as the
            cluster has room for (ray).
        address: of a Ray cluster's head, host:port or "auto"; by default one that runs on this
            machine, or else one started for this sweep; "local" always starts one. A connection
            that is open is used.
        gpu_share: of one GPU, what a task on Ray takes; 1 by default.
        progress: called in this process with every `Update` of every worker.
        checkpoint_seconds: time between the checkpoints of a worker.
        known: rows that were made elsewhere, in a folder that is not at hand. They are recorded
            here and not trained again, but for models whose weights another run starts from.

    Raises:
        InputError: anything wrong with a config, the corpus, the device or the folder, before
            anything is trained.
    """
    leave_if_imported()
    folder = Folder(Path(out))
    chosen = make_engine(engine, workers, checkpoint_seconds, address, gpu_share)
    failures: list[Failure] = []
    with closing(chosen):
        todo = check(configs, folder, chosen.check_device, known)
        for record in _brought(configs, todo, folder, known or RunTable([])):
            append_record(folder.table, record)
        if todo:
            with claim(folder.lock, alone=chosen.alone):
                tasks = plan_tasks(folder, todo, chosen.gpus())
                failures = chosen.run(tasks, folder.root, progress or _silent)
    rows = {r.run_id: r for r in folder.recorded()}
    return SweepResult(
        RunTable(rows[c.run_id] for c in configs if c.run_id in rows), tuple(failures)
    )


def check(
    configs: Sequence[RunConfig],
    folder: Folder,
    device: Callable[[RunConfig], None] = check_device,
    known: RunTable | None = None,
) -> list[RunConfig]:
    """The runs that are neither recorded nor known, after a look at all that could stop them.

    Builds the corpora that are missing. Raises InputError for what cannot work; `device` does so
    for a config whose device is not there, by default on this machine.
    """
    refuse_twins(configs)
    recorded, elsewhere = folder.recorded(), known or RunTable([])
    done = {r.run_id for r in recorded}
    new = [c for c in configs if c.run_id not in done | {r.run_id for r in elsewhere}]
    wanted = {c.start for c in new if not folder.weights(c.start).is_file()}
    done |= {r.run_id for r in elsewhere} - wanted
    todo = [c for c in configs if c.run_id not in done]
    hashes = {r.dataset: r.dataset_sha256 for r in (*elsewhere, *recorded)}
    looked: set[tuple[str, str, str, int, int]] = set()
    for name in {c.pruner for c in todo if c.sparsity}:
        make_pruner(name)
    for config in todo:
        device(config)
        key = (config.family, config.corpus, config.corpus_sha256, config.seq_len, config.batch)
        if key not in looked:
            looked.add(key)
            _check_version(config, make_batches(config).sha256, hashes.get(config.corpus))
    listed = {c.run_id for c in configs}
    for config in todo:
        if config.start != "scratch" and config.start not in listed:
            folder.start(config)
    if todo:
        folder.refuse_if_read_only()
    return todo


def _brought(
    configs: Sequence[RunConfig], todo: Sequence[RunConfig], folder: Folder, known: RunTable
) -> list[RunRecord]:
    """The known rows of these runs that the folder lacks, and that are not trained again."""
    here = {r.run_id for r in folder.recorded()} | {c.run_id for c in todo}
    asked = {c.run_id for c in configs}
    return [r for r in known if r.run_id in asked and r.run_id not in here]


def _check_version(config: RunConfig, found: str, recorded: str | None) -> None:
    if recorded and found != recorded:
        raise InputError(
            f"corpus {config.corpus!r} has SHA-256 {found[:16]}..., but the runs recorded there "
            f"used {recorded[:16]}...: restore that version, or choose another folder"
        )


def _silent(update: Update) -> None:
    """No progress wanted."""
