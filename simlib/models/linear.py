"""Linear layers whose products run in oneDNN on a CPU.

In float32 torch hands products to the processor maker's library, which on other makers' chips does
half of what they can: about 90 against 200 GFLOP/s on one core of an AMD EPYC with AVX-512
(`benchmarks/kernels.py`). The operator below reaches oneDNN's kernels; where torch does not have
it, on a GPU and in bfloat16 (oneDNN already) a layer is an ordinary one. A layer whose mask is
fixed may skip its zeros instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simlib.models.compiled import SparseProduct
from simlib.sparsify.compat import onednn_product

_PRODUCT = onednn_product()
_LEAST = 32  # inputs or outputs below which torch's own product is the faster one


def _product(x_MxK: Tensor, y_NxK: Tensor) -> Tensor:
    """`x @ y.T`."""
    assert _PRODUCT is not None
    return _PRODUCT(x_MxK, y_NxK)


class _Linear(torch.autograd.Function):
    """`x @ weight.T` and its two derivatives, each as one product of that form."""

    @staticmethod
    def forward(ctx: Any, x_MxI: Tensor, weight_OxI: Tensor) -> Tensor:
        ctx.save_for_backward(x_MxI, weight_OxI)
        return _product(x_MxI, weight_OxI)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor]:
        x_MxI, weight_OxI = ctx.saved_tensors
        g_MxO = gradients[0].contiguous()
        to_x = _product(g_MxO, weight_OxI.t()) if ctx.needs_input_grad[0] else None
        if x_MxI.shape[1] >= g_MxO.shape[1]:  # the wider matrix is the better right factor
            return to_x, _product(g_MxO.t(), x_MxI.t())
        return to_x, _product(x_MxI.t(), g_MxO.t()).t()


class Linear(nn.Linear):
    """A linear layer without bias; inputs (..., inputs), outputs (..., outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.product: SparseProduct | None = None

    def skip_zeros(self, mask: Tensor | None) -> None:
        """From now on multiply with the weights under `mask` alone; None: with all again.

        mask: boolean (outputs, inputs); a weight outside it must be zero and stay zero. Float32 on
        a CPU only. Raises InputError where the kernels cannot be compiled.
        """
        self.product = None if mask is None else SparseProduct(mask)

    def forward(self, x: Tensor) -> Tensor:
        if self.product is not None and not torch.is_autocast_enabled("cpu"):
            products = self.product(x.reshape(-1, self.in_features), self.weight)
            return products.view(*x.shape[:-1], self.out_features)
        small = min(self.in_features, self.out_features) < _LEAST
        usual = _PRODUCT is None or x.device.type != "cpu" or x.dtype != torch.float32
        if small or usual or torch.is_autocast_enabled("cpu"):
            return functional.linear(x, self.weight)
        rows: Tensor = _Linear.apply(x.reshape(-1, self.in_features), self.weight)
        return rows.view(*x.shape[:-1], self.out_features)
