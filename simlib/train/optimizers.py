"""The optimizers, as they are used on sparse weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from simlib.config import RunConfig

BETAS = (0.9, 0.99)  # small batches: a second moment over 100 steps follows the noise better


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
    return AdamW(groups, lr=lr, betas=BETAS, fused=True, capturable=on_gpu)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every group, in place where it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


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
        self, params: Iterable[Any], lr: float, decay: float = 0.8, weight_decay: float = 0.0,
        sparsity_aware: bool = True,
    ) -> None:  # fmt: skip
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
        gradient, second = parameter.grad, state["second"]
        assert gradient is not None
        second.lerp_(gradient.square().add_(1e-30), weight)
        update = gradient * second.rsqrt()
        alive = parameter.ne(0) if self.sparsity_aware else torch.ones_like(parameter)
        count = alive.sum().clamp_(min=1)
        update /= _rms(update * alive, count).clamp_(min=1)
        scale = _rms(parameter, count).clamp_(min=1e-3)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(update * (scale * group["lr"]))


def _rms(values: Tensor, count: Tensor) -> Tensor:
    return (values.square().sum() / count).sqrt()
