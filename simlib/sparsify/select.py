"""Keep exactly the k highest scores, without sorting, the same on every device.

Scores are float32: zero or above for a unit that competes, `OUT` for one that does not.
"""

import torch
from torch import Tensor

from simlib.errors import InputError

OUT = -1.0
_LOW_BITS = 16


def nonzero_target(size: int, sparsity: float) -> int:
    """How many of `size` units stay at this sparsity: `size (1 - S)`, halves to even.

    The one rounding rule of the package; every count of kept units comes from here.
    """
    return round(size * (1.0 - sparsity))


def top_k(scores: Tensor, k: int) -> Tensor:
    """Mask of the `k` highest scores; among equals the lowest index wins.

    Args:
        scores: float32 of any shape, each `OUT` or >= 0, no NaN.
        k: how many to keep, between 0 and the number of scores.

    Returns:
        Boolean tensor of the same shape with exactly `k` true entries.

    Non-negative floats order as their bit patterns do, so the k-th highest is found by counting
    the upper half of the bits, then the lower half within one bucket: a few linear passes,
    indifferent to how many scores are equal.
    """
    if not 0 <= k <= scores.numel():
        raise InputError(f"Cannot keep {k} of {scores.numel()} scores: ask for a count between.")
    if k in (0, scores.numel()):
        return torch.full_like(scores, k > 0, dtype=torch.bool)
    # OUT becomes 0 and every competing score a positive integer
    key = scores.reshape(-1).view(torch.int32).clamp(min=-1).add_(1)
    upper = key >> _LOW_BITS
    bucket, rank = _bucket_of(upper, k)
    inside = (upper == bucket).nonzero().view(-1)
    lower = key[inside] & ((1 << _LOW_BITS) - 1)
    low, ties_kept = _bucket_of(lower, rank)
    mask = key > ((bucket << _LOW_BITS) | low)
    mask[inside[lower == low][:ties_kept]] = True
    return mask.view(scores.shape)


def _bucket_of(values: Tensor, k: int) -> tuple[int, int]:
    """The k-th highest value, and how many of the values equal to it rank within the k."""
    counts = torch.bincount(values, minlength=1 << _LOW_BITS).flip(0)
    at_least = counts.cumsum(0)
    place = int(torch.searchsorted(at_least, k))
    bucket = counts.numel() - 1 - place
    return bucket, k - int(at_least[place] - counts[place])


def top_n_of_m(scores: Tensor, n: int, m: int) -> Tensor:
    """Mask of the `n` highest of every `m` consecutive scores along the last dimension.

    Args:
        scores: float32 (..., columns), columns a multiple of `m`, no NaN.

    Returns:
        Boolean tensor of the same shape; among equals the lowest index wins.
    """
    rows = scores.reshape(-1, m).t().contiguous()
    mask = torch.empty_like(rows, dtype=torch.bool)
    for j in range(m):
        # the place of column j in its group is the number of columns that beat it
        place = torch.zeros_like(rows[j], dtype=torch.int16)
        for i in range(m):
            if i != j:
                place += rows[i] >= rows[j] if i < j else rows[i] > rows[j]
        mask[j] = place < n
    return mask.t().reshape(scores.shape)
