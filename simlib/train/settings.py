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
from simlib.errors import InputError
from simlib.models.compiled import why_not
from simlib.runs.config import RunConfig

CARRIED_COMMIT = "COMMIT"  # file beside carried source


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


def cpu() -> str:
    """The vector instructions that torch chose here, as in AVX512, for the run record."""
    return str(torch.backends.cpu.get_cpu_capability())


@lru_cache(maxsize=1)
def commit() -> str:
    """What `source_commit` says of this library: asked for once a process, before it trains.

    Source that is edited later is not what runs.
    """
    return source_commit(Path(__file__).parents[2])


def source_commit(root: Path) -> str:
    """Commit of the source tree at `root`, with "-dirty" if code of simlib differs from it.

    Empty if it is in no repository. Carried source brings the commit that it was packed from.
    """
    if (root / CARRIED_COMMIT).is_file():
        return (root / CARRIED_COMMIT).read_text()
    if not (root / ".git").exists():
        return ""
    found = _git(root, "rev-parse", "HEAD")
    edited = _git(root, "status", "--porcelain", "--", "simlib/*.py", "simlib/*.c")
    return f"{found}-dirty" if found and edited else found


def _git(root: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # there is no git here
        return ""
    return done.stdout.strip()
