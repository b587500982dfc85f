"""What training costs: the factor that law and training share."""

from __future__ import annotations

FLOP_PER_PARAMETER_AND_DATUM = 6  # 2 forward, 4 backward (Kaplan et al. 2020, arXiv 2001.08361)


def training_flops(params: float, data_seen: float) -> float:
    """Training cost `6 N D` in FLOP, where N is the mean number of non-zero weights over the run.

    Not counted: attention scores, look-ups of embeddings, norms, the optimizer, mask updates. With
    images D counts images, as the law does; a vision transformer does this work for each of an
    image's patches.
    """
    return float(FLOP_PER_PARAMETER_AND_DATUM * params * data_seen)
