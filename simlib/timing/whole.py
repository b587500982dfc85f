"""Whole runs with sparse kernels: what a training step and a finished model gain, measured."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from simlib.errors import InputError
from simlib.models.build import as_model, prunable
from simlib.models.compiled import SparseProduct
from simlib.runs.config import RunConfig
from simlib.runs.timings import ServingTiming, StepTiming
from simlib.train.batches import Batch, make_batches
from simlib.train.kernels import masked_layers, tokens_of
from simlib.train.records import load_model, read_side
from simlib.train.settings import settings
from simlib.train.trainer import Trainer
from simlib.train.turns import Action, alternate


def time_steps(config: RunConfig, rounds: int) -> StepTiming:
    """Steps of `config` after its last mask update, with masks and with sparse kernels in turn.

    Its training up to there is done once. Raises InputError for a dense run, one that is pruned
    to the end or cannot use sparse kernels.
    """
    if not config.sparsity or config.prune_steps[1] >= config.total_steps:
        raise InputError("a step with sparse kernels needs a sparse run with a prune_end below 1")
    by_masks, by_kernels = (
        RunConfig(**(config.model_dump() | {"kernels": kind, "compute": "eager"}))
        for kind in ("masks", "sparse")
    )
    masked = Trainer(by_masks, make_batches(config))
    with settings(config):
        while masked.position < config.prune_steps[1]:
            masked.step()
        sparse = Trainer(by_kernels, masked.batches)
        sparse.load_state_dict(deepcopy(masked.state_dict()))  # it would share the moments
        seconds = alternate({"masks": masked.step, "sparse": sparse.step}, rounds, "cpu")
        end = max(masked.position, sparse.position)
        losses = [_loss_at(trainer, end) for trainer in (masked, sparse)]
    speedup, low, high = _quartiles(seconds["masks"], seconds["sparse"])
    return StepTiming(
        family=config.family,
        width=config.shape.width,
        depth=config.shape.depth,
        sparsity=_zeros(masked.model),
        tokens=max(s["tokens"] for s in sparse.switches or []),
        masks_ms=_short(1e3 * np.median(seconds["masks"])),
        sparse_ms=_short(1e3 * np.median(seconds["sparse"])),
        speedup=speedup,
        low=low,
        high=high,
        rounds=rounds,
        steps=end - config.prune_steps[1],
        loss_gap=_short(abs(losses[1] / losses[0] - 1)),
    )


def _loss_at(trainer: Trainer, step: int) -> float:
    """Training loss of the batch after `step` steps."""
    while trainer.position < step:
        trainer.step()
    with torch.no_grad():
        return float(as_model(trainer.model).loss(trainer.batches.batch(step)))


def time_serving(model: nn.Module, config: RunConfig, batch: Batch, rounds: int) -> ServingTiming:
    """Forward passes of a trained model over `batch`, dense and with sparse kernels in turn.

    One thread. Leaves the model dense. Raises InputError where the kernels cannot be compiled or
    the model has no zeros to skip.
    """
    masks = {n: p.detach() != 0 for n, p in model.named_parameters() if p.dim() == 2}
    layers = masked_layers(model, masks)
    if not layers:
        raise InputError("no weight of this model is zero: take a sparse run")
    products = {name: SparseProduct(masks[f"{name}.weight"]) for name in layers}

    def logits(sparse: bool) -> Tensor:
        for name, layer in layers.items():
            layer.product = products[name] if sparse else None
        return _logits(model, batch)

    alone = RunConfig(**(config.model_dump() | {"threads": 1, "device": "cpu"}))
    with settings(alone), torch.no_grad():
        first, second = logits(False), logits(True)
        actions: dict[str, Action] = {
            "dense": lambda: logits(False),
            "sparse": lambda: logits(True),
        }
        seconds = alternate(actions, rounds, "cpu")
        logits(False)
    tokens = max(tokens_of(model, layers, batch).values())
    speedup, low, high = _quartiles(seconds["dense"], seconds["sparse"])
    return ServingTiming(
        family=config.family,
        width=config.shape.width,
        depth=config.shape.depth,
        sparsity=_zeros(model),
        tokens=tokens,
        dense_per_second=_short(tokens / np.median(seconds["dense"])),
        sparse_per_second=_short(tokens / np.median(seconds["sparse"])),
        speedup=speedup,
        low=low,
        high=high,
        rounds=rounds,
        logit_gap=_short(float((first - second).abs().max() / first.abs().max())),
    )


def serve_run(
    root: str | Path, run_id: str, *, examples: int = 8, rounds: int = 9
) -> ServingTiming:
    """`time_serving` of a finished run in `root`, on validation examples of its corpus.

    Raises InputError if the run, its corpus or a compiler is missing.
    """
    model = load_model(root, run_id)
    config = RunConfig(**(read_side(root, run_id)["config"] | {"device": "cpu"}))
    batch = tuple(part[:examples] for part in make_batches(config).validation())
    return time_serving(model, config, batch, rounds)


def _logits(model: nn.Module, batch: Batch) -> Tensor:
    """What the output layer says of `batch`, with everything that `losses` does timed."""
    said: list[Tensor] = []
    hook = model.get_submodule("head").register_forward_hook(lambda *call: said.append(call[2]))
    as_model(model).losses(batch)
    hook.remove()
    return said[0]


def _zeros(model: nn.Module) -> float:
    """The share of zeros in the body."""
    weights = dict(model.named_parameters())
    body = [weights[name] for name in prunable(model)]
    kept = sum(int(w.count_nonzero()) for w in body)
    return _short(1 - kept / sum(w.numel() for w in body))


def _quartiles(dense: np.ndarray, sparse: np.ndarray) -> tuple[float, float, float]:
    """Median and quartiles of dense over sparse time."""
    low, middle, high = (_short(q) for q in np.quantile(dense / sparse, [0.25, 0.5, 0.75]))
    return middle, low, high


def _short(value: float | np.floating) -> float:
    return float(f"{value:.4g}")
