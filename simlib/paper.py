"""What Frantar et al. 2024 (arXiv 2309.08520) did and found, where several rooms count on it."""

from __future__ import annotations

# section 3.1: dense for a quarter of training, a cubic ramp for half of it, then the final masks
PRUNE_START, PRUNE_END = 0.25, 0.75
RAMP_MEAN = 0.75  # of the cubic ramp `1 - (1 - u)^3`, as a share of the final sparsity
# mean share of the final sparsity over such a training: 0.625
MEAN_SHARE = (PRUNE_END - PRUNE_START) * RAMP_MEAN + (1 - PRUNE_END)

# section 4.3: by sparsity, how many times the data sparse training from scratch needs to match a
# pruned dense checkpoint
DATA_MULTIPLES = {0.5: 4.90, 0.75: 4.27, 0.875: 2.45}
