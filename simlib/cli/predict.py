"""`simlib predict`: what laws say of a grid's runs before they are trained."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import TypeAdapter

from simlib.analysis.calibration import smaller_half
from simlib.analysis.predictions import (
    CATALOG,
    Predictions,
    by_form,
    fit_forms,
    planned,
    predict,
    recorded,
)
from simlib.analysis.regime import regime
from simlib.cli.compare import HELD_OUT
from simlib.cli.fit import made
from simlib.cli.options import (
    MOST_RESAMPLES,
    curves_option,
    json_option,
    level_option,
    regime_option,
    seed_option,
)
from simlib.cli.output import force_option, saved
from simlib.datasets import load_law
from simlib.datasets.source import find_source
from simlib.errors import InputError
from simlib.fit.compare import COMPARED, Target
from simlib.fit.objective import objective_for

EXAMPLES = """
\b
Examples:
  simlib predict --law gpt-laptop --grid notebooks/grids/holdout-laptop.yaml
  simlib predict --law gpt-laptop --runs gpt-laptop --grid notebooks/grids/holdout-laptop.yaml \\
      --save holdout.json     with every rival form fitted to the same runs
  simlib predict --runs t5-c4 --json     the run that the authors held out
  simlib predict --runs my.csv --share 0.5     the larger half from the smaller one
  simlib predict --runs gpt-laptop --regime --curves --grid notebooks/grids/holdout-laptop.yaml \\
      --save holdout.json     before the runs of the grid are trained
"""


@click.command(epilog=EXAMPLES)
@click.option("--law", help="A shipped law, or the path of a law file.  [default: fitted to RUNS]")
@click.option("--runs", "table", help="The table to fit the other forms to; without it, no rival.")
@click.option(
    "--grid",
    type=click.Path(path_type=Path),
    help="A grid of runs.  [default: what a released table holds out]",
)
@click.option(
    "--form", "forms", type=click.Choice(COMPARED), multiple=True, help="Several; all by default."
)
@click.option(
    "--share", type=float, help="Fit this share of RUNS, the smaller ones, and predict the others."
)
@regime_option
@curves_option
@level_option
@click.option(
    "--resamples",
    type=click.IntRange(20, MOST_RESAMPLES),
    default=400,
    show_default=True,
    help="Size of the bootstrap ensembles.",
)
@seed_option
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
@json_option
def command(
    law: str | None,
    table: str | None,
    grid: Path | None,
    forms: tuple[str, ...],
    share: float | None,
    cut: bool,
    whole: bool,
    level: float,
    resamples: int,
    seed: int,
    save: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Predict the runs of a grid, which need not have been trained, by every form of a law."""
    if not (law or table):
        raise InputError("give a law to predict with, --law, or runs to fit laws to, --runs")
    if share is not None and (law or grid or not table):
        raise InputError("--share splits a table: give it with --runs, without --law and --grid")
    path = saved(save, CATALOG.folder, force) if save else None
    laws = by_form(load_law(law)) if law else {}
    how = load_law(law).made | {"law": law} if law else {}
    name = grid.stem if grid else f"{table}-held-out"
    targets = [] if share else _targets(grid, table)
    if table:
        source = find_source(table)
        runs = regime(source.runs).holds(source.runs) if cut else source.runs
        if share:
            runs, others = smaller_half(runs, share)
            targets = recorded(others)
        rivals = [form for form in forms or COMPARED if form not in laws]
        laws |= fit_forms(
            runs,
            rivals,
            objective_for(table, None, None),
            resamples=resamples,
            seed=seed,
            whole=whole,
        )
        how |= made(source)
    found = predict(path.stem if path else name, how, laws, targets, level)
    if path:
        CATALOG.write(path, found)
    if as_json:
        click.echo(TypeAdapter(Predictions).dump_json(found).decode())
    else:
        click.echo(_text(found))


def _targets(grid: Path | None, table: str | None) -> list[Target]:
    if grid is None:
        held_out = HELD_OUT.get(table or "", ())
        if not held_out:
            raise InputError(f"no run is held out of {table or 'nothing'}: name a grid with --grid")
        return [
            Target(run.name, run.sparsity, run.nonzero_params, run.data_seen, run.loss)
            for run in held_out
        ]
    from simlib.sweep import read_grid

    return planned(read_grid(grid).configs)


def _text(found: Predictions) -> str:
    lines = []
    for run in found.runs:
        lines.append(
            f"{run.run_id}: {run.nonzero_params:,.0f} non-zero, {run.sparsity:.1%} sparse, "
            f"{run.data_seen:,.0f} seen"
        )
        for form, said in run.forecasts.items():
            words = "does not predict it"
            if said:
                words = f"{said.loss:.4f} ({said.low:.4f} to {said.high:.4f})"
            lines.append(f"  {form:16} {words}")
    return "\n".join(lines)
