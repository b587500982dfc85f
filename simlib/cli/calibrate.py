"""`simlib calibrate`: what a table's smaller runs would have said of its larger ones."""

from __future__ import annotations

import click
from pydantic import TypeAdapter

from simlib.analysis.calibration import (
    CATALOG,
    Score,
    ScoreFile,
    fit_some_predict_others,
    parted,
    smaller_half,
)
from simlib.analysis.regime import regime
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
from simlib.cli.reading import reading_options
from simlib.datasets.source import find_source
from simlib.fit import FORMS
from simlib.fit.objective import objective_for
from simlib.runs.foreign import TableReading

EXAMPLES = """
\b
Examples:
  simlib calibrate --runs t5-c4            the authors' 48 T5 runs
  simlib calibrate --runs my.csv --json    then give its "widen" to simlib plan --widen
"""


@click.command(epilog=EXAMPLES)
@click.option("--runs", "table", required=True, help="A released or shipped table, or a path.")
@reading_options
@click.option(
    "--share",
    type=float,
    default=0.5,
    show_default=True,
    help="Share of the runs to fit: those of least size times data.",
)
@click.option(
    "--fit-where", help="Fit the runs for which this is true instead: nonzero_params<1e9."
)
@click.option("--on", "other", help="Fit the whole table, forecast the runs of this other one.")
@click.option("--form", type=click.Choice(list(FORMS)), default="joint", show_default=True)
@regime_option
@curves_option
@level_option
@click.option(
    "--resamples",
    type=click.IntRange(20, MOST_RESAMPLES),
    default=1000,
    show_default=True,
    help="Size of the bootstrap ensemble.",
)
@seed_option
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
@json_option
def command(
    table: str,
    reading: TableReading,
    share: float,
    fit_where: str | None,
    other: str | None,
    form: str,
    cut: bool,
    whole: bool,
    level: float,
    resamples: int,
    seed: int,
    save: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fit a law to a table's smaller runs, forecast the others, and score the forecasts."""
    path = saved(save, CATALOG.folder, force) if save else None
    source = find_source(table, reading=reading)
    runs = regime(source.runs).holds(source.runs) if cut else source.runs
    if other:
        parts = runs, find_source(other, reading=reading).runs
    else:
        parts = parted(runs, fit_where) if fit_where else smaller_half(runs, share)
    found = fit_some_predict_others(
        *parts,
        FORMS[form],
        objective=objective_for(table, None, None),
        level=level,
        resamples=resamples,
        seed=seed,
        name=source.name,
        whole=whole or source.curves,
    )
    score = found.score
    if path:
        CATALOG.write(
            path, ScoreFile(path.stem, None if other or fit_where else share, made(source), score)
        )
    if as_json:
        click.echo(TypeAdapter(Score).dump_json(score).decode())
        return
    click.echo(
        f"{score.fitted_runs} smaller runs fitted, {score.predicted_runs} larger ones predicted\n"
        f"inside their {score.level:.0%} interval: {score.coverage:.0%}\n"
        f"bias {score.bias:+.2%}, root mean square {score.rmse:.2%}\n"
        f"to hold {score.level:.0%} of them, intervals have to be {score.widen:.2f} times as wide"
    )
