"""`simlib fit`: a run table in, a law with intervals out."""

from __future__ import annotations

import datetime
import json
import shlex
import sys
from dataclasses import replace
from typing import Any

import click
from tqdm import tqdm

import simlib
from simlib.cli.options import (
    MOST_RESAMPLES,
    MOST_STARTS,
    curves_option,
    delta_option,
    json_option,
    level_option,
    log_option,
    regime_option,
    seed_option,
)
from simlib.cli.output import force_option, saved
from simlib.cli.reading import reading_options
from simlib.datasets import FOLDER, WORLD
from simlib.datasets.adapter import adapter_names
from simlib.datasets.published import Count
from simlib.datasets.source import Source, find_source
from simlib.fit import FORMS, QUANTITIES, FittedLaw, fit, stages
from simlib.fit.authors import release_fit
from simlib.fit.objective import objective_for
from simlib.laws.law import Indices
from simlib.runs.foreign import TableReading
from simlib.runs.table import RunTable

PROFILE_RESAMPLES = 200
EXAMPLES = """
\b
Examples:
  simlib fit --runs t5-c4                  the authors' 48 T5 runs, with intervals
  simlib fit --runs my.csv --json          your own run table, for a machine
  simlib fit --runs my.csv --save my.json  a law file for `simlib optimum --law`
  simlib fit --runs my.csv --columns nonzero_params=n*1e6,data_seen=tokens,loss=val,sparsity=s
  simlib fit --runs clark-sbase            somebody else's table: `simlib tables` lists them
  simlib fit --runs log.jsonl --columns data_seen=step*524288,... --last-per run --best-per N,D,S
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--runs", "table", required=True, help="A table of `simlib tables`, a shipped one, or a path."
)
@reading_options
@click.option("--form", type=click.Choice(list(FORMS)), default="joint", show_default=True)
@delta_option
@log_option
@click.option(
    "--count",
    type=click.Choice(["nominal", "body", "total"]),
    default="nominal",
    show_default=True,
    help="Which parameters N counts (released T5 runs only).",
)
@click.option(
    "--procedure",
    default="global",
    show_default=True,
    type=click.Choice(["global", "authors", "authors-sum", "published"]),
    help="Ours, the release's (BFGS on the mean or the sum), or no fit at all.",
)
@click.option("--starts", type=click.IntRange(1, MOST_STARTS), default=25, show_default=True)
@click.option(
    "--resamples",
    type=click.IntRange(0, MOST_RESAMPLES),
    default=1000,
    show_default=True,
    help="Size of the bootstrap ensemble; 0 for none.",
)
@regime_option
@curves_option
@level_option
@seed_option
@click.option("--save", help="Write a law file: a path ending in .json.")
@force_option
@json_option
def command(
    table: str,
    reading: TableReading,
    form: str,
    delta: float | None,
    log: bool | None,
    count: Count,
    procedure: str,
    starts: int,
    resamples: int,
    cut: bool,
    whole: bool,
    level: float,
    seed: int,
    save: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fit a law to a table of runs: the global optimum, its ensemble and its intervals.

    Exit code 0: converged; 1: the fit did not converge; 2: the request or the table is wrong.
    """
    # FOLDER holds what is planned with: joint laws of pruned models
    folder = WORLD if table in adapter_names() or form != "joint" else FOLDER
    path = saved(save, folder, force) if save else None
    source = find_source(table, count, reading)
    objective = objective_for(table, delta, log)
    runs = source.runs
    if cut:
        from simlib.analysis.regime import regime  # brings SciPy, which a fit need not wait for

        runs = regime(runs).holds(runs)
    if procedure == "global":
        whole = whole or source.curves
        # profiles through thousands of points along runs take too long for a command
        profile = PROFILE_RESAMPLES if resamples and not source.curves else 0
        with tqdm(total=stages(resamples, profile), leave=False, delay=1) as bar:

            def begin(name: str) -> None:
                bar.set_description(name, refresh=False)  # a short fit shows no bar
                bar.update()

            law = fit(
                runs,
                FORMS[form],
                objective,
                name=source.name,
                starts=starts,
                resamples=resamples,
                profile_resamples=profile,
                level=level,
                seed=seed,
                clusters=_curves(runs) if whole else None,
                stage=begin,
                quantities=QUANTITIES if form in ("joint", "fixed-data") else None,
            )
    else:
        law = release_fit(procedure, source.name, runs, objective, starts=starts, seed=seed)
    law = replace(law, made=made(source))
    if path:
        law = replace(law, name=path.stem)
        law.save(path)
    click.echo(json.dumps(_object(law)) if as_json else law.summary())
    sys.exit(1 if law.status == "not converged" else 0)


def _curves(runs: RunTable) -> Indices:
    from simlib.runs.cells import curve_index  # as above

    return curve_index(runs.sparsity, runs.nonzero_params)


def made(source: Source) -> dict[str, str]:
    """How a file that this command writes was made."""
    return {
        "command": shlex.join(["simlib", *sys.argv[1:]]),
        "table": source.name,
        "table_sha256": source.sha256,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "simlib": simlib.__version__,
    }


def _object(law: FittedLaw) -> dict[str, Any]:
    record = {key: value for key, value in law.record().items() if key != "form"}
    return {**record, "decides": law.decides, "why_not": law.why_not}
