"""What a sweep will do and cost, before it does it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simlib.errors import InputError
from simlib.laws.costs import training_flops
from simlib.paper import RAMP_MEAN
from simlib.runs.config import RunConfig
from simlib.runs.table import RunTable
from simlib.sparsify import embedding_sparsity
from simlib.sweep.engine import cores
from simlib.sweep.run import check
from simlib.sweep.tasks import plan_tasks, step_flops
from simlib.train.batches import data_of, make_batches
from simlib.train.checkpoint import is_whole
from simlib.train.parts import PARTS, dense_sizes
from simlib.train.progress import describe_run
from simlib.train.records import Folder
from simlib.train.settings import check_device, settings
from simlib.train.trainer import Trainer

_CALIBRATED = 3  # shapes that are timed for each size of batch
_BYTES = {"weights": 4, "prefix": 12, "trained": 16}  # a weight; with two moments; and gradient
_MOST_TIMED = 1e13  # FLOP of a step on a CPU: some minutes
_SIDE_BYTES = 60  # of a side file for every point of its curve


@dataclass(frozen=True)
class SweepPlan:
    """Runs of a sweep and their cost.

    `steps` are those of every run alone, `steps_shared` those that remain when runs share their
    prefixes; `flops`, `flops_head` and `flops_embeddings` are as in the run table, `flops_dense` is
    `flops` as if no zeros were skipped; `epochs` are the passes over the data of the run that makes
    most. `hours` is None where the device of the runs is missing or too small for them.
    `disk_bytes` are those in the folder of the runs, `cache_bytes` the most that training images
    drawn for them take in the corpus cache.
    """

    configs: tuple[RunConfig, ...]
    recorded: int
    steps: int
    steps_shared: int
    flops: float
    flops_dense: float
    flops_head: float
    flops_embeddings: float
    hours: float | None
    workers: int
    disk_bytes: int
    cache_bytes: int
    epochs: float

    def as_dict(self) -> dict[str, Any]:
        """For machines: totals, and the id and fields of every run to do."""
        fields = {k: v for k, v in vars(self).items() if k != "configs"}
        runs = [{"run_id": c.run_id} | c.model_dump() | _sizes(c) for c in self.configs]
        return fields | {"runs": runs}

    def text(self) -> str:
        """For people: one line a run, then the totals."""
        extra = _varied(self.configs)
        lines = [
            f"{c.run_id}  {describe_run(c)}, width {c.shape.width}, {c.total_steps:,} steps, "
            f"lr {c.peak_lr:.3g}" + "".join(f", {name} {getattr(c, name)}" for name in extra)
            for c in self.configs
        ]
        saved = 1 - self.steps_shared / self.steps if self.steps else 0.0
        lines += [
            f"{len(self.configs)} runs to train, {self.recorded} recorded already",
            f"{self.steps_shared:,} steps, {saved:.0%} saved by shared prefixes",
            f"{self.flops:.3g} FLOP with zeros skipped, {self.flops_dense:.3g} as done here",
            f"not counted there: {self.flops_head:.3g} FLOP in output layers, "
            f"{self.flops_embeddings:.3g} in embeddings",
            _time(self.hours, self.workers),
            f"about {self.disk_bytes / 1e6:,.1f} MB on disk",
        ]
        if self.cache_bytes:
            lines.append(
                f"up to {self.cache_bytes / 1e6:,.1f} MB of training images in the corpus cache"
            )
        if self.epochs > 1:
            lines.append(f"data repeats: up to {self.epochs:.3g} passes over the corpus")
        return "\n".join(lines)


SAID = ("family", "nonzero_params", "sparsity", "pattern", "seed", "steps", "data_seen", "lr")


def _varied(configs: Sequence[RunConfig]) -> list[str]:
    """Fields in which the runs differ and that the description of a run leaves out."""
    return [
        name
        for name in RunConfig.model_fields
        if name not in SAID and len({getattr(c, name) for c in configs}) > 1
    ]


def plan(
    configs: Sequence[RunConfig],
    out: str | Path,
    workers: int | None = None,
    known: RunTable | None = None,
) -> SweepPlan:
    """The plan of a sweep; times a few steps of up to five shapes a batch size on this machine.

    `known` are rows made elsewhere, as in `sweep`.

    Raises InputError for whatever `sweep` would refuse, but for a missing device.
    """
    folder = Folder(Path(out))
    todo = check(configs, folder, device=lambda config: None, known=known)
    parts = _parts(folder, todo)
    count = workers or max(1, cores() // max((c.threads for c in todo), default=1))
    timed = [c for c, _ in parts]
    seconds = _seconds_per_step(timed) if _can_train(todo) and _can_be_timed(timed) else None
    each = [_flops(c) for c in todo]
    flops = {part: sum(f[part] for f in each) for part in PARTS}
    return SweepPlan(
        configs=tuple(todo),
        recorded=len(configs) - len(todo),
        steps=sum(c.total_steps for c in todo),
        steps_shared=sum(n for _, n in parts),
        flops=flops["body"],
        flops_dense=sum(training_flops(c.shape.dense_params, _data(c)) for c in todo),
        flops_head=flops["head"],
        flops_embeddings=flops["embeddings"],
        hours=sum(n * seconds(c) for c, n in parts) / count / 3600 if seconds else None,
        workers=count,
        disk_bytes=_disk(folder, todo),
        cache_bytes=_kept(todo),
        epochs=max((make_batches(c).epochs(c.total_steps) for c in todo), default=0.0),
    )


def mean_density(config: RunConfig, S: float) -> float:
    """Mean share of non-zero weights over the steps if they end at S, by the schedule's formula.

    Cubic: the ramp's mean is `1 - 3/4 S`; geometric: `(1 - s) / ln(1/s)` with density s. Pruners
    with dense phases or other paths are counted as if they followed the schedule.
    """
    start, end = config.prune_start, config.prune_end
    if not S:
        return 1.0
    ramp = {
        "cubic": 1 - RAMP_MEAN * S,
        "geometric": S / -np.log1p(-S),
        "constant": 1 - S,
        "oneshot": 1 - S,
    }[config.ramp]
    return float(start + (end - start) * ramp + (1 - end) * (1 - S))


def _flops(config: RunConfig) -> dict[str, float]:
    """FLOP of each part with zeros skipped."""
    outer = embedding_sparsity(config.sparsity) if config.embeddings == "pruned" else 0.0
    ends = {"body": config.sparsity, "head": outer, "embeddings": outer}
    return {
        part: training_flops(size * mean_density(config, ends[part]), _data(config))
        for part, size in dense_sizes(config, data_of(config)).items()
    }


def _data(config: RunConfig) -> int:
    return config.total_steps * config.data_per_step


def _sizes(config: RunConfig) -> dict[str, Any]:
    shape = config.shape
    return {
        "steps": config.total_steps,
        "lr": config.peak_lr,
        "width": shape.width,
        "dense_params": shape.dense_params,
    }


def _parts(folder: Folder, todo: Sequence[RunConfig]) -> list[tuple[RunConfig, int]]:
    """Every piece of training and its steps, shared pieces once."""
    parts: list[tuple[RunConfig, int]] = []
    reached: dict[str, int] = {}
    for task in plan_tasks(folder, todo):
        for segment in task.segments:
            config = segment.config
            begun = reached.get(config.prefix_id, _on_disk(folder, config, segment.until))
            parts.append((config, segment.until - begun))
            reached[config.prefix_id] = segment.until
        for config in task.configs:
            shared = config.prefix_id in reached
            done = config.private_from if shared else _on_disk(folder, config, config.private_from)
            parts.append((config, config.total_steps - done))
    return parts


def _on_disk(folder: Folder, config: RunConfig, step: int) -> int:
    """Steps up to `step` that an earlier sweep has trained already."""
    saved = folder.trunks_before(config, step)
    return next((int(path.stem) for path in saved if is_whole(path)), 0)


def _seconds_per_step(configs: Sequence[RunConfig]) -> Callable[[RunConfig], float]:
    """A function from config to seconds a step, linear in FLOP between the timed shapes.

    Each size of batch is timed apart: with equal FLOP a large one takes less time.
    """
    alike: dict[int, dict[float, RunConfig]] = {}
    for config in configs:
        alike.setdefault(config.data_per_step, {})[step_flops(config)] = config
    timed = {size: _timed(distinct) for size, distinct in alike.items()}
    return lambda config: float(np.interp(step_flops(config), *timed[config.data_per_step]))


def _timed(distinct: dict[float, RunConfig]) -> tuple[list[float], list[float]]:
    """FLOP and seconds of a step of the smallest, the median and the largest."""
    flops = sorted(distinct)
    places = {i * (len(flops) - 1) // (_CALIBRATED - 1) for i in range(_CALIBRATED)}
    chosen = [flops[i] for i in sorted(places)]
    return chosen, [_time_step(distinct[f]) for f in chosen]


def _time_step(config: RunConfig) -> float:
    """Seconds of one of the first training steps, the median of several."""
    with settings(config):
        trainer = Trainer(config, make_batches(config))
        times = []
        for _ in range(12):
            began = time.perf_counter()
            trainer.step()
            times.append(time.perf_counter() - began)
    return statistics.median(times[4:])


def _disk(folder: Folder, todo: Sequence[RunConfig]) -> int:
    weights = sum(_weights(c) * _BYTES["weights"] for c in todo)
    curves = sum(c.total_steps // 20 * _SIDE_BYTES for c in todo)
    segments = [s for task in plan_tasks(folder, todo) for s in task.segments]
    return weights + curves + sum(_weights(s.config) * _BYTES["prefix"] for s in segments)


def _kept(todo: Sequence[RunConfig]) -> int:
    """Bytes of drawn images: runs of one corpus and seed share theirs."""
    most: dict[tuple[str, int], int] = {}
    for config in todo:
        key = (config.corpus, config.seed)
        most[key] = max(most.get(key, 0), make_batches(config).kept_bytes(config.total_steps))
    return sum(most.values())


def _weights(config: RunConfig) -> int:
    """About how many weights a model has: its parts, an embedding as large as the output layer."""
    sizes = dense_sizes(config, data_of(config))
    return sum(sizes.values()) + sizes["head"] + config.seq_len * config.shape.width


def _can_train(configs: Sequence[RunConfig]) -> bool:
    try:
        for config in configs:
            check_device(config)
    except InputError:
        return False
    return True


def _can_be_timed(configs: Sequence[RunConfig]) -> bool:
    """Whether a few steps of each fit the memory and a plan's patience, as far as sizes tell."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    least = (
        _BYTES["trained"] * _weights(c) + _BYTES["weights"] * c.data_per_step * c.shape.width
        for c in configs
    )
    most = max((step_flops(c) for c in configs if c.device == "cpu"), default=0.0)
    return max(least, default=0) < memory and most < _MOST_TIMED


def _time(hours: float | None, workers: int) -> str:
    if hours is None:
        return (
            "cannot be trained here: the device that the runs ask for is missing, or too small for "
            "them"
        )
    return f"about {_duration(hours)} here with {workers} workers"


def _duration(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"
