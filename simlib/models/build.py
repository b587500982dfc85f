"""From a run's configuration to its model, and to the tensors that are pruned in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from simlib.models.gpt import GPT
from simlib.models.t5 import T5
from simlib.models.vit import ViT
from simlib.runs.config import RunConfig
from simlib.sparsify import embedding_sparsity, quantise


@dataclass(frozen=True)
class Data:
    """What a model must know of its data: bytes by default, images where it is a vit."""

    vocab_size: int = 256
    num_classes: int = 0
    image_shape: tuple[int, int, int] = (0, 0, 0)  # height, width, channels


class Model(Protocol):
    """What training needs of a model, besides being an `nn.Module`."""

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean loss of a batch, nats per token or image."""

    def losses(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Loss of each example (B,), nats per token or image."""


def build_model(config: RunConfig, data: Data | None = None) -> nn.Module:
    """The model of `config`, on the CPU, with weights that depend on its seed alone.

    The generator of the caller is left as it was.
    """
    model = _in_full_precision(config, data or Data())
    if config.weight_bits:
        quantise(model, prunable(model), config.weight_bits)
    return model


def _in_full_precision(config: RunConfig, data: Data) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.family == "gpt":
            return GPT(config.shape, data.vocab_size, config.seq_len, qk_norm=config.qk_norm)
        if config.family == "t5":
            slopes = config.position_bias == "slopes"
            return T5(config.shape, data.vocab_size, qk_norm=config.qk_norm, slopes=slopes)
        image = (config.patch, data.image_shape, data.num_classes)
        return ViT(config.shape, *image, qk_norm=config.qk_norm)


def as_model(module: nn.Module) -> Model:
    """The same object, seen as a Model by type checkers."""
    return cast(Model, module)


def prunable(model: nn.Module) -> list[str]:
    """Names of the tensors whose weights `nonzero_params` counts: the matrices of the blocks."""
    return [n for n, p in model.named_parameters() if p.dim() >= 2 and _in_block(n)]


def sparsity_targets(model: nn.Module, config: RunConfig) -> dict[str, float]:
    """Final sparsity of every tensor that is pruned.

    Body matrices end at the run's sparsity. Token embedding, projection of patches and output layer
    end at `1 - sqrt(1 - S)` or, with `embeddings="dense"`, stay dense, as positions, norms and
    biases do.
    """
    targets = dict.fromkeys(prunable(model), config.sparsity)
    if config.embeddings == "pruned":
        ends = ("embed.weight", "head.weight", "patches.weight")
        names = [n for n, _ in model.named_parameters() if n.endswith(ends)]
        targets |= dict.fromkeys(names, embedding_sparsity(config.sparsity))
    return targets


def _in_block(name: str) -> bool:
    return "blocks." in name
