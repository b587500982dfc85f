"""Keeps a model in training sparse: the two lines between an optimizer and its masks."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from simlib.errors import InputError
from simlib.sparsify.checks import check_finite, check_rankable, dense_gradient
from simlib.sparsify.compat import change_count, scale_
from simlib.sparsify.pattern import Pattern
from simlib.sparsify.pruner import Candidates, Pruner, make_pruner
from simlib.sparsify.schedule import Schedule
from simlib.sparsify.select import nonzero_target
from simlib.sparsify.shards import local, part, whole
from simlib.sparsify.targets import resolve_targets


class Sparsifier:
    """Prunes `model` on a schedule while `optimizer` trains it.

    Make it after the optimizer and call `step` after every optimizer step:

        sparsifier = Sparsifier(model, optimizer, schedule=Cubic(100, 800), targets=0.75)
        ...
        optimizer.step()
        sparsifier.step(t)

    Args:
        model: any module with float32 or bfloat16 parameters, on CPU or CUDA. Where FSDP2 shards
            it, every process makes the same calls; masks come from whole tensors, so they are
            those of one process, and are kept sharded as the parameters are.
        optimizer: any `torch.optim` optimizer over that model; every tensor of its state that
            has a pruned parameter's shape is kept at zero where the parameter is pruned.
        schedule: when masks change, in optimizer steps.
        targets: final sparsity, one number for every parameter with two or more dimensions, or
            a number per parameter name.
        pruner: which units go; a name of `PRUNERS` or an instance.
        pattern: where zeros may lie; "unstructured", "global", "2:4", "block4x4", ..., one for all
            or one per parameter name. Under "global" those compete that have it.
        seed: of the random choices of random, SET and RigL masks.
        mask_optimizer: hold the optimizer's state at zero where weights are pruned; without it
            the optimizer goes on averaging gradients of weights that are not there.
        position: optimizer steps done so far; a mask that is due right then is made at once.
        state: `state_dict()` of a run to continue, in place of position and first mask. Where
            the model's own state is loaded later, `load_state_dict` does as well.

    Raises:
        InputError: targets, shapes or sparsities that cannot be met, or weights that are not
            finite.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        schedule: Schedule,
        targets: float | Mapping[str, float],
        pruner: str | Pruner = "gmp",
        pattern: str | Pattern | Mapping[str, str | Pattern] = "unstructured",
        seed: int = 0,
        mask_optimizer: bool = True,
        position: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.schedule = schedule
        self.pruner = make_pruner(pruner) if isinstance(pruner, str) else pruner
        self.seed = seed
        self.position = position
        self._optimizer = optimizer if mask_optimizer else None
        resolved = resolve_targets(model, targets)
        self._params = {name: parameter for name, (parameter, _) in resolved.items()}
        self.patterns = _patterns(pattern, resolved)
        self.targets = {
            name: self.patterns[name].final_sparsity(name, parameter.shape, asked) if asked else 0.0
            for name, (parameter, asked) in resolved.items()
        }
        # a target of zero means dense for good: counted, never ranked
        self._pruned = [name for name, sparsity in self.targets.items() if sparsity > 0]
        self.pruner.prepare(model, schedule)
        # multipliers of the parameter's own type: many times faster to apply than booleans
        self._keep = {name: torch.ones_like(p.detach()) for name, p in self._params.items()}
        self._counts = {name: keep.numel() for name, keep in self._keep.items()}
        self._masking = False
        self._masked_versions: list[int] | None = None
        check_finite(self._params)
        if state is not None:
            self.load_state_dict(state)
        elif schedule.due(position):
            self._update(position)
            self._masked_versions = self._versions()

    def step(self, t: int) -> bool:
        """Update masks if due after optimizer step `t`, then hold pruned weights at zero.

        Args:
            t: optimizer steps done so far, 1 after the first.

        Returns:
            Whether the masks changed.

        Raises:
            InputError: `t` not after the last call or past an update that was never made; a
                tensor that cannot be ranked (all zero, NaN, or without the gradient RigL needs).
        """
        changed = self.update(t)
        if not changed and self._masking:
            self.apply()
        return changed

    def update(self, t: int) -> bool:
        """The part of `step` that must run outside a captured CUDA graph: new masks, if due."""
        missed = [u for u in range(self.position + 1, t) if self.schedule.due(u)]
        if missed:
            raise InputError(
                f"Step {t} came after step {self.position}, past the mask update at step "
                f"{missed[0]}: call step(t) after every optimizer step, or make the sparsifier "
                f"with position={t - 1}."
            )
        if t <= self.position:
            raise InputError(f"Step {t} was already done: the next one is {self.position + 1}.")
        self.position = t
        if not self.schedule.due(t):
            return False
        self._update(t)
        return True

    @torch.no_grad()
    def apply(self) -> None:
        """Zero pruned weights and their optimizer state in place; CUDA graphs can capture it."""
        tensors: list[Tensor] = []
        multipliers: list[Tensor] = []
        for name in self._pruned:
            parameter, keep = self._params[name], local(self._keep[name])
            tensors.append(local(parameter))
            multipliers.append(keep)
            held = self._optimizer.state.get(parameter, {}) if self._optimizer else {}
            for value in held.values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    tensors.append(local(value))
                    multipliers.append(keep)
        scale_(tensors, multipliers)

    @property
    def masks(self) -> dict[str, Tensor]:
        """Boolean copy of every mask by parameter name, true where a weight is kept."""
        return {name: keep.bool() for name, keep in self._keep.items()}

    @property
    def multipliers(self) -> dict[str, Tensor]:
        """The masks themselves by parameter name: 0 or 1 in the parameter's type, kept in place."""
        return dict(self._keep)

    def nonzero_counts(self) -> dict[str, int]:
        """Weights kept by the mask of every target, by parameter name."""
        return dict(self._counts)

    @property
    def dense_params(self) -> int:
        """Weights of all targets before pruning."""
        return sum(keep.numel() for keep in self._keep.values())

    @property
    def nonzero_params(self) -> int:
        """Weights of all targets that the masks keep now."""
        return sum(self._counts.values())

    @property
    def sparsity(self) -> float:
        """`1 - nonzero_params / dense_params` over all targets, now."""
        return 1 - self.nonzero_params / self.dense_params

    def state_dict(self) -> dict[str, Any]:
        """Masks (boolean copies), position and seed: all that a resumed run needs.

        Random draws depend on seed, tensor and step alone, so there is no generator to store.
        """
        return {
            "setup": self._setup(),
            "seed": self.seed,
            "position": self.position,
            "masks": self.masks,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`, after the states of model and optimizer were loaded.

        Raises:
            InputError: a state of another setup, other tensors or other shapes; or weights that
                were there before this sparsifier and were pruned by its first mask.
        """
        if self._masked_versions == self._versions():
            raise InputError(
                "The first mask has just pruned these weights: load the model's state after "
                "making the sparsifier, or make it with state=..., which prunes nothing."
            )
        if (state["setup"], state["seed"]) != (self._setup(), self.seed):
            raise InputError(
                f"The saved masks are of '{state['setup']}' with seed {state['seed']}, not of "
                f"'{self._setup()}' with seed {self.seed}: resume with the settings of the start."
            )
        shapes = {name: tuple(mask.shape) for name, mask in state["masks"].items()}
        own = {name: tuple(keep.shape) for name, keep in self._keep.items()}
        if shapes != own:
            wrong = min(name for name in shapes | own if shapes.get(name) != own.get(name))
            raise InputError(
                f"The saved masks do not fit '{wrong}': it was {shapes.get(wrong)} then and is "
                f"{own.get(wrong)} now; resume with the same model and targets."
            )
        for name, mask in state["masks"].items():
            self._set(name, whole(mask))
        self._masking = self.nonzero_params < self.dense_params
        self.position = int(state["position"])

    def _setup(self) -> str:
        patterns = " and ".join(map(str, dict.fromkeys(self.patterns.values())))
        return f"{self.pruner}, {patterns}, {self.schedule}, {self.targets}"

    def _versions(self) -> list[int]:
        """Counters that every change of a parameter in place advances."""
        return [change_count(local(parameter)) for parameter in self._params.values()]

    def _set(self, name: str, mask: Tensor) -> None:
        """Take a whole mask: keep this process's part of it, and the count of all."""
        keep = self._keep[name]
        self._counts[name] = int(mask.count_nonzero())
        local(keep).copy_(local(part(mask, keep)))

    @torch.no_grad()
    def _update(self, t: int) -> None:
        sizes = {n: self.patterns[n].units(self._params[n].shape) for n in self._pruned}
        keeps = sizes
        if not self.pruner.dense_at(t, self.schedule):
            wanted = {n: self.schedule.sparsity_at(t, self.targets[n]) for n in self._pruned}
            keeps = {n: nonzero_target(sizes[n], s) for n, s in wanted.items()}
        self._masking = keeps != sizes
        if not self._masking:
            for name in self._pruned:
                local(self._keep[name]).fill_(1)
                self._counts[name] = self._keep[name].numel()
            return
        check_rankable({name: self._params[name] for name in self._pruned})
        for pattern in dict.fromkeys(self.patterns[name] for name in self._pruned):
            names = [name for name in self._pruned if self.patterns[name] == pattern]
            counts = [keeps[name] for name in names]
            kept = pattern.select(self._scores(t, pattern, names, counts), counts)
            for name, mask in zip(names, kept, strict=True):
                self._set(name, pattern.expand(mask, self._params[name].shape))
        self.apply()

    def _scores(
        self, t: int, pattern: Pattern, names: list[str], keeps: list[int]
    ) -> Iterator[Tensor]:
        """Scores of the units of tensors of one pattern."""
        shares = pattern.shares(keeps, partial(self._alive_counts, names))
        for name, share in zip(names, shares, strict=True):
            alive = self._alive(name)
            index = self._pruned.index(name)
            units = Candidates(
                magnitude=pattern.pool(whole(self._params[name]).abs().float()),
                alive=alive,
                keep=share,
                step=t,
                schedule=self.schedule,
                gradient=partial(self._gradient, name),
                random=partial(_uniform, alive, (self.seed, index, t)),
            )
            yield self.pruner.scores(units).float()

    def _alive(self, name: str) -> Tensor:
        return self.patterns[name].pool(whole(self._keep[name]).float()) > 0

    def _alive_counts(self, names: list[str]) -> list[int]:
        return [int(self._alive(name).count_nonzero()) for name in names]

    def _gradient(self, name: str) -> Tensor:
        return self.patterns[name].pool(dense_gradient(name, self._params[name]))


def _patterns(
    given: str | Pattern | Mapping[str, str | Pattern], names: Collection[str]
) -> dict[str, Pattern]:
    """The pattern of every tensor. Raises InputError for one that has none."""
    per_name = given if isinstance(given, Mapping) else dict.fromkeys(names, given)
    if without := sorted(set(names) - set(per_name)):
        raise InputError(f"There is no pattern for '{without[0]}': name one for every target.")
    patterns = {name: per_name[name] for name in names}
    return {n: Pattern.parse(p) if isinstance(p, str) else p for n, p in patterns.items()}


def _uniform(like: Tensor, key: tuple[int, int, int]) -> Tensor:
    """Uniform [0, 1) numbers of the shape and device of `like`, fixed by `key` alone.

    Drawn on the CPU, so that every device gets the same ones.
    """
    numbers = np.random.default_rng(key).random(like.numel(), dtype=np.float32)
    return torch.from_numpy(numbers).view(like.shape).to(like.device)
