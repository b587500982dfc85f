"""Which tensors are pruned, and how sparse each ends."""

import math
from collections.abc import Mapping

from torch import nn

from simlib.errors import InputError


def check_sparsity(sparsity: float, what: str = "Sparsity") -> float:
    """The sparsity itself, refused with InputError unless 0 <= S < 1."""
    if not 0 <= sparsity < 1:
        raise InputError(f"{what} {sparsity:g} is impossible: use a fraction from 0 to below 1.")
    return sparsity


def embedding_sparsity(sparsity: float) -> float:
    """`1 - sqrt(1 - S)`: sparsity of embeddings and logits beside a body at `sparsity`.

    Widths grow as the square root of the body's parameters, so a sparse model has as many
    non-zero embedding weights as the dense model of equal non-zero size (Frantar et al. 2024).
    """
    return 1 - math.sqrt(1 - check_sparsity(sparsity))


def resolve_targets(
    model: nn.Module, targets: float | Mapping[str, float]
) -> dict[str, tuple[nn.Parameter, float]]:
    """Parameter and final sparsity of every tensor to prune, by name.

    One number stands for every trainable parameter with two or more dimensions.

    Raises:
        InputError: no such tensor, a name that the model lacks, or a sparsity outside [0, 1).
    """
    parameters = dict(model.named_parameters())
    if not isinstance(targets, Mapping):
        targets = {
            name: targets for name, p in parameters.items() if p.dim() >= 2 and p.requires_grad
        }
    if not targets:
        raise InputError("There is nothing to prune: name at least one tensor in the targets.")
    for name, sparsity in targets.items():
        if name not in parameters:
            raise InputError(f"The model has no parameter '{name}': see model.named_parameters().")
        check_sparsity(sparsity, f"For '{name}' sparsity")
    return {name: (parameters[name], sparsity) for name, sparsity in targets.items()}
