"""`simlib evidence`: every grid of the book that has a table, and what its table lacks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simlib.cli.options import workers_option
from simlib.errors import InputError
from simlib.pages.grids import grids_with_tables
from simlib.pages.notebooks import notebook_folder

if TYPE_CHECKING:
    from simlib.sweep.plan import SweepPlan

EXAMPLES = """
\b
Examples:
  simlib evidence --dry-run             what is there, what is missing, hours and disk
  simlib evidence                       train what is missing, grid after grid
  simlib evidence --only gpt-laptop     one grid
  simlib evidence --fresh mine          all of it once more, into tables of your own
"""


@click.command(epilog=EXAMPLES)
@click.option("--dry-run", is_flag=True, help="Only say what there is to do.")
@click.option("--only", multiple=True, metavar="GRID", help="A grid's name; repeatable.")
@click.option("--out", default="runs/evidence", show_default=True, help="Folder of the runs.")
@click.option(
    "--fresh",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Put the tables there, and train all that they lack.",
)
@workers_option
def command(
    dry_run: bool, only: tuple[str, ...], out: str, fresh: Path | None, workers: int | None
) -> None:
    """Train what the tables of the book's grids lack, one grid after another.

    A grid's table is the shipped one of its name, or for a grid underway the file beside it. Rows
    come into the table as a grid ends; the same command goes on after any interruption.
    """
    from simlib.cli.sweep import run_grid

    todo: dict[Path, Path] = {}
    hours, disk = 0.0, 0
    for grid, table in _grids(only, fresh):
        planned = _plan(grid, table, out, workers)
        if planned is not None:
            todo[grid] = table
            click.echo(_line(grid, planned))
            hours, disk = hours + (planned.hours or 0.0), disk + planned.disk_bytes
    said = f"in all about {hours:.1f} hours and {disk / 1e6:,.0f} MB, less what grids share"
    click.echo(said if todo else "nothing is missing that could be trained here")
    if dry_run:
        return
    failed = [grid.stem for grid, table in todo.items() if not run_grid(grid, out, table, workers)]
    if failed:
        click.echo(
            f"runs failed in {', '.join(failed)}: the same command tries them again", err=True
        )
    sys.exit(1 if failed else 0)


def _grids(only: tuple[str, ...], fresh: Path | None) -> list[tuple[Path, Path]]:
    """Every grid with its table, those of shipped tables first."""
    found = grids_with_tables(notebook_folder() / "grids")
    if fresh is not None:
        found = [(grid, fresh / f"{grid.parent.name}-{table.name}") for grid, table in found]
    chosen = [pair for pair in found if not only or pair[0].stem in only]
    if missing := set(only) - {grid.stem for grid, _ in chosen}:
        raise InputError(f"no grid {min(missing)!r} has a table: {', '.join(_stems(found))} have")
    return chosen


def _stems(found: list[tuple[Path, Path]]) -> list[str]:
    return list(dict.fromkeys(grid.stem for grid, _ in found))


def _plan(grid: Path, table: Path, out: str, workers: int | None) -> SweepPlan | None:
    """What a grid takes; None where nothing is missing, said in a line where data are."""
    from simlib.runs.table import recorded_runs
    from simlib.sweep import read_grid
    from simlib.sweep.plan import plan

    known = recorded_runs(table)
    configs = read_grid(grid).configs
    if {c.run_id for c in configs} <= {r.run_id for r in known}:
        return None
    try:
        return plan(configs, out, workers, known)
    except InputError as error:
        click.echo(f"{grid.stem}: cannot be trained here, {error}", err=True)
        return None


def _line(grid: Path, planned: SweepPlan) -> str:
    hours = "hours unknown" if planned.hours is None else f"about {planned.hours:.1f} hours"
    counts = f"{planned.recorded} rows recorded, {len(planned.configs)} to train"
    disk = f"{planned.disk_bytes / 1e6:,.0f} MB"
    return f"{grid.stem}: {counts}, {hours} with {planned.workers} workers, {disk}"
