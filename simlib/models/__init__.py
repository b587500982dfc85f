"""Transformers built of one block: gpt, t5 and vit."""

from simlib.models.build import Data, Model, build_model, prunable, sparsity_targets

__all__ = ["Data", "Model", "build_model", "prunable", "sparsity_targets"]
