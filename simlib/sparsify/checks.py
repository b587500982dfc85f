"""What makes a tensor impossible to rank, each refused by the tensor's name."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from simlib.errors import InputError
from simlib.sparsify.shards import across, local, whole


@torch.no_grad()
def largest_magnitudes(params: Sequence[Tensor]) -> list[float]:
    """The largest magnitude of every parameter; infinity where one holds NaN or infinity."""
    if not params:
        return []
    own = torch.stack([_largest(local(p)) for p in params])
    # NaN is lost in a maximum over processes
    found = across(own.masked_fill(~own.isfinite(), math.inf), params, "max")
    return [float(value) for value in found.tolist()]


def _largest(entries: Tensor) -> Tensor:
    if not entries.numel():  # a small tensor may leave a process without any
        return torch.zeros((), device=entries.device)
    return entries.abs().amax().float()


def check_finite(params: Mapping[str, nn.Parameter]) -> list[float]:
    """The largest magnitude of every parameter.

    Raises:
        InputError: a parameter holds NaN or infinity.
    """
    largest = largest_magnitudes(list(params.values()))
    for name, value in zip(params, largest, strict=True):
        if not math.isfinite(value):
            raise InputError(
                f"'{name}' holds NaN or infinity and cannot be ranked: "
                "training diverged, lower the learning rate."
            )
    return largest


def check_rankable(params: Mapping[str, nn.Parameter]) -> None:
    """Refuse parameters that hold NaN or infinity, or nothing but zeros, with InputError."""
    for name, value in zip(params, check_finite(params), strict=True):
        if value == 0:
            raise InputError(
                f"'{name}' is zero everywhere and cannot be ranked: "
                "initialise it or leave it out of the targets."
            )


def dense_gradient(name: str, parameter: nn.Parameter) -> Tensor:
    """Magnitude of the whole gradient, float32, of pruned weights too.

    Raises:
        InputError: no gradient, or one that holds NaN or infinity.
    """
    gradient = parameter.grad
    if gradient is None:
        raise InputError(
            f"'{name}' has no gradient to grow by: call sparsifier.step before zero_grad."
        )
    gradient = whole(gradient)
    if not bool(gradient.isfinite().all()):
        raise InputError(
            f"The gradient of '{name}' holds NaN or infinity: lower the learning rate."
        )
    return gradient.abs().float()
