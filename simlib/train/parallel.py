"""One run on several processes: copies of the model (ddp) or shards of it (fsdp).

Each process takes an equal part of every batch; the loss, the gradient and its norm are those of
the whole batch. The first process writes everything, in the files and the form of a run that had
one process, so a run may go on with any number of them.

What is exact, given the weights and gradients that the processes have: a mask, whatever pattern
and pruner. It is found in whole tensors, gathered bit by bit, by the code and the random numbers
of one process, and every process keeps its part. So are counts of weights, and what is saved.
What equals a run of one process to float tolerance only: gradients, because parts of a batch are
summed on their processes first and then with one another; norms and root mean squares of shards,
likewise; and all that follows from them. Two weights within that tolerance of one another may
change places in a ranking, so masks of equal runs need not be equal for ever.

A mask update holds one whole tensor at a time besides the shards; with the pattern "global" the
scores of all of them, as all compete.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from simlib.models.block import TransformerBlock
from simlib.models.build import as_model
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord
from simlib.sparsify.shards import is_sharded, whole
from simlib.train.batches import Batch, Batches, make_batches
from simlib.train.capture import Stepper
from simlib.train.checkpoint import claim, hold
from simlib.train.pack import Job, Progress
from simlib.train.processes import Processes
from simlib.train.records import Folder
from simlib.train.trainer import LOG_EVERY, Trainer


def train_parallel(
    config: RunConfig,
    out: str | Path,
    processes: Processes,
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 30.0,
) -> RunRecord:
    """Train one run, or continue it, on all `processes`; each of them calls this alike.

    `out` must be one folder for all of them. Otherwise as `train_run`.

    Raises:
        InputError: as `train_run`, and where the processes do not see the same files or cannot
            have equal parts of a batch.
    """
    processes.check(config)
    job = ParallelJob(Folder(Path(out)), progress or _silent, checkpoint_seconds, processes)
    return job.run(config)


@dataclass
class ParallelJob(Job):
    """The work of one process on a run that all of them share."""

    processes: Processes
    steps: int = field(default=0, init=False)

    def run(self, config: RunConfig) -> RunRecord:
        """Train the run to its end, unless it is recorded; its record."""
        with ExitStack() as held:
            self.processes.agree(lambda: self._lock(config, held))
            self.processes.agree(lambda: self._files(config), same=True)
            if not self._recorded(config):
                self._finish([config])
            return self.processes.told(lambda: self._recorded(config)[0])

    def _lock(self, config: RunConfig, held: ExitStack) -> None:
        if self.processes.first:
            held.enter_context(claim(self.folder.lock))
            held.enter_context(hold(self.folder.of(config) / "lock"))
            self._saved(config)  # sets aside what is damaged before the others look

    def _recorded(self, config: RunConfig) -> list[RunRecord]:
        return [r for r in self.folder.recorded() if r.run_id == config.run_id]

    def _files(self, config: RunConfig) -> list[Any]:
        """What this process sees of the files that decide how the run goes on."""
        prefixes = self.folder.trunks_before(config, config.private_from)
        return [
            make_batches(config).sha256,
            len(self._recorded(config)),
            [p.stat().st_size if p.exists() else 0 for p in self.folder.resumes(config)],
            [p.name for p in prefixes],
        ]

    def _make_trainer(self, config: RunConfig, first_batch: int) -> Trainer:
        return ParallelTrainer(config, make_batches(config), first_batch, self.processes)

    def _is_due(self, saved: float) -> bool:
        self.steps += 1
        if self.steps % LOG_EVERY:
            return False  # clocks differ, and asking at every step would slow it down
        return self.processes.told(lambda: super(ParallelJob, self)._is_due(saved))

    def _save(self, path: Path, state: dict[str, Any]) -> None:
        if self.processes.first:
            super()._save(path, state)

    def _record(self, trainer: Trainer, record: RunRecord, weights: dict[str, Tensor]) -> None:
        if self.processes.first:
            super()._record(trainer, record, weights)
        self.processes.wait()  # nobody deletes the checkpoint before that


class ParallelTrainer(Trainer):
    """A run of which this process holds a copy or a shard, and does a part of every batch."""

    def __init__(
        self, config: RunConfig, batches: Batches, first_batch: int, processes: Processes
    ) -> None:
        self.processes = processes
        super().__init__(config, Part(batches, processes), first_batch)
        self.shared_by = {"parallel": processes.kind, "processes": processes.size}

    def _place(self, model: nn.Module) -> nn.Module:
        if self.processes.kind == "ddp":
            return super()._place(model)
        # weights of a block come and go together; shards are made from the same initial weights
        # on every process, block by block, so no device ever holds the whole model
        mesh = self.processes.mesh
        for module in model.modules():
            if isinstance(module, TransformerBlock):
                fully_shard(module, mesh=mesh, reshard_after_forward=True)
        # the outermost layers too, or their weights would stay whole after validation
        fully_shard(model, mesh=mesh, reshard_after_forward=True)
        return model

    def _make_stepper(self) -> Stepper:
        return ParallelStepper(self.config, self.model, self.processes)

    def weights(self) -> dict[str, Tensor]:
        """The whole weights by name, in the first process; every process must call this."""
        gathered: dict[str, Tensor] = self._gathered(super().weights())
        return gathered

    def state_dict(self) -> dict[str, Any]:
        """As of a trainer that had one process, in the first; every process must call this."""
        state: dict[str, Any] = self._gathered(super().state_dict())
        return state

    def _gathered(self, value: Any) -> Any:
        """Nested values with sharded tensors made whole, one at a time, in the first's memory."""
        if isinstance(value, dict):
            return {name: self._gathered(part) for name, part in value.items()}
        if not isinstance(value, Tensor) or not is_sharded(value):
            return value
        tensor = whole(value)
        return tensor.cpu() if self.processes.first else tensor.new_empty(0)

    def _losses(self, examples: Batch) -> Tensor:
        count, size = len(examples[0]), self.processes.size
        share = -(-count // size)  # all do as many, so a few examples are done twice
        mine = (torch.arange(share) + share * self.processes.rank) % count
        losses = super()._losses(tuple(x[mine] for x in examples))
        return self.processes.gather(losses)[:count]


class Part:
    """The batches of one process: an equal part of every training batch, in order."""

    def __init__(self, batches: Batches, processes: Processes) -> None:
        self.data, self.sha256 = batches.data, batches.sha256
        self.epochs, self.validation = batches.epochs, batches.validation
        self.kept_bytes = batches.kept_bytes
        self._batches, self._rank, self._size = batches, processes.rank, processes.size

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of step `step`.

        Cut from the whole batch, because what is drawn for an example may depend on its place.
        """
        return tuple(x.tensor_split(self._size)[self._rank] for x in self._batches.batch(step))


class ParallelStepper(Stepper):
    """The step of one process, launched operation by operation."""

    def __init__(self, config: RunConfig, model: nn.Module, processes: Processes) -> None:
        super().__init__(config, model)
        self._processes = processes
        self._copies = DistributedDataParallel(_Loss(model)) if processes.kind == "ddp" else None

    def _loss(self, batch: Batch) -> Tensor:
        if self._copies is None:
            return super()._loss(batch)
        loss: Tensor = self._copies(batch)
        return loss

    def _mean(self, loss: Tensor) -> Tensor:
        return self._processes.mean(loss)


class _Loss(nn.Module):
    """A model whose forward pass is its loss, for wrappers that know no other method."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        return as_model(self.model).loss(batch)


def _silent(update: object) -> None:
    """No progress wanted."""
