"""Why the models choose their kernels as they do: `python benchmarks/kernels.py`.

Two tables of one core's work, medians of measurements in turn:

1. Products of a linear layer in float32, forward and backward, through torch's usual call and
   through oneDNN, in GFLOP/s.
2. Causal attention, forward and backward, in bfloat16: the fused kernel against two products.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from simlib.models.block import _attend_by_products
from simlib.models.linear import _Linear

ROWS = 1024  # tokens of a batch


def turns(sides: dict[str, Callable[[], object]], count: int = 15) -> dict[str, float]:
    """Median processor seconds of a call of each side."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(count):
        for name, call in sides.items():
            call()
            began = time.process_time()
            for _ in range(5):
                call()
            times[name].append((time.process_time() - began) / 5)
    return {name: statistics.median(values) for name, values in times.items()}


def products() -> None:
    """Table 1."""
    print("\n1. Products in float32, GFLOP/s\n| inputs | outputs | usual | oneDNN |")
    print("|---|---|---|---|")
    for inputs, outputs in ((24, 96), (48, 192), (96, 384), (256, 1024), (1024, 256)):
        x = torch.randn(ROWS, inputs, requires_grad=True)
        weight = torch.randn(outputs, inputs, requires_grad=True)
        gradient = torch.randn(ROWS, outputs)

        def both(
            call: Callable[..., Tensor], x: Tensor = x, w: Tensor = weight, g: Tensor = gradient
        ) -> Callable[[], object]:
            return lambda: torch.autograd.grad(call(x, w), (x, w), g)

        timed = turns({"usual": both(functional.linear), "oneDNN": both(_Linear.apply)})
        work = 6e-9 * ROWS * inputs * outputs
        speeds = " | ".join(f"{work / seconds:.0f}" for seconds in timed.values())
        print(f"| {inputs} | {outputs} | {speeds} |")


def attention() -> None:
    """Table 2."""
    print("\n2. Attention in bfloat16, ms\n| heads | head size | positions | fused | products |")
    print("|---|---|---|---|---|")
    for heads, size, length in ((2, 24, 128), (8, 32, 128), (4, 64, 128), (8, 32, 256)):
        shape = (ROWS // length, heads, length, size)
        q, k, v = (torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
        gradient = torch.randn(shape, dtype=torch.bfloat16)

        def fused(q: Tensor = q, k: Tensor = k, v: Tensor = v) -> Tensor:
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True)

        def by_products(q: Tensor = q, k: Tensor = k, v: Tensor = v) -> Tensor:
            return _attend_by_products(q, k, v, None, True)

        def both(
            call: Callable[[], Tensor], inputs: tuple[Tensor, ...] = (q, k, v), g: Tensor = gradient
        ) -> Callable[[], object]:
            return lambda: torch.autograd.grad(call(), inputs, g)

        timed = turns({"fused": both(fused), "products": both(by_products)})
        cells = " | ".join(f"{1e3 * seconds:.2f}" for seconds in timed.values())
        print(f"| {heads} | {size} | {length} | {cells} |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    products()
    attention()
