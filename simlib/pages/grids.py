"""The grids of the book, their tables, and what of them is still to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from simlib.datasets import table_names, table_path
from simlib.pages.tables import Table
from simlib.runs.config import RunConfig
from simlib.runs.table import recorded_runs


def grids_with_tables(folder: Path) -> list[tuple[Path, Path]]:
    """Every grid of `folder` with its table, those of shipped tables first.

    A grid's table is the shipped one of its name, or for a grid underway the file beside it,
    which need not be there yet.
    """
    shipped = [(folder / f"{name}.yaml", table_path(name)) for name in table_names()]
    underway = sorted((folder / "underway").glob("*.yaml"))
    return [
        *((grid, table) for grid, table in shipped if grid.is_file()),
        *((grid, grid.with_suffix(".csv")) for grid in underway),
    ]


def trained(planned: Sequence[RunConfig], table: Path) -> int:
    """How many of a grid's runs its table holds."""
    ids = {config.run_id for config in planned}
    return len(ids & {run.run_id for run in recorded_runs(table)})


def progress(planned: Sequence[RunConfig], table: Path) -> str:
    """How many of a grid's runs are trained, in words."""
    done = trained(planned, table)
    if done == len(planned):
        return f"all {done} runs of its grid"
    return f"{done} of the {len(planned)} runs of its grid; the others are still to be trained"


def may_change(planned: Sequence[RunConfig], table: Path) -> str:
    """What verdicts on a table of a grid rest on: runs that are there, or all of them."""
    if trained(planned, table) == len(planned):
        return "The power of the rules was computed before them"
    return (
        "Verdicts on them may change as the others come; the power of the rules is that on the "
        "runs that are there"
    )


def unfinished_table(grids: Mapping[str, tuple[Sequence[RunConfig], Path]]) -> Table | None:
    """How many runs are trained of each grid, by name, that lacks some; None if all are whole."""
    found = [(name, trained(*grid), len(grid[0])) for name, grid in grids.items()]
    rows = [(name, str(done), str(planned)) for name, done, planned in found if done < planned]
    return Table(("grid", "runs trained", "runs planned"), rows) if rows else None
