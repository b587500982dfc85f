"""`simlib compare`: every form of a law on one run table, in sample and out of it."""

from __future__ import annotations

import json

import click
from pydantic import TypeAdapter

from simlib.analysis.regime import Regime, regime
from simlib.cli.fit import made
from simlib.cli.options import (
    MOST_RESAMPLES,
    delta_option,
    json_option,
    level_option,
    log_option,
    regime_option,
    seed_option,
)
from simlib.cli.output import force_option, saved
from simlib.cli.reading import reading_options
from simlib.datasets import load_runs
from simlib.datasets.published import T5_XL, HeldOutRun
from simlib.datasets.source import find_source
from simlib.errors import InputError
from simlib.fit.compare import COMPARED, Comparison, Target, compare
from simlib.fit.comparefile import CATALOG, ComparisonFile
from simlib.fit.objective import objective_for
from simlib.runs.foreign import TableReading

HELD_OUT: dict[str, tuple[HeldOutRun, ...]] = {"t5-c4": (T5_XL,)}  # that the release measured
EXAMPLES = """
\b
Examples:
  simlib compare --runs t5-c4                             the authors' 48 T5 runs
  simlib compare --runs my.csv --form joint --form capacity --resamples 200
  simlib compare --runs my.csv --held-out large.csv --json   and predict the runs of large.csv
"""


@click.command(epilog=EXAMPLES)
@click.option("--runs", "table", required=True, help="A released or shipped table, or a path.")
@reading_options
@click.option(
    "--form", "forms", type=click.Choice(COMPARED), multiple=True, help="Several; all by default."
)
@click.option("--held-out", help="A table of runs beyond the first, to be predicted.")
@regime_option
@delta_option
@log_option
@click.option(
    "--resamples",
    type=click.IntRange(0, MOST_RESAMPLES),
    default=1000,
    show_default=True,
    help="Size of ensembles and tables behind each p-value; 0 for neither.",
)
@level_option
@seed_option
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
@json_option
def command(
    table: str,
    reading: TableReading,
    forms: tuple[str, ...],
    held_out: str | None,
    cut: bool,
    delta: float | None,
    log: bool | None,
    resamples: int,
    level: float,
    seed: int,
    save: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compare forms of a law on one table: fit, held-out errors, criteria, tests, predictions.

    With --regime, runs on less data than the table's own learning asks for are left out, of the
    table and of the held-out one.
    """
    path = saved(save, CATALOG.folder, force) if save else None
    source = find_source(table, reading=reading)
    only = regime(source.runs) if cut else None
    found = compare(
        only.holds(source.runs) if only else source.runs,
        forms or COMPARED,
        objective_for(table, delta, log),
        targets=_targets(table, held_out, only),
        resamples=resamples,
        level=level,
        seed=seed,
    )
    if path:
        CATALOG.write(path, ComparisonFile(path.stem, made(source), found))
    whole = TypeAdapter(Comparison).dump_python(found, mode="json")
    click.echo(json.dumps(whole) if as_json else _text(table, found))


def _targets(table: str, held_out: str | None, only: Regime | None) -> list[Target]:
    if held_out is None:
        return [
            Target(run.name, run.sparsity, run.nonzero_params, run.data_seen, run.loss)
            for run in HELD_OUT.get(table, ())
        ]
    runs = load_runs(held_out).finished
    runs = only.holds(runs) if only else runs
    if not len(runs):
        raise InputError(
            f"{held_out} has no finished run to predict" + " in the regime" * bool(only)
        )
    return [
        Target(r.run_id or f"run {i}", r.sparsity, r.nonzero_params, r.data_seen, r.loss)
        for i, r in enumerate(runs, start=1)
    ]


def _text(table: str, found: Comparison) -> str:
    kinds = [h.name for h in found.assessments[0].holdouts]
    lines = [f"{table}: {found.runs} runs; errors are log-RMSE"]
    lines.append(
        f"{'form':16} {'k':>2} {'in sample':>9} "
        + " ".join(f"{k:>16}" for k in kinds)
        + f" {'AICc':>8} {'BIC':>8}"
    )
    for a in found.assessments:
        errors = " ".join(f"{_percent(a.holdout(k).log_rmse):>16}" for k in kinds)
        aicc = "-" if a.aicc is None else f"{a.aicc:.1f}"
        head = f"{a.form:16} {a.parameters:2} {_percent(a.log_rmse):>9}"
        lines.append(f"{head} {errors} {aicc:>8} {a.bic:8.1f}")
        lines += [f"  {f.name}: {_forecast(f.loss, f.interval, f.measured)}" for f in a.forecasts]
    lines += [
        f"{t.question} {t.small} in {t.large}: p = {t.p_runs:.3g} by runs, {t.p_curves:.3g} by "
        f"curves, predictions change by at most {t.largest_change:.2%}"
        for t in found.tests
    ]
    lines += [f"not fitted: {name}: {why}" for name, why in found.refused.items()]
    lines += [f"not tested: {name}: {why}" for name, why in found.untested.items()]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _forecast(
    loss: float | None, interval: tuple[float | None, float | None] | None, measured: float | None
) -> str:
    said = "outside the law's domain" if loss is None else f"{loss:.4f}"
    if interval is not None:
        said += f" ({interval[0]:.4f} to {interval[1]:.4f})"
    return said + ("" if measured is None else f", measured {measured:.4f}")
