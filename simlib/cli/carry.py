"""`simlib carry` and `simlib collect`: a grid to a machine with PyTorch alone, and back."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simlib.cli.output import force_option, free
from simlib.errors import InputError

if TYPE_CHECKING:
    from simlib.runs.table import RunTable

EXAMPLES = """
\b
Examples:
  simlib carry notebooks/grids/gpt-gpu.yaml --to gpt-gpu.zip
  python gpt-gpu.zip --minutes 25                                  (there)
  python gpt-gpu.zip --minutes 25 --continue gpt-gpu-runs.zip      (there, or on another machine)
  simlib collect gpt-gpu-runs.zip --out runs/gpt-gpu --table gpt-gpu.csv
"""


@click.command(epilog=EXAMPLES)
@click.argument("grid", type=click.Path(path_type=Path))
@click.option("--to", "path", required=True, type=click.Path(path_type=Path), help="The zip.")
@force_option
@click.option("--only", multiple=True, help="field=value or the start of a run_id; repeatable.")
def carry(grid: Path, path: Path, only: tuple[str, ...], force: bool) -> None:
    """Pack GRID, this library, what it needs and the embedded corpus into one zip.

    `python ZIP` trains the grid on a machine of the same system and Python version that has
    PyTorch, whatever else it lacks, and packs its runs. It needs no network and installs nothing.
    """
    from simlib.sweep.carry import pack

    free(path, force)
    packed = pack(grid, path, only)
    size = path.stat().st_size / 1e6
    click.echo(f"{len(packed.configs)} runs in {path}, {size:.0f} MB: python {path.name} --help")


@click.command(epilog=EXAMPLES)
@click.argument("archives", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, help="Folder of the run table.")
@click.option("--table", help="File for the rows of the archives alone.")
@force_option
def collect(archives: tuple[Path, ...], out: str, table: str | None, force: bool) -> None:
    """Add the runs of ARCHIVES, which carried jobs left, to OUT/runs.csv."""
    from simlib.runs.table import RunTable
    from simlib.sweep.collect import collect as add

    rows = RunTable([])
    for archive in archives:
        found = add(archive, out)
        rows = rows.merge(found.rows)
        click.echo(f"{archive}: {len(found.new)} runs that {out}/runs.csv did not hold")
    if table:
        _write(table, rows, force)


def _write(table: str, rows: RunTable, force: bool) -> None:
    """Write a table, or leave it if it holds just these rows already."""
    from simlib.runs.table import read_table, write_table

    with suppress(InputError):
        if list(read_table(table)) == list(rows):
            return
    write_table(free(table, force), rows)
