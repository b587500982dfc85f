"""What a measurement of sparse against dense products leaves: one row a kernel, product and shape.

Whole steps and whole models beside them, one row each. No torch here and no conclusions: kernels
write it, tables and cost models read it.
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


@dataclass(frozen=True)
class StepTiming:
    """A whole training step with sparse kernels against the same step with masks, in turn.

    `tokens` a step. `masks_ms` and `sparse_ms` are medians over `rounds`, `speedup` the median of
    their ratios, `low` and `high` its quartiles. `loss_gap` is how far the losses of the two lay
    apart after `steps` steps from one state, relative to the loss.
    """

    family: str
    width: int
    depth: int
    sparsity: float
    tokens: int
    masks_ms: float
    sparse_ms: float
    speedup: float
    low: float
    high: float
    rounds: int
    steps: int
    loss_gap: float


@dataclass(frozen=True)
class ServingTiming:
    """A whole model's forward passes, dense against sparse kernels, in turn.

    Examples of `tokens` tokens or patches in all; speeds in tokens a second, medians over `rounds`;
    `speedup` with its quartiles. `logit_gap` is the largest difference of two logits over the
    largest logit.
    """

    family: str
    width: int
    depth: int
    sparsity: float
    tokens: int
    dense_per_second: float
    sparse_per_second: float
    speedup: float
    low: float
    high: float
    rounds: int
    logit_gap: float
