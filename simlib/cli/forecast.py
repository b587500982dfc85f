"""`simlib forecast`: the end of a training curve from its beginning."""

from __future__ import annotations

import datetime
import shlex
import sys
from pathlib import Path

import click

import simlib
from simlib.analysis.curveforecast import (
    CATALOG,
    CurveExample,
    CurveScores,
    LossCurve,
    forecast,
    learn,
    read_curves,
    score,
    shipped_curves,
)
from simlib.cli.options import level_option
from simlib.cli.output import force_option, saved
from simlib.datasets.adapter import adapter_names, load_adapter
from simlib.errors import InputError
from simlib.runs.curves import CATALOG as CURVES

SHARES = (0.2, 0.4, 0.6)
SHOWN = 4  # curves that are kept whole, for a chart
EXAMPLES = """
\b
Examples:
  simlib forecast --curves gpt-laptop            how well ends are told, curves left out in turn
  simlib forecast --curves log.jsonl --run run_id --data step*524288 --loss val_loss
  simlib forecast --curves done.csv --unfinished now.csv --end 1e11 ...   the end of what still runs
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--curves", "table", required=True, help="Finished curves: shipped, of `simlib tables`, a path."
)
@click.option("--run", default="run_id", show_default=True, help="Column that names a run.")
@click.option("--data", default="data_seen", show_default=True, help="Column or expression.")
@click.option("--loss", default="loss", show_default=True, help="Column or expression.")
@click.option("--group", default="", help="Runs that err together, such as a size.")
@click.option("--where", default="", help="Keep these rows.")
@click.option("--share", "shares", type=float, multiple=True, help="Of the data; several.")
@click.option("--unfinished", help="A table of curves that have begun, in the same columns.")
@click.option("--end", type=float, help="The data at which those will end.")
@level_option
@click.option("--save", help="Write the scores: a path ending in .json.")
@force_option
def command(
    table: str,
    run: str,
    data: str,
    loss: str,
    group: str,
    where: str,
    shares: tuple[float, ...],
    unfinished: str | None,
    end: float | None,
    level: float,
    save: str | None,
    force: bool,
) -> None:
    """Forecast the loss at the end of runs, as finished curves of the same recipe went on.

    Without --unfinished, each group of finished curves is forecast from the others, and scored.
    """
    path = saved(save, CATALOG.folder, force) if save else None
    columns = (run, data, loss, group, where)
    finished = _curves(table, columns)
    if unfinished:
        _forecast(finished, read_curves(Path(unfinished), *columns), end, level)
        return
    scores, examples = [], []
    for share in shares or SHARES:
        found, forecasts = score(finished, share, level)
        scores.append(found)
        step = max(1, len(finished) // SHOWN)
        examples += [
            CurveExample(c.name, share, c.data.tolist(), c.loss.tolist(), f)
            for c, f in list(zip(finished, forecasts, strict=True))[::step][:SHOWN]
        ]
        for method in found.methods:
            inside = "" if method.coverage is None else f", {method.coverage:.0%} inside"
            click.echo(f"{share:.0%} seen, {method.method}: {method.rmse:.2%}{inside}")
    if path:
        groups = sorted({c.group for c in finished})
        made = {
            "command": shlex.join(["simlib", *sys.argv[1:]]),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "simlib": simlib.__version__,
        }
        CATALOG.write(path, CurveScores(path.stem, level, groups, made, scores, examples))


def _curves(table: str, columns: tuple[str, str, str, str, str]) -> list[LossCurve]:
    if table in CURVES.names():
        return shipped_curves(table)
    return read_curves(
        load_adapter(table).path() if table in adapter_names() else Path(table), *columns
    )


def _forecast(
    finished: list[LossCurve], begun: list[LossCurve], end: float | None, level: float
) -> None:
    if end is None or not end > 0:
        raise InputError("--end says on how much data the unfinished curves will end: a number")
    for curve in begun:
        share = float(curve.data[-1] / end)
        found = forecast(learn(finished, share, level), curve)
        click.echo(
            f"{found.name}: {found.loss:.4f} ({found.low:.4f} to {found.high:.4f}) after {end:g}, "
            f"of which {share:.0%} is seen"
        )
