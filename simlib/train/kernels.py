"""From masks to kernels that skip zeros, once the masks are fixed and where it is measured to pay.

The products are the same up to the order of their sums. A pruned weight's gradient, which masks
throw away, is not computed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simlib.models.build import as_model
from simlib.models.compiled import why_not
from simlib.models.linear import Linear
from simlib.runs.config import RunConfig
from simlib.train.batches import Batch
from simlib.train.turns import Action, alternate

ROUNDS = 9  # of dense and sparse products in turn, for every shape
log = logging.getLogger("simlib.train")


@dataclass(frozen=True)
class Switch:
    """What was decided for the layers of one shape: (inputs, outputs), tokens a step.

    `speedup` is the median over rounds of dense over sparse time, forward and backward, and `low`
    its lower quartile; both are 0 where kernels 'sparse' asked for no measurement.
    """

    inputs: int
    outputs: int
    tokens: int
    layers: tuple[str, ...]
    sparse: bool
    speedup: float = 0.0
    low: float = 0.0

    def __str__(self) -> str:
        measured = f"{self.speedup:.2f} times as fast as masks" if self.speedup else "as asked for"
        kernel = "sparse kernels" if self.sparse else "masks"
        return f"{len(self.layers)} layers {self.inputs} to {self.outputs}: {kernel}, {measured}"


def switch_kernels(
    config: RunConfig, model: nn.Module, masks: Mapping[str, Tensor], batch: Batch
) -> list[Switch]:
    """Let layers skip their zeros, all of them or (kernels 'auto') those where it pays.

    masks: boolean, by parameter name, fixed from now on. A shape pays if dense over sparse time
    exceeds 1 in its lower quartile over the rounds, on this machine and with `batch`'s tokens.
    """
    layers = masked_layers(model, masks)
    reason = unable(config)
    if reason:
        log.info("%s keeps its masks: %s", config.run_id, reason)
        return []
    shapes: dict[tuple[int, int, int], list[str]] = {}
    tokens = tokens_of(model, layers, batch)
    for name, layer in layers.items():
        shape = (layer.in_features, layer.out_features, tokens[name])
        shapes.setdefault(shape, []).append(name)
    chosen = []
    for shape, names in shapes.items():
        timed = (0.0, 0.0)
        if config.kernels == "auto":
            timed = _time(layers[names[0]], masks[f"{names[0]}.weight"], shape[2], config.threads)
        pays = config.kernels == "sparse" or timed[1] > 1
        switch = Switch(*shape, tuple(names), pays, *timed)
        log.info("%s, %s", config.run_id, switch)
        chosen.append(switch)
    apply_switches(model, masks, [asdict(s) for s in chosen])
    return chosen


def apply_switches(
    model: nn.Module, masks: Mapping[str, Tensor], switches: list[dict[str, Any]]
) -> None:
    """Do again what was decided before, as a resumed run must."""
    layers = masked_layers(model, masks)
    for switch in switches:
        for name in switch["layers"] if switch["sparse"] else ():
            layers[name].skip_zeros(masks[f"{name}.weight"])


def masked_layers(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, Linear]:
    """Linear layers whose mask, boolean by parameter name, prunes anything."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Linear) and not bool(masks.get(f"{name}.weight", torch.ones(1)).all())
    }


def unable(config: RunConfig) -> str:
    """Why a run cannot have sparse kernels here, in a sentence; empty where it can."""
    if config.device != "cpu" or config.precision != "float32":
        return "sparse kernels work in float32 on a CPU"
    return why_not()


def tokens_of(model: nn.Module, layers: Mapping[str, Linear], batch: Batch) -> dict[str, int]:
    """Rows that every layer multiplies in a pass over `batch`."""
    found: dict[str, int] = {}
    with ExitStack() as hooks, torch.no_grad():
        for name, layer in layers.items():

            def note(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                found[name] = inputs[0][..., 0].numel()

            hooks.callback(layer.register_forward_pre_hook(note).remove)
        as_model(model).loss(batch)
    return found


def _time(layer: Linear, mask: Tensor, tokens: int, threads: int) -> tuple[float, float]:
    """Median and lower quartile of dense over sparse time of a layer, forward and backward."""
    make = torch.Generator().manual_seed(0)
    x_MxI = torch.randn(tokens, layer.in_features, generator=make, requires_grad=True)
    g_MxO = torch.randn(tokens, layer.out_features, generator=make)
    sparse = Linear(layer.in_features, layer.out_features)
    sparse.weight = layer.weight
    sparse.skip_zeros(mask)

    def once(product: Linear) -> tuple[Tensor, ...]:
        return torch.autograd.grad(product(x_MxI), (x_MxI, layer.weight), g_MxO)

    actions: dict[str, Action] = {
        "dense": lambda: once(layer),
        "sparse": lambda: once(sparse),
    }
    # processor time counts what several threads do at once several times
    seconds = alternate(actions, ROUNDS, "cpu" if threads == 1 else "wall")
    low, middle = np.quantile(seconds["dense"] / seconds["sparse"], [0.25, 0.5])
    return float(middle), float(low)
