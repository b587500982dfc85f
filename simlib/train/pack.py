"""A pack of runs: train what they share once, then let each run leave the prefix.

Until its first mask (or the start of its cool-down) a run is an ordinary dense run, whatever
sparsity, pattern, pruner or length it will have. Runs with equal `prefix_id` share that prefix
exactly: the prefix writes its state to disk where a run leaves it, and the run continues from
there to the same bits as if it had trained alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from simlib.errors import InputError
from simlib.files import remove
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, append_record
from simlib.train.batches import make_batches
from simlib.train.checkpoint import (
    DamagedError,
    Tree,
    claim,
    first_whole,
    hold,
    is_whole,
    load_state,
    save_state,
)
from simlib.train.records import Folder, before, make_record, save_side
from simlib.train.settings import check_device, commit, settings
from simlib.train.trainer import LOG_EVERY, Trainer

TOGETHER = {"cpu": 1, "cuda": 16}  # trainers that take turns; one core gains nothing from turns


@dataclass(frozen=True)
class Update:
    """Progress of one run: steps done of all its steps, mean training loss of late (nats)."""

    config: RunConfig
    position: int
    steps: int
    loss: float
    sparsity: float
    finished: RunRecord | None = None


DATA_ORDER = ("family", "corpus", "corpus_sha256", "seed", "batch", "seq_len")
Progress = Callable[[Update], None]
T = TypeVar("T")


def train_run(
    config: RunConfig,
    out: str | Path,
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 30.0,
) -> RunRecord:
    """Train one run, or continue it; see `train_pack`."""
    return train_pack([config], out, progress=progress, checkpoint_seconds=checkpoint_seconds)[0]


def train_pack(
    configs: Sequence[RunConfig],
    out: str | Path,
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 30.0,
    together: int | None = None,
) -> list[RunRecord]:
    """Train runs, shared prefixes once, and record each in `out/runs.csv` when it ends.

    What is recorded there already is not trained again; a run that was interrupted continues
    from its last checkpoint, or from the one before it if that is damaged. Returns the records in
    the order of `configs`.

    Args:
        configs: runs, of one prefix or of several; those that share one are best given together.
        out: folder of the runs; see `Folder` for what lies there.
        progress: called every few steps of every run.
        checkpoint_seconds: time between checkpoints.
        together: trainers that take turns; by default 1 on a CPU, 16 on a GPU.

    Raises:
        InputError: two configs with one run_id, a corpus, device or start that is missing, or a
            folder that cannot be written.
    """
    refuse_twins(configs)
    for config in configs:
        check_device(config)
    folder = Folder(Path(out))
    done = {r.run_id for r in folder.recorded()}
    todo = [c for c in configs if c.run_id not in done]
    group_size = together or TOGETHER[configs[0].device] if configs else 1
    job = Job(folder, progress or _silent, checkpoint_seconds)
    with claim(folder.lock) if todo else nullcontext():
        for level in prefix_levels(folder, todo):
            for group in _chunks(level, group_size):
                job.train_prefixes(group)
        first = [c for c in todo if c.start == "scratch"]
        then = [c for c in todo if c.start != "scratch"]
        for runs in (*_chunks(first, group_size), *_chunks(then, group_size)):
            job.finish(runs)
    rows = {r.run_id: r for r in folder.recorded()}
    return [rows[c.run_id] for c in configs]


def refuse_twins(configs: Iterable[RunConfig]) -> None:
    """Raise InputError if two configs are one run."""
    seen: set[str] = set()
    for config in configs:
        if config.run_id in seen:
            raise InputError(
                f"run {config.run_id} is asked for twice (a {config.family} with nonzero_params "
                f"{config.nonzero_params}, sparsity {config.sparsity:g}, seed {config.seed}): "
                "leave one out"
            )
        seen.add(config.run_id)


@dataclass(frozen=True)
class Segment:
    """A part of a prefix: train to `until` and leave the state there for the runs that branch."""

    config: RunConfig
    until: int


def prefix_levels(folder: Folder, todo: Sequence[RunConfig]) -> list[list[Segment]]:
    """The prefix parts still to be trained: each level goes on from the one before.

    A level has at most one part of a prefix. A run with nobody to share has none.
    """
    prefixes: dict[str, list[RunConfig]] = {}
    for config in todo:
        if config.private_from and not any(map(is_whole, folder.resumes(config))):
            prefixes.setdefault(config.prefix_id, []).append(config)
    parts = [_missing_parts(folder, runs) for runs in prefixes.values() if len(runs) > 1]
    return [[s for s in level if s] for level in zip_longest(*parts)]


def _missing_parts(folder: Folder, runs: Sequence[RunConfig]) -> list[Segment]:
    # the settings of the run that leaves last hold on all of the prefix
    longest = max(runs, key=lambda c: c.private_from)
    stops = sorted({c.private_from for c in runs})
    return [Segment(longest, s) for s in stops if not is_whole(folder.prefix(longest, s))]


@dataclass
class Job:
    """The work itself: trainers, their checkpoints and their ends."""

    folder: Folder
    progress: Progress
    checkpoint_seconds: float

    def __post_init__(self) -> None:
        commit()  # source that is edited from here on is not what trains

    def train_prefixes(self, segments: Sequence[Segment]) -> None:
        """Train prefix parts, taking turns, and save each one's last state."""
        with ExitStack() as stack:
            for prefix_id in sorted({s.config.prefix_id for s in segments}):
                stack.enter_context(hold(self.folder.root / "prefixes" / prefix_id / "lock"))
            places = [(s, self.folder.prefix(s.config, s.until)) for s in segments]
            self._train_prefixes([s for s, path in places if not first_whole([path])])

    def _train_prefixes(self, segments: Sequence[Segment]) -> None:
        ends = [(self._prefix_trainer(s), s.until) for s in segments]
        paths = [self.folder.prefix(s.config, s.until) for s in segments]
        resumes = [self.folder.prefix_resume(s.config) for s in segments]
        self._advance(ends, resumes)
        for (trainer, _), path, resume in zip(ends, paths, resumes, strict=True):
            save_state(path, trainer.state_dict())
            forget(resume)

    def finish(self, configs: Sequence[RunConfig]) -> None:
        """Train runs to their end, taking turns, and record them."""
        with ExitStack() as stack:
            for run_id in sorted(c.run_id for c in configs):
                stack.enter_context(hold(self.folder.root / run_id / "lock"))
            done = {r.run_id for r in self.folder.recorded()}
            self._finish([c for c in configs if c.run_id not in done])

    def _finish(self, configs: Sequence[RunConfig]) -> None:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        trainers = [self._trainer(c) for c in configs]
        resumes = [self.folder.resume(c) for c in configs]
        self._advance([(trainer, trainer.config.total_steps) for trainer in trainers], resumes)
        for trainer, resume in zip(trainers, resumes, strict=True):
            with settings(trainer.config):
                record = make_record(trainer, started)
            self._record(trainer, record, trainer.weights())
            forget(resume)
            self._report(trainer, record)

    def _record(self, trainer: Trainer, record: RunRecord, weights: dict[str, Tensor]) -> None:
        save_side(self.folder, trainer, record, weights)
        append_record(self.folder.table, record)

    def _trainer(self, config: RunConfig) -> Trainer:
        start = load_start(self.folder, config)
        trainer = self._make_trainer(config, _already_read(config, start))
        if state := self._saved(config):
            trainer.load_state_dict(state)
        elif start:
            trainer.load_weights(start["model"])
        return trainer

    def _saved(self, config: RunConfig) -> Tree | None:
        """The last state of a run that is whole: a checkpoint of its own, or of its prefix."""
        places = self.folder.resumes(config)
        if config.start == "scratch":
            places += self.folder.trunks_before(config, config.private_from)
        found = first_whole(places)
        return found[1] if found else None

    def _make_trainer(self, config: RunConfig, first_batch: int) -> Trainer:
        return Trainer(config, make_batches(config), first_batch)

    def _prefix_trainer(self, segment: Segment) -> Trainer:
        trainer = Trainer(segment.config, make_batches(segment.config))
        places = (
            self.folder.trunks_before(segment.config, segment.until),
            self.folder.prefix_resumes(segment.config),
        )
        states = [found[1] for found in map(first_whole, places) if found]
        states = [s for s in states if s["position"] <= segment.until]
        if states:
            trainer.load_state_dict(max(states, key=lambda s: s["position"]))
        return trainer

    def _advance(self, ends: Sequence[tuple[Trainer, int]], resumes: Sequence[Path]) -> None:
        """Step every trainer in turn until each is at its end or has diverged."""
        if not ends:
            return
        saved = time.monotonic()
        with settings(ends[0][0].config):
            while going := [i for i, (trainer, end) in enumerate(ends) if _goes_on(trainer, end)]:
                for i in going:
                    trainer = ends[i][0]
                    trainer.step()
                    if trainer.position % LOG_EVERY == 0:
                        self._report(trainer)
                if self._is_due(saved):
                    for i in going:
                        self._save(resumes[i], ends[i][0].state_dict())
                    saved = time.monotonic()

    def _is_due(self, saved: float) -> bool:
        return time.monotonic() - saved >= self.checkpoint_seconds

    def _save(self, path: Path, state: dict[str, Any]) -> None:
        save_state(path, state, before(path))

    def _report(self, trainer: Trainer, record: RunRecord | None = None) -> None:
        last = {
            name: values[-1] if values else float("nan") for name, values in trainer.curve.items()
        }
        steps = trainer.config.total_steps
        self.progress(
            Update(trainer.config, trainer.position, steps, last["loss"], last["sparsity"], record)
        )


