"""Products with a sparse weight matrix by kernels that skip its zeros, timed against dense ones.

Shape suffixes: O outputs, I inputs, M tokens. Every kernel gets its operands in the layout that it
likes best, and building the sparse matrix is not counted: what is measured is the most that a
training step could gain.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from simlib.errors import InputError
from simlib.models.compiled import SparseProduct, why_not
from simlib.models.linear import Linear
from simlib.runs.timings import TRAINING_ROWS, Timing
from simlib.train.turns import Action, alternate


class Operands:
    """A weight matrix with zeros, inputs and output gradients, drawn from a seed."""

    def __init__(self, width: int, rows: int, sparsity: float, device: str, seed: int = 0) -> None:
        make = torch.Generator().manual_seed(seed)
        outputs = 4 * width
        weight = torch.randn(outputs, width, generator=make)
        dropped = torch.rand(outputs, width, generator=make).argsort(1) < round(sparsity * width)
        if device == "cuda":  # the one pattern that its sparse units know: 2 of 4
            groups = torch.rand(outputs, width // 4, 4, generator=make).argsort(-1)
            dropped = (groups < 2).view(outputs, width)
        kind = torch.float16 if device == "cuda" else torch.float32
        self.weight_OxI = weight.masked_fill(dropped, 0.0).to(device, kind)
        self.x_IxM = torch.randn(width, rows, generator=make).to(device, kind)
        self.g_OxM = torch.randn(outputs, rows, generator=make).to(device, kind)


def dense_products(o: Operands) -> dict[str, dict[str, Action]]:
    """By product, what may serve as the dense rival: torch's own and the trainer's layer."""
    w, x, g = o.weight_OxI, o.x_IxM, o.g_OxM
    forward = _layer(x.t().contiguous(), w)
    to_inputs = _layer(g.t().contiguous(), w.t().contiguous())
    to_weights = _layer(g, x)
    return {
        "forward": {"mm": lambda: w @ x, "layer": forward},
        "to inputs": {"mm": lambda: w.t() @ g, "layer": to_inputs},
        "to weights": {"mm": lambda: g @ x.t(), "layer": to_weights},
        "backward": {
            "mm": lambda: (w.t() @ g, g @ x.t()),
            "layer": lambda: (to_inputs(), to_weights()),
        },
    }


def _layer(rows_MxK: Tensor, weight_NxK: Tensor) -> Action:
    """`rows @ weight.T` as the trainer does it."""
    layer = Linear(weight_NxK.shape[1], weight_NxK.shape[0])
    layer.weight = torch.nn.Parameter(weight_NxK, requires_grad=False)
    return lambda: layer(rows_MxK)


def _torch_csr(o: Operands) -> dict[str, Action]:
    w, x, g = _csr(o.weight_OxI), o.x_IxM, o.g_OxM
    transposed, columns = _csr(o.weight_OxI.t().contiguous()), x.t()
    return {
        "forward": lambda: w @ x,
        "to inputs": lambda: transposed @ g,
        "to weights": lambda: torch.sparse.sampled_addmm(w, g, columns, beta=0.0),
    }


def _csr(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return matrix.to_sparse_csr()


def _scipy_csr(o: Operands) -> dict[str, Action]:
    from scipy.sparse import csr_matrix

    w, x, g = csr_matrix(o.weight_OxI.numpy()), o.x_IxM.numpy(), o.g_OxM.numpy()
    transposed = csr_matrix(w.T)
    return {"forward": lambda: w @ x, "to inputs": lambda: transposed @ g}


def _sparseprop(o: Operands) -> dict[str, Action]:
    """Nikdan et al. 2023 (arXiv 2302.04852): vectorised over tokens, both backward products."""
    backend: Any = importlib.import_module("sparseprop").backend
    w, x, g = _csr(o.weight_OxI), o.x_IxM, o.g_OxM
    index = (w.crow_indices().int(), w.col_indices().int(), w.values())
    y_OxM, to_x_IxM, to_w = torch.zeros_like(g), torch.zeros_like(x), torch.zeros_like(index[2])

    def forward() -> Tensor:
        backend.sparse_linear_vectorized_forward(x, *index, y_OxM.zero_())
        return y_OxM

    def backward() -> tuple[Tensor, Tensor]:
        into = (to_x_IxM.zero_(), to_w.zero_())
        backend.sparse_linear_vectorized_backward(x, *index, g, *into)
        return into

    return {"forward": forward, "backward": backward}


def _compiled(o: Operands) -> dict[str, Action]:
    """What the trainer switches to: activations lie as the model has them, (tokens, features)."""
    w, x_MxI, g_MxO = o.weight_OxI, o.x_IxM.t().contiguous(), o.g_OxM.t().contiguous()
    product = SparseProduct(w != 0)
    return {
        "forward": lambda: product(x_MxI, w),
        "backward": lambda: product.gradients(x_MxI, g_MxO, w, True),
    }


def _two_four(o: Operands) -> dict[str, Action]:
    """The sparse units of NVIDIA GPUs: the forward product alone, its transpose is not 2:4."""
    w = torch.sparse.to_sparse_semi_structured(o.weight_OxI)
    x_MxI = o.x_IxM.t().contiguous()
    return {"forward": lambda: functional.linear(x_MxI, w)}


KERNELS: dict[str, Callable[[Operands], dict[str, Action]]] = {
    "torch CSR": _torch_csr,
    "scipy CSR": _scipy_csr,
    "sparseprop": _sparseprop,
    "compiled": _compiled,
    "2:4": _two_four,
}


def kernels_here(device: str) -> list[str]:
    """Names of the kernels that can run. Raises InputError for a device that is not there."""
    if device not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is unknown: use cpu or cuda")
    if device == "cuda":
        if not torch.cuda.is_available():
            raise InputError("there is no CUDA device here: measure 2:4 where there is one")
        return ["2:4"]
    optional = ["sparseprop"] if importlib.util.find_spec("sparseprop") else []
    own = [] if why_not() else ["compiled"]
    return ["torch CSR", "scipy CSR", *optional, *own]


def time_shape(
    width: int,
    rows: int,
    sparsity: float,
    rounds: int,
    *,
    device: str = "cpu",
    kernels: Sequence[str] | None = None,
) -> list[Timing]:
    """Every kernel's products against dense ones, in turn; forward only for other `rows`.

    On a CPU one thread and its processor time, which other programs on the machine disturb least.
    Raises InputError for a device or shape that cannot be measured.
    """
    if width % 16 or not 0 < sparsity < 1 or rounds < 1:
        raise InputError(
            f"widths are multiples of 16, sparsities lie in (0, 1) and rounds are at least 1, got "
            f"{width}, {sparsity:g} and {rounds}"
        )
    names = list(kernels or kernels_here(device))
    found, threads = [], torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.no_grad():
            operands = Operands(width, rows, sparsity, device)
            dense = dense_products(operands)
            sparse = {name: KERNELS[name](operands) for name in names}
            wanted = [p for p in dense if rows == TRAINING_ROWS or p == "forward"]
            for product in wanted:
                own = {n: s[product] for n, s in sparse.items() if product in s}
                seconds = alternate({**dense[product], **own}, rounds, device)
                found += _timings(product, seconds, list(own), (width, rows, sparsity))
    finally:
        torch.set_num_threads(threads)
    return found


def _timings(
    product: str, seconds: dict[str, np.ndarray], own: list[str], shape: tuple[int, int, float]
) -> list[Timing]:
    rival = min((s for n, s in seconds.items() if n not in own), key=lambda s: float(np.median(s)))
    found = []
    for name in own:
        low, middle, high = np.quantile(rival / seconds[name], [0.25, 0.5, 0.75])
        dense_ms, sparse_ms = 1e3 * np.median(rival), 1e3 * np.median(seconds[name])
        found.append(
            Timing(
                name,
                product,
                *shape,
                _short(dense_ms),
                _short(sparse_ms),
                _short(middle),
                _short(low),
                _short(high),
                len(rival),
            )
        )
    return found


def _short(value: float) -> float:
    return float(f"{value:.4g}")
