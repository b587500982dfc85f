"""`simlib carry` and `simlib collect`: a grid to a machine with PyTorch alone, and back."""

from __future__ import annotations

from pathlib import Path

import click

from simlib.cli.output import force_option, free

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
def collect(archives: tuple[Path, ...], out: str, table: str | None) -> None:
    """Add the runs of ARCHIVES, which carried jobs left, to OUT/runs.csv."""
    from simlib.runs.table import RunTable, write_table
    from simlib.sweep.carry import collect as add

    new = RunTable([])
    for archive in archives:
        found = add(archive, out)
        new = new.merge(found)
        click.echo(f"{archive}: {len(found)} runs that {out}/runs.csv did not hold")
    if table:
        write_table(table, new)
