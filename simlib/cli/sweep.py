"""`simlib sweep`: a grid of runs from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simlib.cli.options import json_option, workers_option
from simlib.runs.config import RunConfig

if TYPE_CHECKING:
    from simlib.runs.table import RunRecord, RunTable
    from simlib.sweep import Grid, SweepResult

EXAMPLES = """
\b
Examples:
  simlib sweep notebooks/grids/gpt-ci.yaml --dry-run
  simlib sweep notebooks/grids/gpt-ci.yaml --out runs/gpt-ci --workers 2
  simlib sweep notebooks/grids/gpt-ci.yaml --only sparsity=0.75 --only seed=0
  simlib sweep notebooks/grids/nm-laptop.yaml --out runs/laptop --table nm-laptop.csv
  simlib sweep notebooks/grids/gpt-gpu.yaml --engine ray --address auto
"""


@click.command(epilog=EXAMPLES)
@click.argument("grid", type=click.Path(path_type=Path))
@click.option("--out", help="Folder of the run table.  [default: runs/NAME OF THE GRID]")
@click.option(
    "--table", help="File for the rows of GRID alone; those it has are not trained again."
)
@click.option("--dry-run", is_flag=True, help="Print runs, FLOP, hours here and disk; no training.")
@click.option("--only", multiple=True, help="field=value or the start of a run_id; repeatable.")
@workers_option
@click.option("--engine", default="local", show_default=True, help="local or ray.")
@click.option(
    "--address", help="Of a Ray cluster: host:port, auto or local.  [default: find or start one]"
)
@click.option("--gpu-share", type=float, help="Of a GPU, for one task on Ray.  [default: 1]")
@json_option
def command(
    grid: Path,
    out: str | None,
    table: str | None,
    dry_run: bool,
    only: tuple[str, ...],
    workers: int | None,
    engine: str,
    address: str | None,
    gpu_share: float | None,
    as_json: bool,
) -> None:
    """Train every run of GRID, a YAML file, that OUT/runs.csv and TABLE do not hold yet.

    Interrupted runs continue from their last checkpoint; each run has a log in its folder. Grids
    that share OUT share prefixes, and no run of theirs is trained twice.

    Exit code 0: all runs recorded; 1: one diverged or failed; 2: the request is wrong; 130:
    interrupted.
    """
    from simlib.runs.table import recorded_runs, write_table
    from simlib.sweep import read_grid

    whole = read_grid(grid)
    chosen = whole.only(only)
    folder = out or f"runs/{chosen.name}"
    known = recorded_runs(table) if table else None
    if dry_run:
        _show_plan(chosen, folder, workers, known, as_json)
        return
    try:
        place = {"engine": engine, "workers": workers, "address": address, "gpu_share": gpu_share}
        result = _sweep(chosen.configs, folder, known, place)
    except KeyboardInterrupt:
        click.echo("interrupted: the same command continues where it was", err=True)
        sys.exit(130)
    if table:
        write_table(table, _in_order(whole, (*(known or ()), *result.runs)))
    _report(result, folder, as_json)
    sys.exit(1 if result.failures or len(result.diverged) else 0)


def run_grid(grid: Path, folder: str, table: Path, workers: int | None) -> bool:
    """Train what a table lacks of its grid, and write it; whether all went well."""
    from simlib.runs.table import recorded_runs, write_table
    from simlib.sweep import read_grid

    whole, known = read_grid(grid), recorded_runs(table)
    result = _sweep(whole.configs, folder, known, {"workers": workers})
    write_table(table, _in_order(whole, (*known, *result.runs)))
    _report(result, folder, as_json=False)
    return not result.failures


def _in_order(grid: Grid, rows: Iterable[RunRecord]) -> RunTable:
    """Rows in the order of the grid, the later of two of one run; other rows at the end."""
    from simlib.runs.table import RunTable

    place = {c.run_id: i for i, c in enumerate(grid.configs)}
    last = {r.run_id: r for r in rows}
    return RunTable(sorted(last.values(), key=lambda r: place.get(r.run_id, len(place))))


def _sweep(
    configs: Sequence[RunConfig], folder: str, known: RunTable | None, place: dict[str, Any]
) -> SweepResult:
    from tqdm.contrib.logging import logging_redirect_tqdm

    from simlib.sweep import sweep
    from simlib.train import Folder, TerminalProgress

    done = {r.run_id for r in (*Folder(Path(folder)).recorded(), *(known or ()))}
    todo = [c for c in configs if c.run_id not in done]
    # what Ray prints belongs with the progress; stdout is for the result
    with redirect_stdout(sys.stderr), logging_redirect_tqdm(), TerminalProgress(todo) as progress:
        return sweep(configs, folder, progress=progress, known=known, **place)


def _show_plan(
    grid: Grid, folder: str, workers: int | None, known: RunTable | None, as_json: bool
) -> None:
    from simlib.sweep.plan import plan

    planned = plan(grid.configs, folder, workers, known)
    if as_json:
        click.echo(json.dumps({"grid": grid.name, "about": grid.about} | planned.as_dict()))
    else:
        click.echo(f"{grid.about}\n\n{planned.text()}")


def _report(result: SweepResult, folder: str, as_json: bool) -> None:
    for failure in result.failures:
        click.echo(f"{failure.task}: {failure.reason}; see {failure.log}", err=True)
    if as_json:
        content = {
            "table": f"{folder}/runs.csv",
            "recorded": len(result.runs),
            "diverged": [r.run_id for r in result.diverged],
            "failures": [{"task": f.task, "reason": f.reason} for f in result.failures],
        }
        click.echo(json.dumps(content))
        return
    click.echo(f"{len(result.runs)} runs in {folder}/runs.csv, {len(result.diverged)} diverged")
    if result.failures:
        click.echo("the same command tries the failed ones again", err=True)
