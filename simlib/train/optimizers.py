"""The optimizers, as they are used on sparse weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from simlib.runs.config import RunConfig
from simlib.sparsify.shards import across, is_sharded, local, part

BETA1 = 0.9


def build_optimizer(config: RunConfig, model: nn.Module) -> Optimizer:
    """The optimizer of `config` over `model`; weight decay for matrices only."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    if config.optimizer == "adafactor":
        return Adafactor(groups, lr=config.peak_lr, sparsity_aware=config.mask_optimizer)
    on_gpu = config.device == "cuda"
    # inside a captured graph the rate is read from memory, so there it has to be a tensor
    lr: float | Tensor = torch.tensor(config.peak_lr, device="cuda") if on_gpu else config.peak_lr
    return AdamW(groups, lr=lr, betas=(BETA1, config.beta2), fused=True, capturable=on_gpu)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every group, in place where it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """What the optimizer remembers of every parameter, by its number as text."""
    return {str(k): v for k, v in optimizer.state_dict()["state"].items()}


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Take back `optimizer_state`; its tensors are whole, the optimizer's may be sharded."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    shared = {int(k): _parts(values, parameters[int(k)]) for k, values in state.items()}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": shared, "param_groups": groups})


def _parts(values: dict[str, Tensor], parameter: Tensor) -> dict[str, Tensor]:
    return {
        name: part(v, parameter) if v.shape == parameter.shape else v.to(parameter.device)
        for name, v in values.items()
    }


class Adafactor(Optimizer):
    """Adafactor without factoring or momentum, aware of pruned weights.

    Shazeer & Stern (2018), algorithm 4, with the second moment kept per weight as in the runs
    of Frantar et al. (2024): `v` averages squared gradients with decay `1 - t^-0.8`, the update
    `g / sqrt(v)` is scaled down to a root mean square of 1 and multiplied by the root mean
    square of the tensor (at least 1e-3), so `lr` is relative.

    Both root mean squares run over the non-zero weights of a tensor only: averaged over zeros
    too, as with `sparsity_aware=False`, they make the step of a sparse tensor smaller by
    sqrt(density).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        decay: float = 0.8,
        weight_decay: float = 0.0,
        sparsity_aware: bool = True,
    ) -> None:
        super().__init__(params, {"lr": lr, "decay": decay, "weight_decay": weight_decay})
        self.sparsity_aware = sparsity_aware

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["second"] = torch.zeros_like(parameter)
        state["step"] += 1
        weight = state["step"] ** -group["decay"]
        assert parameter.grad is not None
        values, gradient, second = (local(t) for t in (parameter, parameter.grad, state["second"]))
        second.lerp_(gradient.square().add_(1e-30), weight)
        update = gradient * second.rsqrt()
        alive = values.ne(0) if self.sparsity_aware else torch.ones_like(values)
        sums = ((update * alive).square().sum(), values.square().sum(), alive.sum())
        update_sum, value_sum, count = _over_all_shards(sums, parameter)
        count = count.clamp(min=1)
        update /= (update_sum / count).sqrt().clamp_(min=1)
        scale = (value_sum / count).sqrt().clamp_(min=1e-3)
        values.mul_(1 - group["lr"] * group["weight_decay"])
        values.sub_(update * (scale * group["lr"]))


def _over_all_shards(sums: tuple[Tensor, ...], parameter: Tensor) -> tuple[Tensor, ...]:
    """Sums over all entries of a parameter, given those over this process's entries."""
    if not is_sharded(parameter):
        return sums
    total = across(torch.stack([s.double() for s in sums]), [parameter], "sum")
    return tuple(total.to(parameter.dtype).unbind())
