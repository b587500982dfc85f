"""The state of torch that decides bits and speed, set for the time of a run."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from simlib import __version__
from simlib.config import RunConfig
from simlib.errors import InputError
from simlib.models.compiled import why_not


@contextmanager
def settings(config: RunConfig) -> Iterator[None]:
    """Threads, deterministic kernels and flushed denormals, as they were before on leaving.

    Same config, machine and thread count then give the same bits. Another thread count, another
    processor type, another torch or bfloat16 support by other hardware need not: they add up in
    another order. Denormals (the optimizer state of a weight that gets no gradient decays into
    them) are flushed to zero because they slow a step down several times.
    """
    check_device(config)
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(config.threads)
    torch.set_flush_denormal(True)
    if config.device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(deterministic)


def check_device(config: RunConfig) -> None:
    """Raise InputError if the device of `config`, or the kernels it asks for, are not there."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' is not available to torch here: use device 'cpu'")
    sparse = config.sparsity and config.kernels == "sparse"
    for wanted, kernels in ((sparse, "sparse"), (config.compute == "fused", "fused")):
        if wanted and (reason := why_not(kernels)):
            raise InputError(reason)


@lru_cache(maxsize=1)
def versions() -> str:
    """Versions that decide the bits, for the run record."""
    return (
        f"simlib {__version__}, torch {torch.__version__}, numpy {np.__version__}, "
        f"python {platform.python_version()}"
    )


@lru_cache(maxsize=1)
def commit() -> str:
    """Commit of the source tree that simlib runs from; empty if it is not one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
