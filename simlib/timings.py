"""What a measurement of sparse against dense products leaves: one row a kernel, product and shape.

No torch here and no conclusions: kernels write it, tables and cost models read it.
"""

from __future__ import annotations

from dataclasses import dataclass

TRAINING_ROWS = 512  # tokens a step in the book's language runs
PRODUCTS = ("forward", "to inputs", "to weights", "backward")


@dataclass(frozen=True)
class Timing:
    """One kernel against the fastest dense product of the same shape, in turn, round by round.

    The matrix has `4 * width` outputs and `width` inputs, as the first layer of an MLP; `rows` are
    tokens. `product` is one of PRODUCTS, "backward" both backward products in one call. `dense_ms`
    and `sparse_ms` are median milliseconds; `speedup` is the median over rounds of dense over
    sparse time, `low` and `high` its quartiles.
    """

    kernel: str
    product: str
    width: int
    rows: int
    sparsity: float
    dense_ms: float
    sparse_ms: float
    speedup: float
    low: float
    high: float
    rounds: int
