"""One optimizer step, run directly or replayed from a captured CUDA graph."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from simlib.models.build import as_model
from simlib.models.compiled import why_not
from simlib.models.fused import LARGEST_WIDTH, AdamWUpdate, fuse
from simlib.runs.config import RunConfig
from simlib.sparsify.compat import norms, scale_, scaled
from simlib.sparsify.shards import across, local
from simlib.train.batches import Batch
from simlib.train.replay import Replay, recorded

WARM_STEPS = 3  # steps run directly before capture, so that lazy initialisation is done


class Stepper:
    """Forward, backward, clip and update, launched operation by operation.

    `sums` (3,) holds the losses, gradient norms and steps since the last `read`.
    """

    compute = "eager"  # how, for the record; see RunConfig

    def __init__(self, config: RunConfig, model: nn.Module) -> None:
        self.config, self.model = config, model
        self.parameters = list(model.parameters())
        self.kept: dict[str, Tensor] = {}
        self.hold = True  # False for a step that is followed by new masks
        self.sums = torch.zeros(3, device=config.device)

    def arithmetic(self) -> AbstractContextManager[object]:
        """The context for forward passes: autocast in bfloat16, nothing in float32."""
        if self.config.precision == "bfloat16":
            return torch.autocast(self.config.device, torch.bfloat16)
        return nullcontext()

    def stream(self) -> AbstractContextManager[object]:
        """Where this run's work is queued: nothing to choose on a CPU."""
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until all queued work is done: nothing is queued on a CPU."""

    def ignore_pruned(self, multipliers: dict[str, Tensor]) -> None:
        """Leave pruned weights out of the gradient norm, and so out of clipping, from now on."""
        self.kept = multipliers

    def step(self, batch: Batch, optimizer: Optimizer) -> None:
        """One step on `batch`; leaves the gradients in place for pruners that use them."""
        self._work(tuple(x.to(self.config.device) for x in batch), optimizer)

    def _work(self, batch: Batch, optimizer: Optimizer) -> None:
        loss = self._gradients(batch)
        norm = self._apply(optimizer)
        mean = self._mean(loss.float())
        self.sums += torch.stack((mean, norm, torch.ones_like(norm)))

    def _gradients(self, batch: Batch) -> Tensor:
        """Set the gradients of a batch; its loss."""
        for parameter in self.parameters:
            parameter.grad = None
        with self.arithmetic():
            loss = self._loss(batch)
        loss.backward()
        return loss.detach()

    @property
    def holds_masks(self) -> bool:
        """Whether a step leaves pruned weights and their optimizer state at zero by itself."""
        return False

    def _apply(self, optimizer: Optimizer) -> Tensor:
        """Clip and update; the norm of the gradients before that."""
        norm = self._clip()
        optimizer.step()
        return norm

    def _loss(self, batch: Batch) -> Tensor:
        return as_model(self.model).loss(batch)

    def _mean(self, loss: Tensor) -> Tensor:
        """The loss of the whole batch: this process has seen all of it."""
        return loss

    def _clip(self) -> Tensor:
        """Scale gradients in place to a joint norm of at most `grad_clip` (0: no limit); the norm.

        The norm is that of the weights that are trained. A pruner that regrows weights still finds
        the whole gradient, scaled alike.
        """
        grads = {n: p.grad for n, p in self.model.named_parameters() if p.grad is not None}
        named = {name: local(grad) for name, grad in grads.items()}
        masked = [name for name in named if name in self.kept]
        counted = [g for name, g in named.items() if name not in self.kept]
        if masked:
            pruned = [named[name] for name in masked]
            counted += scaled(pruned, [local(self.kept[name]) for name in masked])
        squares = torch.stack(norms(counted)).square().sum()
        norm = across(squares, grads.values(), "sum").sqrt()
        if self.config.grad_clip:
            factor = (self.config.grad_clip / (norm + 1e-6)).clamp(max=1.0)
            scale_(list(named.values()), factor)
        return norm

    def read(self) -> tuple[float, float]:
        """Mean loss and mean gradient norm since the last call."""
        loss, norm, count = self.sums.tolist()
        self.sums.zero_()
        return loss / max(1, count), norm / max(1, count)


class FusedStepper(Stepper):
    """The same step with whole sublayers, and the whole update, as one operation each.

    With AdamW the update holds pruned weights at zero by itself. Of a language model the steps
    after the first are one call from the tokens to the gradients: see `Replay`.
    """

    compute = "fused"

    def __init__(self, config: RunConfig, model: nn.Module) -> None:
        super().__init__(config, model)
        fuse(model)
        self._update: AdamWUpdate | None = None
        self._replay: Replay | None = None

    @property
    def holds_masks(self) -> bool:
        return bool(self.kept) and self.config.optimizer == "adamw"

    def synchronize(self) -> None:
        if self._update is not None:
            self._update.store()
        # weights, masks and state may be others at the next step
        self._update = self._replay = None

    def ignore_pruned(self, multipliers: dict[str, Tensor]) -> None:
        self.synchronize()
        super().ignore_pruned(multipliers)

    def _gradients(self, batch: Batch) -> Tensor:
        if self._replay is not None and self._replay.fits(batch):
            return self._replay(batch)
        return super()._gradients(batch)

    def _loss(self, batch: Batch) -> Tensor:
        loss = super()._loss(batch)
        self._replay = recorded(self.model, loss)
        return loss

    def _apply(self, optimizer: Optimizer) -> Tensor:
        if not isinstance(optimizer, AdamW):
            return super()._apply(optimizer)
        if self._update is None:
            named = dict(self.model.named_parameters())
            keep = {named[name]: mask for name, mask in self.kept.items()}
            self._update = AdamWUpdate(optimizer, keep, self.config.grad_clip)
        return torch.tensor(self._update(self.hold))


class CapturedStepper(Stepper):
    """The same step as one CUDA graph: a small model spends its time on launches otherwise.

    The graph reads batch, learning rate, weights and optimizer state from fixed memory. The
    masks stay outside, in eager steps between replays. Each trainer replays on its own stream, so
    trainers that take turns overlap on the device.
    """

    def __init__(self, config: RunConfig, model: nn.Module) -> None:
        super().__init__(config, model)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: Batch = ()
        self.done = 0
        self._stream = torch.cuda.Stream()

    def ignore_pruned(self, multipliers: dict[str, Tensor]) -> None:
        super().ignore_pruned(multipliers)
        self.graph = None  # the recorded step knows nothing of the masks

    def stream(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._stream)

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def step(self, batch: Batch, optimizer: Optimizer) -> None:
        if self.done < WARM_STEPS:
            super().step(batch, optimizer)
        else:
            if self.graph is None:
                self._capture(batch, optimizer)
            for held, new in zip(self.inputs, batch, strict=True):
                held.copy_(new.pin_memory(), non_blocking=True)
            assert self.graph is not None
            self.graph.replay()
        self.done += 1

    def _capture(self, batch: Batch, optimizer: Optimizer) -> None:
        """Record the step; recording runs nothing, so weights and state stay as they are."""
        self.inputs = tuple(x.to(self.config.device) for x in batch)
        self.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self._stream):
            self._work(self.inputs, optimizer)


def make_stepper(config: RunConfig, model: nn.Module) -> Stepper:
    """The stepper for the device of `config`."""
    if config.device == "cuda":
        return CapturedStepper(config, model)
    return (FusedStepper if is_fused(config) else Stepper)(config, model)


def is_fused(config: RunConfig) -> bool:
    """Whether a run is computed by fused operations here: where they can be had, and pay.

    They do up to a width of `LARGEST_WIDTH`.
    """
    if config.compute != "auto":
        return config.compute == "fused"
    pays = config.can_be_fused and config.shape.width <= LARGEST_WIDTH
    return pays and not why_not("fused")
