"""Sweeps: a grid of runs, trained in parallel, that cannot lose work."""

from simlib.sweep.grid import Grid, enlarge, expand, read_grid
from simlib.sweep.run import SweepResult, sweep

__all__ = ["Grid", "SweepResult", "enlarge", "expand", "read_grid", "sweep"]
