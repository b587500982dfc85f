"""The parts of a sweep that can be done at the same time, and what each waits for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from simlib.laws.costs import training_flops
from simlib.runs.config import RunConfig
from simlib.train.batches import data_of
from simlib.train.pack import TOGETHER, Segment, prefix_levels
from simlib.train.parts import dense_sizes
from simlib.train.records import Folder

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """Prefix parts or runs that one worker trains; `needs` are tasks that come before it."""

    name: str
    segments: tuple[Segment, ...] = ()
    configs: tuple[RunConfig, ...] = ()
    needs: frozenset[str] = frozenset()

    @property
    def config(self) -> RunConfig:
        """A configuration that stands for the task: its device and threads hold for all."""
        return self.configs[0] if self.configs else self.segments[0].config


def plan_tasks(folder: Folder, todo: Sequence[RunConfig], gpus: int = 1) -> list[Task]:
    """Tasks for the runs `todo`, longest first; on a GPU several trainers share a task.

    With `gpus` tasks at a time on GPUs, no more share one than keep all GPUs busy.
    """
    made: dict[tuple[str, int], str] = {}
    tasks: list[Task] = []
    for level in prefix_levels(folder, todo):
        for group in _groups(level, lambda s: s.config, gpus):
            name = f"prefix-{group[0].config.prefix_id}-{group[0].until}"
            before = {made[s.config.prefix_id, p] for s in group for p in _earlier(made, s)}
            tasks.append(Task(name, segments=tuple(group), needs=frozenset(before)))
            made |= {(s.config.prefix_id, s.until): name for s in group}
    return tasks + _run_tasks(todo, made, gpus)


def _run_tasks(
    todo: Sequence[RunConfig], made: dict[tuple[str, int], str], gpus: int
) -> list[Task]:
    ids = {c.run_id for c in todo}
    order = sorted(todo, key=work_left, reverse=True)
    # a run and its start are never done in turns
    groups = _groups([c for c in order if c.start not in ids], lambda c: c, gpus)
    groups += _groups([c for c in order if c.start in ids], lambda c: c, gpus)
    names = {c.run_id: f"run-{group[0].run_id}" for group in groups for c in group}
    tasks = []
    for group in groups:
        before = {made.get((c.prefix_id, c.private_from)) for c in group}
        before |= {names.get(c.start) for c in group}
        name = names[group[0].run_id]
        tasks.append(Task(name, configs=tuple(group), needs=frozenset(b for b in before if b)))
    return tasks


def work_left(config: RunConfig) -> float:
    """FLOP of a run after it has left its prefix, as if dense: for ordering only."""
    return step_flops(config) * (config.total_steps - config.private_from)


def step_flops(config: RunConfig) -> float:
    """FLOP of one step as the hardware does it: all parts dense."""
    return training_flops(sum(dense_sizes(config, data_of(config)).values()), config.data_per_step)


def _earlier(made: dict[tuple[str, int], str], segment: Segment) -> list[int]:
    """The stop just before this one on the same prefix, if this sweep trains it."""
    stops = [stop for prefix, stop in made if prefix == segment.config.prefix_id]
    return sorted(s for s in stops if s < segment.until)[-1:]


def _groups(items: Sequence[T], config_of: Callable[[T], RunConfig], gpus: int) -> list[list[T]]:
    """Chunks of items for one worker: single on a CPU, as many as take turns on a GPU."""
    kinds: dict[tuple[str, int], list[T]] = {}
    for item in items:
        config = config_of(item)
        kinds.setdefault((config.device, config.threads), []).append(item)
    groups = []
    for (device, _), members in kinds.items():
        size = min(TOGETHER[device], math.ceil(len(members) / gpus))
        groups += [members[i : i + size] for i in range(0, len(members), size)]
    return groups
