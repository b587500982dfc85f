"""`simlib fit`: a run table in, a law with intervals out."""

from __future__ import annotations

import datetime
import hashlib
import json
import shlex
import sys
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from tqdm import tqdm

import simlib
from simlib.cli.options import delta_option, json_option, level_option, log_option, seed_option
from simlib.cli.output import force_option, saved
from simlib.datasets import FOLDER, load_runs, table_path
from simlib.datasets.published import FILES, TABLE_NAMES, Count, find_file, released_runs
from simlib.errors import InputError
from simlib.fit import (
    DEFAULT_OBJECTIVE,
    FORMS,
    OBJECTIVES,
    QUANTITIES,
    FitResult,
    Objective,
    fit,
    stages,
)
from simlib.fit.authors import authors_procedure
from simlib.laws.law import PUBLISHED, T5_DATA_UNIT, VIT_DATA_UNIT, JointLaw
from simlib.laws.lawfile import LawFile, coefficients, write_law
from simlib.runs.foreign import parse_columns, read_foreign, refuse_mixture
from simlib.runs.table import RunTable
from simlib.simulate.virtual import simulated_warning

DATA_UNITS = {"vit-jft": VIT_DATA_UNIT, "t5-c4": T5_DATA_UNIT}
PROFILE_RESAMPLES = 200
EXAMPLES = """
\b
Examples:
  simlib fit --runs t5-c4                  the authors' 48 T5 runs, with intervals
  simlib fit --runs my.csv --json          your own run table, for a machine
  simlib fit --runs my.csv --save my.json  a law file for `simlib optimum --law`
  simlib fit --runs my.csv --columns nonzero_params=n*1e6,data_seen=tokens,loss=val,sparsity=s
"""


@dataclass(frozen=True)
class Source:
    """A run table and where it came from."""

    name: str
    runs: RunTable
    sha256: str


