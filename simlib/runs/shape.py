"""From a number of weights to a transformer's shape: one rule for every family.

A run asks for `nonzero_params` at a sparsity, so its body holds
`dense_params = nonzero_params / (1 - sparsity)` weights. Depth is given, and size comes from width
alone, as in the runs of Frantar et al. (2024). Width is the multiple of 8 nearest to what the
family's usual proportions need; the hidden size of the MLP, a multiple of 8 too, takes up the
rest. Heads have the size nearest to the one asked for, 32 by default, that divides the width.
Multiples of 8 let every n:m pattern up to m = 8 fit every matrix.

The body is what is counted and pruned: the matrices of the blocks. Embeddings, norms, biases and
the output layer are outside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from simlib.errors import InputError

GRAIN = 8
HEAD_SIZE = 32  # where none is asked for
LARGEST_ERROR = 0.03  # share of nonzero_params by which a built model may miss the request


@dataclass(frozen=True)
class Proportions:
    """Body weights of one layer of a family: `attention * width^2 + mlp * width * hidden`."""

    attention: int
    mlp: int
    ratio: float  # usual hidden / width

    @property
    def squares(self) -> float:
        """Body weights of one layer at the usual ratio, in units of width^2."""
        return self.attention + self.mlp * self.ratio


# One layer of t5 is an encoder block and a decoder block (self- and cross-attention), each with
# the gated MLP of T5 1.1, whose hidden size is 8/3 of the width.
PROPORTIONS = {
    "gpt": Proportions(attention=4, mlp=2, ratio=4),
    "vit": Proportions(attention=4, mlp=2, ratio=4),
    "t5": Proportions(attention=12, mlp=6, ratio=8 / 3),
}


@dataclass(frozen=True)
class Shape:
    """Sizes of one transformer; `depth` counts layers (of encoder and decoder each in t5)."""

    family: str
    width: int
    depth: int
    heads: int
    hidden: int

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    @property
    def dense_params(self) -> int:
        """Weights of the body before pruning."""
        part = PROPORTIONS[self.family]
        layer = part.attention * self.width**2 + part.mlp * self.width * self.hidden
        return self.depth * layer


def derive_shape(
    family: str, nonzero_params: int, sparsity: float, depth: int, head_size: int = HEAD_SIZE
) -> Shape:
    """The shape whose body holds `nonzero_params` at `sparsity` (fraction) with `depth` layers.

    Heads have the even size nearest to `head_size`, by ratio, that divides the width.

    Raises InputError if the request is too small or missed by more than 3%; the message names
    the nearest size that can be built.
    """
    part = PROPORTIONS[family]
    dense = nonzero_params / (1 - sparsity)
    width = max(GRAIN, _grain(math.sqrt(dense / (depth * part.squares))))
    hidden = _grain((dense / depth - part.attention * width**2) / (part.mlp * width))
    shape = Shape(family, width, depth, _heads(width, head_size), max(GRAIN, hidden))
    built = shape.dense_params * (1 - sparsity)
    if abs(built / nonzero_params - 1) > LARGEST_ERROR:
        remedy = _remedy(part, depth, sparsity, nonzero_params, built)
        raise InputError(
            f"nonzero_params {nonzero_params:,} at sparsity {sparsity:g} cannot be built within "
            f"3% by a {family} of depth {depth}: {remedy}"
        )
    return shape


def _grain(size: float) -> int:
    return max(0, round(size / GRAIN)) * GRAIN


def _heads(width: int, head_size: int) -> int:
    # 2 divides every width, and is nearer than any size beyond the square of what was asked
    most = min(width, head_size**2)
    sizes = [s for s in range(2, most + 1, 2) if width % s == 0]
    return width // min(sizes, key=lambda s: (abs(math.log(s / head_size)), s))


def _remedy(part: Proportions, depth: int, sparsity: float, asked: int, built: float) -> str:
    least = depth * part.squares * GRAIN**2 * (1 - sparsity)
    if asked < least:
        return (
            "that is too small for a vocabulary of 256 at a width of 8, the least there is; "
            f"ask for {math.ceil(least):,} or more, or for fewer layers"
        )
    return f"the nearest it can build is {round(built):,}"
