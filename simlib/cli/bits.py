"""`simlib bits`: forecast runs of few bits that a law has not seen, and hold them against it."""

from __future__ import annotations

import datetime
import shlex
import sys
from dataclasses import replace

import click

import simlib
from simlib.analysis.bitforecast import (
    CATALOG,
    LAW,
    BitForecast,
    forecast_bits,
    heldout_runs,
    judge,
)
from simlib.analysis.bitworth import law_beside
from simlib.analysis.splitcheck import forecast_splits
from simlib.cli.fit import made
from simlib.cli.options import level_option
from simlib.cli.output import force_option, saved
from simlib.datasets import WORLD, load_law
from simlib.datasets.source import find_source


@click.command()
@click.option("--law", "law_name", default=LAW, show_default=True, help="A law of the form bits.")
@level_option
@click.option(
    "--worth-of",
    help="Instead: the law with the worth of bits of this table, which cannot carry its own.",
)
@click.option("--grid", help="Forecast the splits of this grid, a YAML file, instead.")
@click.option("--judge", "judged", help="Hold these forecasts, saved before, against the runs.")
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
def command(
    law_name: str,
    level: float,
    worth_of: str | None,
    grid: str | None,
    judged: str | None,
    save: str | None,
    force: bool,
) -> None:
    """Forecast QuEST's largest models and those of 4:8 zeros, or a grid, by a law of bits."""
    path = saved(save, WORLD if worth_of else CATALOG.folder, force) if save else None
    if worth_of:
        source = find_source(worth_of)
        name = path.stem if path else source.name
        law = replace(law_beside(load_law(law_name), source.runs, name), made=made(source))
        if path:
            law.save(path)
        click.echo(law.summary())
        return
    runs = {} if grid else heldout_runs()
    how = {
        "command": shlex.join(["simlib", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "simlib": simlib.__version__,
    }
    if judged:
        found = CATALOG.load(judged)
        scatter = load_law(found.law).log_rmse
        routes = judge(found.forecasts, runs, scatter, found.level)
        found = replace(found, made=how, routes=routes)
    else:
        law = load_law(law_name)
        if grid:
            from simlib.sweep.grid import read_grid  # brings torch, which the rest need not

            forecasts = forecast_splits(read_grid(grid).configs, law, level)
        else:
            forecasts = forecast_bits(runs, law, level)
        found = BitForecast(law_name, level, forecasts, how, [])
    if path:
        CATALOG.write(path, found)
    for f in found.forecasts:
        click.echo(
            f"{f.group:8} {f.nonzero_params:.3g} non-zero, {f.sparsity:.0%} sparse, "
            f"{f.bits:2} bits, zeros by {f.route or 'no other law':12} "
            f"{f.loss:.4f} ({f.low:.4f} to {f.high:.4f})"
        )
    for r in found.routes:
        click.echo(
            f"{r.group:8} zeros by {r.route or 'no other law':12} {r.mean:+.2%} "
            f"({r.low:+.2%} to {r.high:+.2%}), {r.verdict}"
        )
