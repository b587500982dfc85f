"""Kernels in C, compiled for this processor by the machine's own compiler; the sparse product."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.native import load
from simlib.sparsify.compat import change_count

TILE = 64  # as in sparse.c
_POINTER, _INTEGER = ctypes.c_void_p, ctypes.c_int64


@cache
def compiled(name: str) -> ctypes.CDLL:
    """The kernels of `NAME.c` beside this file, compiled on first use into the cache (seconds).

    Raises InputError where there is no C compiler, or it cannot compile them.
    """
    source = Path(__file__).with_name(f"{name}.c")
    return load(source, f"{name} kernels", "use kernels 'masks' and compute 'eager'")


def why_not(name: str = "sparse") -> str:
    """Why there are no kernels of `NAME.c` here, in a sentence; empty where there are."""
    try:
        compiled(name)
    except InputError as error:
        return str(error)
    return ""


@cache
def _sparse_kernels() -> ctypes.CDLL:
    found = compiled("sparse")
    for function in (found.forward, found.backward):
        function.restype = None
    found.forward.argtypes = [_POINTER] * 3 + [_INTEGER] * 3 + [_POINTER] * 3
    found.backward.argtypes = [_POINTER] * 5 + [_INTEGER] * 3 + [_POINTER] * 5
    return found


class Rows:
    """Where the weights kept of a matrix (rows, columns) lie, row by row.

    `flat` are their places in the matrix that is stored, `shape` (rows, columns), which is the
    transpose of this one where `turned`.
    """

    def __init__(self, mask: Tensor, turned: bool = False) -> None:
        stored_columns = mask.shape[1]
        view = mask.t() if turned else mask
        row, column = view.nonzero(as_tuple=True)
        counts = torch.bincount(row, minlength=view.shape[0])
        self.start = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()
        self.place = column.int()
        self.flat = column * stored_columns + row if turned else row * stored_columns + column

    def values(self, weight: Tensor) -> Tensor:
        """The kept weights in order, (kept,)."""
        return torch.take(weight, self.flat)


class SparseProduct:
    """`x @ weight.T` and its derivatives where only the weights under `mask` are not zero.

    mask: boolean (outputs, inputs). The gradient to the weights is zero outside the mask.
    """

    def __init__(self, mask: Tensor) -> None:
        self.library = _sparse_kernels()
        self.outputs, self.inputs = mask.shape
        self.rows, self.columns = Rows(mask), Rows(mask, turned=True)
        self.scratch = torch.empty(2 * (self.inputs + self.outputs) * TILE)
        self._held: tuple[int, Tensor] | None = None

    def __call__(self, x_MxI: Tensor, weight_OxI: Tensor) -> Tensor:
        """Products with the values that the weight has now; differentiable."""
        if not torch.is_grad_enabled():
            return self.multiply(x_MxI, self._values(weight_OxI))
        result: Tensor = _Product.apply(x_MxI, weight_OxI, self)
        return result

    def _values(self, weight_OxI: Tensor) -> Tensor:
        """The kept values; picked out once where nothing trains, and again after a change."""
        version = change_count(weight_OxI)
        if self._held is None or self._held[0] != version:
            self._held = (version, self.rows.values(weight_OxI.detach()))
        return self._held[1]

    def multiply(self, x_MxI: Tensor, values: Tensor) -> Tensor:
        """The forward product with kept values."""
        x_MxI = x_MxI.contiguous()
        y_MxO = x_MxI.new_empty(x_MxI.shape[0], self.outputs)
        self.library.forward(
            *_at(x_MxI, values, y_MxO),
            x_MxI.shape[0],
            self.inputs,
            self.outputs,
            *_at(self.rows.start, self.rows.place, self.scratch),
        )
        return y_MxO

    def gradients(
        self, x_MxI: Tensor, g_MxO: Tensor, weight_OxI: Tensor, to_inputs: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Gradients to the inputs, if wanted, and to the weights."""
        x_MxI, g_MxO = x_MxI.contiguous(), g_MxO.contiguous()
        to_x_MxI = torch.empty_like(x_MxI) if to_inputs else None
        to_w_OxI = torch.empty_like(weight_OxI)
        values = self.columns.values(weight_OxI)
        self.library.backward(
            *_at(x_MxI, g_MxO, values, to_x_MxI, to_w_OxI),
            x_MxI.shape[0],
            self.inputs,
            self.outputs,
            *_at(
                self.rows.start,
                self.rows.place,
                self.columns.start,
                self.columns.place,
                self.scratch,
            ),
        )
        return to_x_MxI, to_w_OxI


class _Product(torch.autograd.Function):
    """Keeps inputs and weights for the backward products, as a dense layer does."""

    @staticmethod
    def forward(ctx: Any, x_MxI: Tensor, weight_OxI: Tensor, product: SparseProduct) -> Tensor:
        ctx.save_for_backward(x_MxI, weight_OxI)
        ctx.product = product
        return product.multiply(x_MxI, product.rows.values(weight_OxI))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        x_MxI, weight_OxI = ctx.saved_tensors
        to_inputs = ctx.needs_input_grad[0]
        product: SparseProduct = ctx.product
        return (*product.gradients(x_MxI, gradients[0], weight_OxI, to_inputs), None)


def _at(*tensors: Tensor | None) -> list[int | None]:
    """Addresses for C: the tensors must outlive the call."""
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]
