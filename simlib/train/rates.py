"""The learning rate at every step."""

from __future__ import annotations

import math

from simlib.runs.config import RunConfig


def lr_at(config: RunConfig, t: int) -> float:
    """Learning rate of optimizer step `t`, 1 for the first.

    constant: linear warm-up, then `lr`. rsqrt: then `lr * sqrt(warmup / t)` (the T5 recipe).
    Both end with a linear fall to zero over the last `cooldown` share of the steps. cosine:
    half a cosine from `lr` to zero over the whole run, times the warm-up.
    """
    warm = min(1.0, t / config.warmup_steps) if config.warmup_steps else 1.0
    if config.lr_schedule == "cosine":
        done = (t - 1) / config.total_steps
        return config.peak_lr * warm * 0.5 * (1 + math.cos(math.pi * done))
    decay = 1.0
    if config.lr_schedule == "rsqrt":
        hold = max(1, config.warmup_steps)
        decay = math.sqrt(hold / max(t, hold))
    return config.peak_lr * warm * decay * _fall(config, t)


def _fall(config: RunConfig, t: int) -> float:
    left, length = config.total_steps - t + 1, config.total_steps - config.cooldown_step + 1
    return min(1.0, left / length)