@click.command(epilog=EXAMPLES)
@click.option("--runs", "table", required=True, help="A released or shipped table, or a path.")
@click.option("--columns", help="Your own column names, as field=column or field=column*factor.")
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
@click.option("--starts", type=click.IntRange(1), default=25, show_default=True)
@click.option(
    "--resamples",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="Size of the bootstrap ensemble; 0 for none.",
)
@level_option
@seed_option
@click.option("--save", help="Write a law file: a path ending in .json.")
@force_option
@json_option
def command(
    table: str,
    columns: str | None,
    form: str,
    delta: float | None,
    log: bool | None,
    count: Count,
    procedure: str,
    starts: int,
    resamples: int,
    level: float,
    seed: int,
    save: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fit a law to a table of runs: the global optimum, its ensemble and its intervals.

    Exit code 0: converged; 1: the fit did not converge; 2: the request or the table is wrong.
    """
    path = saved(save, FOLDER, force) if save else None
    source = find_source(table, count, columns)
    objective = objective_for(table, delta, log)
    if procedure == "global":
        profile = PROFILE_RESAMPLES if resamples else 0
        with tqdm(total=stages(resamples, profile), leave=False, delay=1) as bar:

            def begin(name: str) -> None:
                bar.set_description(name, refresh=False)  # a short fit shows no bar
                bar.update()

            result = fit(
                source.runs,
                FORMS[form],
                objective,
                starts=starts,
                resamples=resamples,
                profile_resamples=profile,
                level=level,
                seed=seed,
                stage=begin,
                quantities=QUANTITIES if form == "joint" else None,
            )
        law_file = _from_fit(result, source)
    else:
        law_file = _from_release(procedure, source, objective, starts, seed)
    if path:
        law_file = LawFile(path.stem, law_file.law, law_file.ensemble, law_file.record)
        write_law(path, law_file)
    click.echo(json.dumps(_object(law_file)) if as_json else _text(law_file))
    sys.exit(1 if law_file.record["status"] == "not converged" else 0)


def find_source(table: str, count: Count = "nominal", names: str | None = None) -> Source:
    """A released table by name, a shipped one, or the reader's own by path."""
    if table in TABLE_NAMES:
        which = TABLE_NAMES[table]
        find_file(which)
        return Source(table, released_runs(which, count), FILES[which][1])
    if count != "nominal":
        raise InputError(f"--count {count} is for the released T5 runs, not for {table}")
    path = table_path(table)
    runs = load_runs(table) if names is None else read_foreign(path, parse_columns(names))
    refuse_mixture(runs)
    return Source(table, runs.finished, hashlib.sha256(path.read_bytes()).hexdigest())


def objective_for(table: str, delta: float | None, log: bool | None) -> Objective:
    """The table's own objective, or the default, with what the user said in its place."""
    own = OBJECTIVES.get(table, DEFAULT_OBJECTIVE)
    if delta is not None and not delta > 0:
        raise InputError(f"--delta must be positive, got {delta}")
    return Objective(own.delta if delta is None else delta, own.log if log is None else log)


def _from_fit(result: FitResult, source: Source) -> LawFile:
    record: dict[str, Any] = {
        **_about(source, result.objective),
        "objective": result.value,
        "status": result.status,
        **result.counts,
        "agreeing": result.agreeing,
        "starts": result.starts,
        "log_rmse": result.log_rmse,
        "worst": {"row": result.worst.row, "log_residual": result.worst.value},
        "condition_number": result.condition_number,
        "level": result.level,
        "intervals": result.intervals,
        "residual_intervals": result.residual_intervals,
        "profile_intervals": result.profile_intervals,
        "quantities": {name: found._asdict() for name, found in result.quantities.items()},
        "warnings": [*result.warnings, *filter(None, [simulated_warning(source.runs)])],
        "seed": result.seed,
        "made": made(source),
    }
    return LawFile(source.name, result.law, result.ensemble, record)


def _from_release(
    procedure: str, source: Source, objective: Objective, starts: int, seed: int
) -> LawFile:
    """The published coefficients, or those that the release's procedure reaches here."""
    if source.name not in PUBLISHED:
        known = ", ".join(PUBLISHED)
        raise InputError(f"--procedure {procedure} is for {known}, not {source.name}")
    law, reached = PUBLISHED[source.name], {}
    if procedure != "published":
        found = authors_procedure(
            source.runs,
            objective,
            DATA_UNITS[source.name],
            starts=starts,
            seed=seed,
            sum_runs=procedure == "authors-sum",
        )
        law = found.law
        reached = {"values": found.values.tolist(), "success": found.success.tolist()}
    record = {
        **_about(source, objective),
        **_quality(law, source.runs, objective),
        "status": "published" if procedure == "published" else "as the release reports it",
        **reached,
        "agreeing": None,
        "intervals": {},
        "warnings": [],
        "seed": seed,
        "made": made(source),
    }
    return LawFile(source.name, law, None, record)


def _quality(law: JointLaw, runs: RunTable, objective: Objective) -> dict[str, float]:
    predicted = law(runs.sparsity, runs.nonzero_params, runs.data_seen)
    residual = np.log(predicted / runs.loss)
    return {
        "objective": float(objective.value(predicted, runs.loss)),
        "log_rmse": float(np.sqrt((residual**2).mean())),
    }


def _about(source: Source, objective: Objective) -> dict[str, Any]:
    """What the law was fitted to: objective, number of runs, and the range of S, N and D."""
    runs = source.runs
    ranges = {n: getattr(runs, n) for n in ("sparsity", "nonzero_params", "data_seen")}
    return {
        "huber": {"delta": objective.delta, "log": objective.log},
        "runs": len(runs),
        "range": {n: [float(v.min()), float(v.max())] for n, v in ranges.items()},
    }


def made(source: Source) -> dict[str, str]:
    """How a file that this command writes was made."""
    return {
        "command": shlex.join(["simlib", *sys.argv[1:]]),
        "table": source.name,
        "table_sha256": source.sha256,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "simlib": simlib.__version__,
    }


def _object(law_file: LawFile) -> dict[str, Any]:
    return {
        "name": law_file.name,
        "coefficients": coefficients(law_file.law),
        **law_file.record,
        "decides": law_file.decides,
        "why_not": law_file.why_not,
    }


def _text(law_file: LawFile) -> str:
    record, values = law_file.record, coefficients(law_file.law)
    lines = [
        f"{law_file.name}: {record['runs']} runs, objective {record['objective']:.6g}, "
        f"log-RMSE {record['log_rmse']:.3%}, {record['status']}"
    ]
    if record["agreeing"] is not None:
        lines.append(f"{record['agreeing']:.0%} of {record['starts']} starts agree")
    if record.get("members"):
        lines.append(
            f"{record['converged_members']} of {record['members']} refits of resampled runs "
            f"converged, {record['converged_residual_members']} of resampled residuals"
        )
    quantities = record.get("quantities", {})
    values |= {name: found["value"] for name, found in quantities.items()}
    head = f"{record.get('level', 0.9):.0%}"
    wide = max(4, *map(len, values))
    lines.append(
        f"{'':{wide}} {'estimate':>12}   {head + ' bootstrap':>24}   {head + ' profile':>24}"
    )
    for name, value in values.items():
        row = f"{name:{wide}} {value:12.5g}"
        for kind in ("interval", "profile_interval"):
            own = quantities.get(name, {}).get(kind)
            row += "   " + _ends(record.get(f"{kind}s", {}).get(name, own))
        lines.append(row.rstrip())
    lines += [f"warning: {sentence}" for sentence in record["warnings"]]
    if law_file.ensemble is not None and not law_file.decides:
        lines.append(f"this law decides nothing: {law_file.why_not}")
    return "\n".join(lines)


def _ends(interval: list[float | None] | None) -> str:
    if interval is None:
        return " " * 24
    low, high = ("open" if end is None else f"{end:.5g}" for end in interval)
    return f"{low:>11} .. {high:<9}"
