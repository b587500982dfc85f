"""One run in training: everything that changes from step to step, and nothing else."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from simlib.errors import InputError
from simlib.models import build_model, sparsity_targets
from simlib.models.build import as_model
from simlib.runs.config import RunConfig
from simlib.sparsify import Sparsifier, make_schedule
from simlib.sparsify.checks import largest_magnitudes
from simlib.sparsify.shards import parts
from simlib.train.averages import Averages
from simlib.train.batches import Batch, Batches
from simlib.train.capture import Stepper, make_stepper
from simlib.train.kernels import apply_switches, switch_kernels
from simlib.train.optimizers import build_optimizer, load_optimizer, optimizer_state, set_lr
from simlib.train.parts import dense_sizes, multiplied
from simlib.train.rates import lr_at

SHUFFLED = 1024  # examples at most that tell how much a decoder uses its encoder
LOG_EVERY = 20  # steps between points of the curve, and between looks for NaN
_EXAMPLES, _POSITIONS = 64, 2048  # validated at a time, whichever are more examples
CURVE = ("step", "loss", "grad_norm", "lr", "sparsity", "seconds")


class Trainer:
    """Model, optimizer, masks and position of one run.

    Random numbers are used for the initial weights only; batches and random masks are functions
    of seed and step. So `state_dict` is all there is, and a trainer that continues from it makes
    the same bits as one that never stopped. `first_batch` is the number of the batch that the
    first step takes: a run that starts from another goes on where that one stopped reading.
    """

    def __init__(self, config: RunConfig, batches: Batches, first_batch: int = 0) -> None:
        self.config, self.batches, self.first_batch = config, batches, first_batch
        self.shared_by: dict[str, Any] = {}  # for the side file, where several processes train
        self.model = self._place(build_model(config, batches.data))
        parts, sizes = multiplied(self.model), dense_sizes(config, batches.data)
        self.parts, self._dense, self._nonzero = parts, sizes, dict(sizes)
        self.optimizer = build_optimizer(config, self.model)
        self.sparsifier: Sparsifier | None = None
        self.position = 0  # optimizer steps done
        # non-zero weights of each part, summed over the steps done
        self.weight_steps = dict.fromkeys(parts, 0)
        self.seconds = 0.0  # training time, as far as this state knows
        self.diverged = False
        self.curve: dict[str, list[float]] = {name: [] for name in CURVE}
        self.switches: list[dict[str, Any]] | None = None  # None: kernels are not chosen yet
        self.averages = Averages(config, self.model)
        self._forward = self._make_stepper()
        self._forward.synchronize()  # a trainer works on its own stream, and was made on another

    def _place(self, model: nn.Module) -> nn.Module:
        """The model where it is trained."""
        return model.to(self.config.device)

    def _make_stepper(self) -> Stepper:
        return make_stepper(self.config, self.model)

    @property
    def dense_params(self) -> int:
        """Body weights before pruning."""
        return self._dense["body"]

    @property
    def nonzero_params(self) -> int:
        """Body weights that the masks keep now."""
        return self._nonzero["body"]

    @property
    def head_nonzero_params(self) -> int:
        """Weights of the output layer that its mask keeps now."""
        return self._nonzero["head"]

    @property
    def total_nonzero_params(self) -> int:
        """All weights that are not pruned: body, embeddings, norms, output layer."""
        total = sum(p.numel() for p in self.model.parameters())
        if self.sparsifier is None:
            return total
        return total - self.sparsifier.dense_params + self.sparsifier.nonzero_params

    @property
    def compute(self) -> str:
        """How a step is computed here: "eager" or "fused"."""
        return self._forward.compute

    def step(self) -> None:
        """Do one optimizer step."""
        began = time.perf_counter()
        with self._forward.stream():
            self._step()
        self.seconds += time.perf_counter() - began

    def _step(self) -> None:
        if self.config.sparsity and self.position == self.config.private_from:
            self._attach()
        t = self.position + 1
        for part, count in self._nonzero.items():
            self.weight_steps[part] += count
        set_lr(self.optimizer, lr_at(self.config, t))
        batch = self.batches.batch(self.first_batch + self.position)
        if self._may_switch():
            self._switch(batch)
        # a mask update finds all weights as the optimizer left them
        self._forward.hold = self.sparsifier is None or not self.sparsifier.schedule.due(t)
        self._forward.step(batch, self.optimizer)
        if self.sparsifier is not None and self._masks_moved(self.sparsifier, t):
            self._count()
        self.averages.step(t)
        self.position = t
        if t % LOG_EVERY == 0:
            self._log()

    def _masks_moved(self, sparsifier: Sparsifier, t: int) -> bool:
        try:
            return sparsifier.update(t) if self._forward.holds_masks else sparsifier.step(t)
        except InputError:
            # weights that are no longer finite cannot be ranked: that is divergence
            if math.isfinite(max(largest_magnitudes(list(self.model.parameters())))):
                raise
            self.diverged = True
            return False

    def _attach(self, masks: dict[str, Any] | None = None) -> None:
        """Begin to prune, or continue from saved masks: from here on this run is its own."""
        config, body = self.config, set(self.parts["body"])
        targets = sparsity_targets(self.model, config)
        self.sparsifier = Sparsifier(
            self.model,
            self.optimizer,
            schedule=make_schedule(config.ramp, *config.prune_steps, config.mask_interval),
            targets=targets,
            pruner=config.pruner,
            # embeddings have another sparsity than a pattern of the body may mean
            pattern={n: config.pattern if n in body else "unstructured" for n in targets},
            seed=config.seed,
            mask_optimizer=config.mask_optimizer,
            state=masks,
        )
        if config.mask_optimizer:
            self._forward.ignore_pruned(self.sparsifier.multipliers)
        self._count()

    def _may_switch(self) -> bool:
        fixed = self.sparsifier is not None and self.position >= self.config.prune_steps[1]
        return fixed and self.switches is None and self.config.kernels != "masks"

    def _switch(self, batch: Batch) -> None:
        assert self.sparsifier is not None
        made = switch_kernels(self.config, self.model, self.sparsifier.masks, batch)
        self.switches = [asdict(switch) for switch in made]

    def _count(self) -> None:
        assert self.sparsifier is not None
        counts = self.sparsifier.nonzero_counts()
        for part, names in self.parts.items():
            if all(name in counts for name in names):  # a part is pruned as a whole or stays dense
                self._nonzero[part] = sum(counts[name] for name in names)

    def _log(self) -> None:
        loss, grad_norm = self._forward.read()
        self.diverged = self.diverged or not math.isfinite(loss)
        sparsity = 1 - self.nonzero_params / self.dense_params
        point = (self.position, loss, grad_norm, lr_at(self.config, self.position), sparsity)
        for name, value in zip(CURVE, (*point, self.seconds), strict=True):
            self.curve[name].append(value)

    def state_dict(self) -> dict[str, Any]:
        """All that a trainer needs to continue: nested dictionaries of tensors and plain values."""
        self._forward.synchronize()
        return {
            "position": self.position,
            "weight_steps": self.weight_steps,
            "seconds": self.seconds,
            "diverged": self.diverged,
            "corpus_sha256": self.batches.sha256,
            "curve": {k: torch.tensor(v, dtype=torch.float64) for k, v in self.curve.items()},
            "sums": self._forward.sums,
            "model": self.weights(),
            "optimizer": optimizer_state(self.optimizer),
            "masks": self.sparsifier.state_dict() if self.sparsifier else None,
            "switches": self.switches,
            "averages": self.averages.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()` of this run, or of its prefix before it branches off."""
        if state["corpus_sha256"] != self.batches.sha256:
            raise InputError(
                f"corpus {self.config.corpus!r} has SHA-256 {self.batches.sha256[:16]}..., the "
                f"checkpoint was trained on {state['corpus_sha256'][:16]}...: restore that "
                "version, or begin in another folder"
            )
        self._forward.synchronize()  # it may still have to write into the state that goes now
        self.model.load_state_dict(parts(state["model"], self.model))
        load_optimizer(self.optimizer, state["optimizer"])
        self.position, self.weight_steps = state["position"], self._weight_steps(state)
        self.seconds, self.diverged = state["seconds"], state["diverged"]
        self.curve = {k: v.tolist() for k, v in state["curve"].items()}
        self._forward.sums.copy_(state["sums"])
        if state["masks"] is not None:
            self._attach(state["masks"])
        self.switches = state.get("switches")
        if self.switches and self.sparsifier is not None:
            apply_switches(self.model, self.sparsifier.masks, self.switches)
        self.averages.load_state_dict(state.get("averages", {}))
        self._forward.synchronize()

    def _weight_steps(self, state: dict[str, Any]) -> dict[str, int]:
        found = state["weight_steps"]
        if isinstance(found, dict):
            return found
        # states of earlier versions counted the body alone, and all else was dense in their runs
        return {part: n * state["position"] for part, n in self._dense.items()} | {"body": found}

    def weights(self) -> dict[str, Tensor]:
        """The weights by name."""
        return dict(self.model.state_dict())

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Start from another run's weights. Raises InputError if they do not fit."""
        try:
            self.model.load_state_dict(parts(weights, self.model))
        except RuntimeError as error:
            raise InputError(
                f"the weights of start {self.config.start!r} do not fit a {self.config.shape}: "
                "start from a dense run of as many dense_params, weight_bits, depth and seq_len"
            ) from error
        self._forward.synchronize()

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Mean loss over the validation set and its standard error, nats."""
        self._forward.synchronize()
        return _mean(self._losses(self.batches.validation()))

    @torch.no_grad()
    def validate_shuffled(self) -> tuple[float, float]:
        """The same for an encoder-decoder whose inputs come from other examples' texts, nats.

        Every example of up to `SHUFFLED` that lie evenly in the validation set gets the inputs of
        the one half the set away, so none keeps its own or those of a neighbour in the text.
        """
        self._forward.synchronize()
        inputs, targets = self.batches.validation()
        moved = inputs.roll(len(inputs) // 2, 0)
        count = min(SHUFFLED, len(inputs))
        chosen = torch.arange(count) * len(inputs) // count
        return _mean(self._losses((moved[chosen], targets[chosen])))

    def validate_averages(self) -> dict[str, float]:
        """Mean validation loss with each average in place of the weights, nats, if finite."""
        masks = self.sparsifier.multipliers if self.sparsifier else {}
        losses = {}
        for name in self.averages.names:
            with self.averages.in_place(name, masks):
                losses[name] = self.validate()[0]
        return {name: loss for name, loss in losses.items() if math.isfinite(loss)}

    def _losses(self, examples: Batch) -> Tensor:
        """The loss of every example (examples,), nats."""
        size = max(_EXAMPLES, _POSITIONS // self._positions)
        batches = zip(*(part.split(size) for part in examples), strict=True)
        model, device = as_model(self.model), self.config.device
        with self._forward.arithmetic():
            return torch.cat([model.losses(tuple(x.to(device) for x in b)) for b in batches])

    @property
    def _positions(self) -> int:
        """Tokens or patches of an example."""
        if self.config.family != "vit":
            return self.config.seq_len
        height, width, _ = self.batches.data.image_shape
        return height * width // self.config.patch**2


def _mean(losses: Tensor) -> tuple[float, float]:
    """Mean of losses (examples,) and its standard error."""
    losses = losses.double()
    return float(losses.mean()), float(losses.std() / math.sqrt(len(losses)))
