"""A grid trained where it is read: in a notebook, at the scale that its parameter names."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.sweep.grid import enlarge, read_grid
from simlib.sweep.run import SweepResult, sweep
from simlib.train.progress import NotebookProgress

SCALES = ("ci", "laptop", "gpu")
GPU_SIZE, GPU_DATA = 64, 16  # times the weights and the data of the laptop's grid


def runs_at(scale: str, grids: Path, name: str) -> list[RunConfig]:
    """The runs of the grid `name` in the folder `grids` at a scale: ci, laptop or gpu.

    They are those of `NAME-ci.yaml`, of `NAME-laptop.yaml`, or of the latter with 64 times the
    weights and 16 times the data on a GPU. Raises InputError for another scale or a missing file.
    """
    if scale not in SCALES:
        raise InputError(f"grid {scale!r} is unknown: use {', '.join(SCALES)}")
    kind = "ci" if scale == "ci" else "laptop"
    configs = list(read_grid(grids / f"{name}-{kind}.yaml").configs)
    return enlarge(configs, GPU_SIZE, GPU_DATA, device="cuda") if scale == "gpu" else configs


def train_here(configs: Sequence[RunConfig]) -> tuple[SweepResult, Path]:
    """Train runs in a new temporary folder with their progress drawn; the result and the folder.

    Raises InputError for what `sweep` refuses, and with its reason for the first run that failed.
    """
    folder = Path(tempfile.mkdtemp(prefix="runs-"))
    result = sweep(configs, folder, progress=NotebookProgress())
    if result.failures:
        raise InputError(result.failures[0].reason)
    return result, folder
