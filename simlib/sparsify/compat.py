"""What is used of torch beyond its public interface, all in one place.

The exact pin of torch protects these names. `tests/sparsify/test_torch_compat.py` says which of
them a new version has lost, and what it was for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def scale_(tensors: list[Tensor], factors: list[Tensor] | Tensor) -> None:
    """Multiply each tensor in place by its factor, or all by one, in few launches."""
    torch._foreach_mul_(tensors, factors)


def scaled(tensors: list[Tensor], factors: list[Tensor]) -> list[Tensor]:
    """The products of each tensor with its factor."""
    return list(torch._foreach_mul(tensors, factors))


def norms(tensors: list[Tensor]) -> list[Tensor]:
    """The Euclidean norm of each tensor."""
    return list(torch._foreach_norm(tensors))


def move_towards_(tensors: list[Tensor], ends: list[Tensor], share: float) -> None:
    """Move each tensor in place by `share` of the way to its end."""
    torch._foreach_lerp_(tensors, ends, share)


def change_count(tensor: Tensor) -> int:
    """A number that every change of the tensor in place advances, views included."""
    return tensor._version


def onednn_product() -> Callable[[Tensor, Tensor], Tensor] | None:
    """oneDNN's `x @ y.T` of float32 matrices on a CPU; None where this torch does not have it."""
    if not torch.backends.mkldnn.is_available():
        return None
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if operator is None:
        return None

    def product(x_MxK: Tensor, y_NxK: Tensor) -> Tensor:
        result: Tensor = operator(x_MxK, y_NxK, None, "none", [], "")
        return result

    return product
