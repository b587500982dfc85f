"""`simlib twins`: how sparse models will differ from dense twins, by laws fitted elsewhere."""

from __future__ import annotations

import datetime
import shlex
import sys

import click

import simlib
from simlib.analysis.twins import CATALOG, TwinForecast, forecast_pairs, read_pairs
from simlib.cli.options import level_option
from simlib.cli.output import force_option, saved


@click.command()
@click.option("--table", default="sparsellm-1b", show_default=True, help="A shipped set of pairs.")
@level_option
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
def command(table: str, level: float, save: str | None, force: bool) -> None:
    """Forecast the loss of sparse models less that of dense twins on the same data."""
    path = saved(save, CATALOG.folder, force) if save else None
    found = forecast_pairs(read_pairs(table), level=level)
    if path:
        made = {
            "command": shlex.join(["simlib", *sys.argv[1:]]),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "simlib": simlib.__version__,
        }
        CATALOG.write(path, TwinForecast(table, level, found, made))
    for d in found:
        click.echo(
            f"{d.pair:6} {d.law:22} size term of {d.size_term:22} {d.difference:+.4f} "
            f"({d.low:+.4f} to {d.high:+.4f}), equal to {d.dense_equal:.3g} dense"
        )
