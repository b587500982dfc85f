"""Memory of a sparse model: in training, where masks save none, and stored for serving."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.law import Array, fraction, positive

# 2 bytes each of weight and gradient, 4 each of master weight and two moments of Adam
# (Rajbhandari et al. 2020, 1910.02054, section 3.1)
TRAINING_BYTES = 16.0
MASK_BYTES = 1.0  # a boolean for every place under the mask
WIDTH_PER_LAYER = 128  # width over depth of GPT-3 175B and Llama 7B, a typical shape
SPARE = 0.9  # share of a device's memory that a job can plan with


@dataclass(frozen=True)
class Storage:
    """How weights lie in memory at inference: bytes a value, and bits a place to say where it is.

    A place is a position under the mask. Where keeping every place as a value takes less, as at
    low sparsity, that is done; storage without `bits_per_place` always does it. With `entropy` the
    positions are coded as short as any code can, in `H(S)` bits a place of `bits_per_place`. Where
    zero is none of the values (not `zero`), as in `simlib.sparsify.quantiser`, every sparse model
    pays for its positions.
    """

    name: str
    value_bytes: float
    bits_per_place: float | None
    entropy: bool = False
    zero: bool = True

    def bytes_per_nonzero(self, S: ArrayLike) -> Array:
        """Bytes per non-zero parameter at sparsity S."""
        S = fraction(S)
        places = 1 / (1 - S)
        every_place = self.value_bytes * places
        if self.bits_per_place is None:
            return np.asarray(every_place)
        coded = self.bits_per_place * (index_entropy(S) if self.entropy else 1.0)
        marked = self.value_bytes + coded / 8 * places
        if self.zero:
            return np.asarray(np.minimum(every_place, marked))
        return np.asarray(np.where(S > 0, marked, every_place))

    def of_bits(self, bits: int) -> Storage:
        """The same for values of few bits, none of which is zero; raises InputError without a mask.

        The scales of the values are not counted: one number a tensor.
        """
        if self.bits_per_place is None:
            raise InputError(
                f"storage {self.name!r} has no mask, and a value of {bits} bits is never zero: "
                "store zeros as bitmask or entropy"
            )
        return replace(self, value_bytes=bits / 8, zero=False)


def index_entropy(S: ArrayLike) -> Array:
    """`H(S) = -S log2 S - (1-S) log2(1-S)`: bits a place that unstructured positions take."""
    S = fraction(S)
    zeros = np.where(S > 0, S * np.log2(np.where(S > 0, S, 1.0)), 0.0)
    return np.asarray(-zeros - (1 - S) * np.log1p(-S) / np.log(2))


STORAGE = {
    "dense": Storage("dense", 2.0, None),
    # one bit a place says whether it holds a value
    "bitmask": Storage("bitmask", 2.0, 1.0),
    # two bits for each of the two values kept of four (NVIDIA Ampere white paper, 2:4 sparsity)
    "2:4": Storage("2:4", 2.0, 1.0),
    # the least that any code of unstructured positions takes
    "entropy": Storage("entropy", 2.0, 1.0, entropy=True),
}


def storage(name: str) -> Storage:
    """A way to store weights by name. Raises InputError for an unknown one."""
    if name not in STORAGE:
        raise InputError(f"unknown storage {name!r}: choose one of {', '.join(STORAGE)}")
    return STORAGE[name]


def inference_bytes(S: ArrayLike, N: ArrayLike, kept: Storage = STORAGE["bitmask"]) -> Array:
    """Bytes of the weights at inference."""
    return positive("nonzero_params", N) * kept.bytes_per_nonzero(S)


def training_bytes(S: ArrayLike, N: ArrayLike) -> Array:
    """Bytes of weights, gradients, optimizer state and masks: all places count, pruned or not."""
    S = fraction(S)
    places = positive("nonzero_params", N) / (1 - S)
    return np.asarray(places * (TRAINING_BYTES + MASK_BYTES * (S > 0)))


def typical_shape(dense_params: ArrayLike) -> tuple[Array, Array]:
    """Width and depth of a transformer with 12 width^2 parameters a layer and width = 128 depth."""
    width = (positive("dense_params", dense_params) * WIDTH_PER_LAYER / 12) ** (1 / 3)
    return np.asarray(width), np.asarray(width / WIDTH_PER_LAYER)


def activation_bytes(
    S: ArrayLike, N: ArrayLike, tokens: ArrayLike, recompute: bool = True
) -> Array:
    """Bytes of activations for `tokens` held at once; masks save none of it.

    Korthikanti et al. 2022 (2205.05198), section 4: 34 bytes a token, layer and unit of width
    with attention recomputed, 2 with every layer recomputed from its input.
    """
    width, depth = typical_shape(positive("nonzero_params", N) / (1 - fraction(S)))
    return np.asarray((2.0 if recompute else 34.0) * positive("tokens", tokens) * width * depth)


def least_devices(bytes_needed: ArrayLike, device_memory: float) -> Array:
    """Fewest devices whose memory holds the bytes, a tenth of it kept free."""
    if not device_memory > 0:
        raise InputError(f"device memory must be positive, got {device_memory}")
    return np.ceil(positive("bytes", bytes_needed) / (SPARE * device_memory))
