"""Tensors that FSDP2 shards, a part on every process, and what must be known of the whole.

For an ordinary tensor each function gives back what it was given. A sharded one is told by its
methods, because importing its class takes a second that most runs can save.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process may hold only a part of `tensor`."""
    return hasattr(tensor, "full_tensor")


def local(tensor: Tensor) -> Tensor:
    """The part that this process holds, in the same memory; it may have no entries."""
    if not is_sharded(tensor):
        return tensor
    sharded: Any = tensor
    with torch.no_grad():
        part: Tensor = sharded.to_local()
    return part


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, the same bits on every process; every process must call this."""
    if not is_sharded(tensor):
        return tensor
    sharded: Any = tensor.detach()
    gathered: Tensor = sharded.full_tensor()
    return gathered


def part(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, sharded as `like` is; nothing is sent, as every process has all of it."""
    if not is_sharded(like) or is_sharded(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    layout: Any = like
    return distribute_tensor(tensor, layout.device_mesh, layout.placements, src_data_rank=None)


def parts(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Whole weights by name, each sharded as the parameter of that name is."""
    own = dict(model.named_parameters())
    return {name: part(t, own[name]) if name in own else t for name, t in tensors.items()}


def across(values: Tensor, tensors: Iterable[Tensor], how: Literal["sum", "max"]) -> Tensor:
    """Sum or maximum of `values` over the processes that share the tensors.

    Without a sharded one among the tensors these are the values themselves: then every process
    has seen all there is.
    """
    sharded: Any = next((t for t in tensors if is_sharded(t)), None)
    if sharded is None:
        return values
    operation = {"sum": distributed.ReduceOp.SUM, "max": distributed.ReduceOp.MAX}[how]
    total = values.clone()
    distributed.all_reduce(total, operation, group=sharded.device_mesh.get_group())
    return total
