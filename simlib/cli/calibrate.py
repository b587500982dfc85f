"""`simlib calibrate`: what a table's smaller runs would have said of its larger ones."""

from __future__ import annotations

import click
from pydantic import TypeAdapter

from simlib.analysis.calibration import CATALOG, Score, ScoreFile, fit_small_predict_large
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
from simlib.datasets.source import find_source
from simlib.fit.objective import objective_for

EXAMPLES = """
\b
Examples:
  simlib calibrate --runs t5-c4            the authors' 48 T5 runs
  simlib calibrate --runs my.csv --json    then give its "widen" to simlib plan --widen
"""


@click.command(epilog=EXAMPLES)
@click.option("--runs", "table", required=True, help="A released or shipped table, or a path.")
@click.option("--columns", help="Your own column names, as field=column or field=column*factor.")
@click.option(
    "--share",
    type=float,
    default=0.5,
    show_default=True,
    help="Share of the runs to fit: those of least size times data.",
)
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
    columns: str | None,
    share: float,
    cut: bool,
    whole: bool,
    level: float,
    resamples: int,
    seed: int,
    save: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fit the joint law to a table's smaller runs, forecast the others, and score the forecasts."""
    path = saved(save, CATALOG.folder, force) if save else None
    source = find_source(table, names=columns)
    found = fit_small_predict_large(
        regime(source.runs).holds(source.runs) if cut else source.runs,
        objective=objective_for(table, None, None),
        share=share,
        level=level,
        resamples=resamples,
        seed=seed,
        name=source.name,
        whole=whole,
    )
    score = found.score
    if path:
        CATALOG.write(path, ScoreFile(path.stem, share, made(source), score))
    if as_json:
        click.echo(TypeAdapter(Score).dump_json(score).decode())
        return
    click.echo(
        f"{score.fitted_runs} smaller runs fitted, {score.predicted_runs} larger ones predicted\n"
        f"inside their {score.level:.0%} interval: {score.coverage:.0%}\n"
        f"bias {score.bias:+.2%}, root mean square {score.rmse:.2%}\n"
        f"to hold {score.level:.0%} of them, intervals have to be {score.widen:.2f} times as wide"
    )
