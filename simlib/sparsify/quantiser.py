"""Weights of few bits: a layer multiplies with one of 2^bits values, training sees more.

The quantiser is that of QuEST (Panferov et al. 2025, arXiv 2502.05003) without its Hadamard
transform, which would mix pruned weights with kept ones: evenly spaced levels around zero, scaled
to the root mean square of the weights so that the squared error is least for normal ones, and a
gradient that passes straight through except where a weight lies beyond the last level ("trust").
One scale serves a tensor, where QuEST has one a row: rows of small sparse models have a handful of
weights, which cannot tell their own spread and are few to share the bits of a scale.

It stands between a parameter, whose full precision is what optimizer, checkpoint and `Sparsifier`
see, and the layer that uses it:

    quantise(model, ["0.weight", "2.weight"], bits=4)
    sparsifier = Sparsifier(model, optimizer, ...)  # after it: the parameters have new names now

A weight of exactly zero stays zero, whatever the levels. So a pruned weight is zero before and
after, the scale is that of the weights that are kept, and these have all 2^bits levels for
themselves, none of which is zero. A weight that a pruner revives is zero until its first update,
and one of the two smallest levels after it.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from simlib.errors import InputError

# distance of levels, in standard deviations, that has the least squared error for normal numbers
# (Max 1960, "Quantizing for minimum distortion", table II, goes to 5 bits)
STEPS = {1: 1.5958, 2: 0.9957, 3: 0.5860, 4: 0.3352, 5: 0.1881, 6: 0.1041, 7: 0.05687, 8: 0.03076}


class Quantiser(nn.Module):
    """A parametrisation of a tensor of any shape: its entries in `bits` bits, one scale for all.

    Raises InputError for bits other than 1 to 8.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        if bits not in STEPS:
            raise InputError(f"Weights of {bits} bits are impossible: use 1 to {max(STEPS)}.")
        self.bits = bits

    def forward(self, weight: Tensor) -> Tensor:
        """The nearest levels, shaped and typed as `weight`; zero where it is zero."""
        quantised: Tensor = _StraightThrough.apply(weight, self.bits)
        return quantised

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bits: int) -> Tensor:
        entries, kept, half = weight.float(), weight.ne(0), 2 ** (bits - 1)
        spread = (entries.square().sum() / kept.sum().clamp(min=1)).sqrt()
        # a tensor of nothing but zeros has no spread
        step = (STEPS[bits] * spread).clamp(min=torch.finfo(torch.float32).tiny)
        place = (entries / step).floor()
        ctx.save_for_backward((place >= -half) & (place < half))
        level = place.clamp(-half, half - 1) + 0.5
        return (level * step * kept).to(weight.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (within,) = ctx.saved_tensors
        return gradients[0] * within, None


def quantise(model: nn.Module, names: Iterable[str], bits: int) -> None:
    """From now on the layers of `model` see the named weights in `bits` bits.

    A parameter "layer.weight" is called "layer.parametrizations.weight.original" afterwards.

    Raises InputError for bits other than 1 to 8, and for a name that is no matrix of the model.
    """
    parameters = dict(model.named_parameters())
    for name in names:
        if name not in parameters or parameters[name].dim() < 2:
            raise InputError(f"The model has no matrix '{name}': see model.named_parameters().")
        owner, _, own = name.rpartition(".")
        parametrize.register_parametrization(model.get_submodule(owner), own, Quantiser(bits))