def load_start(folder: Folder, config: RunConfig) -> Tree:
    """The weights that a run starts from, and where they come from; empty for scratch.

    Raises InputError if they are missing or damaged.
    """
    if config.start == "scratch":
        return {}
    try:
        return load_state(folder.start(config))
    except DamagedError as error:
        raise InputError(
            f"{error}: run {config.run_id} starts from these weights, so bring them back from a "
            "copy, or delete the row of their run from the table to train it again"
        ) from error


def forget(resume: Path) -> None:
    """Delete the checkpoints of what has come to its end; one that stays is never looked at."""
    for path in (resume, before(resume)):
        with suppress(OSError):
            remove(path)


def _already_read(config: RunConfig, start: dict[str, Any]) -> int:
    """Batches at the head of this run's data order that its start was trained on.

    With them left out a run and its start are one pass over the data. Where the orders differ,
    in corpus, seed or size of the batches, there is nothing to leave out.
    """
    before = start.get("config", {})
    if any(before.get(name) != getattr(config, name) for name in DATA_ORDER):
        return 0
    return RunConfig(**before).total_steps


def _chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _goes_on(trainer: Trainer, end: int) -> bool:
    return trainer.position < end and not trainer.diverged


def _silent(update: Update) -> None:
    """No progress wanted."""
