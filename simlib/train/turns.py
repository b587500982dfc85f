"""Times of several actions, taken in turn so that a busy machine slows all of them alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch

Action = Callable[[], object]
LEAST_SECONDS = 0.002  # of one measurement; shorter actions are repeated within it


def alternate(actions: dict[str, Action], rounds: int, device: str) -> dict[str, np.ndarray]:
    """Seconds a call of every action, shape (rounds,): in turn, every other round backwards."""
    calls = {name: _calls(action, device) for name, action in actions.items()}
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds):
        for name in list(actions)[:: 1 if turn % 2 else -1]:
            seconds[name].append(_time(actions[name], calls[name], device) / calls[name])
    return {name: np.array(s) for name, s in seconds.items()}


def _calls(action: Action, device: str) -> int:
    _time(action, 1, device)  # the first call sets things up
    return max(1, math.ceil(LEAST_SECONDS / max(_time(action, 1, device), 1e-6)))


def _time(action: Action, calls: int, device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    _wait(device)
    began = clock()
    for _ in range(calls):
        action()
    _wait(device)
    return clock() - began


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
