"""The parts of a model that cost is told apart by: body, output layer, embeddings."""

from __future__ import annotations

from torch import nn

from simlib.models import Data, prunable
from simlib.runs.config import RunConfig

PARTS = ("body", "head", "embeddings")
HEAD, PATCHES = "head.weight", "patches.weight"


def multiplied(model: nn.Module) -> dict[str, list[str]]:
    """Names of the matrices that training multiplies with, for each part.

    An embedding is a look-up and multiplies nothing, so among embeddings there is only a vision
    transformer's projection of patches.
    """
    names = {name for name, _ in model.named_parameters()}
    return {
        "body": prunable(model),
        "head": [HEAD],
        "embeddings": [PATCHES] if PATCHES in names else [],
    }


def dense_sizes(config: RunConfig, data: Data) -> dict[str, int]:
    """Weights of each part before pruning, of a model that is not built."""
    width, vision = config.shape.width, config.family == "vit"
    return {
        "body": config.shape.dense_params,
        "head": width * (data.num_classes if vision else data.vocab_size),
        "embeddings": width * config.patch**2 * data.image_shape[2] if vision else 0,
    }
