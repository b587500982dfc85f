"""A sweep as a program of its own, so that tests can kill it: `driver.py OUT`."""

import sys

from simlib.sweep import expand, sweep

BASE = {
    "depth": 1,
    "warmup_steps": 10,
    "valid_windows": 32,
    "mask_interval": 5,
    "seq_len": 32,
    "steps": 300,
}
ENTRIES = [
    {"nonzero_params": 6144, "sparsity": 0},
    {"nonzero_params": 3072, "sparsity": 0.5, "pruner": ["gmp", "set"]},
]


if __name__ == "__main__":
    sweep(expand(BASE, ENTRIES), sys.argv[1], workers=2, checkpoint_seconds=0.02)
