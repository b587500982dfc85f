"""`simlib claims`: every claim with the evidence that decides it, and how the evidence is made."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import click

import simlib
from simlib.analysis.optimumgrid import load_optima
from simlib.claims import RULES, scorecard
from simlib.claims.designs import (
    DESIGNS,
    VirtualSet,
    of_families,
    of_optima,
    of_rows,
    planned,
    trained,
)
from simlib.claims.measured import CATALOG as EVIDENCE
from simlib.claims.measured import measure
from simlib.claims.power import CATALOG as POWERS
from simlib.claims.power import compute_powers
from simlib.claims.sources import MEASURED, OPTIMUM, Sources, content_hash
from simlib.cli.options import json_option, seed_option
from simlib.cli.output import force_option, free, shipping
from simlib.errors import InputError
from simlib.pages.claims import as_objects, as_text, power_text

EXAMPLES = """
\b
Examples:
  simlib claims                        the whole scorecard
  simlib claims --only C7 --only S2    what decides two of them
  simlib claims --json                 for a machine
  simlib claims --power gpt-laptop --tables 60     how often each rule on it is right
  simlib claims --power nm-laptop --grid FILE      the same for a grid that is not trained yet
  simlib claims --measure gpt-laptop   ask every rule of a table that has changed
"""


@click.command(epilog=EXAMPLES)
@click.option("--only", multiple=True, metavar="ID", help="A claim's id; may be repeated.")
@click.option(
    "--power",
    "design",
    metavar="TABLE",
    help="Compute level and power of the rules on a table, by virtual ones.",
)
@click.option(
    "--grid", metavar="FILE", help="With --power: the runs of this grid, not those of the table."
)
@click.option(
    "--tables",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="Virtual tables of each truth.",
)
@click.option(
    "--measure",
    "measured",
    metavar="TABLE",
    help="Measure a shipped table's evidence on every rule that asks it.",
)
@seed_option
@force_option
@json_option
def command(
    only: tuple[str, ...],
    design: str | None,
    grid: str | None,
    tables: int,
    measured: str | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Decide each claim from the shipped laws and run tables: estimates, intervals, verdicts.

    What --power finds of a grid is written beside it. What it, or --measure, finds of a shipped
    table is only said, and written where the book finds it if SIMLIB_SHIP=1 is set.
    """
    if design:
        _power(design, grid, tables, seed, force)
    elif measured:
        _measure(measured)
    else:
        outcomes = scorecard(only=only)
        click.echo(json.dumps(as_objects(outcomes)) if as_json else as_text(outcomes))


def _power(name: str, grid: str | None, tables: int, seed: int, force: bool) -> None:
    if name not in DESIGNS:
        raise InputError(f"no virtual table is made like {name!r}; there are {', '.join(DESIGNS)}")
    # beside a grid that is not trained yet: the shipped file is of the shipped table
    path = POWERS.path(name) if grid is None else Path(grid).with_suffix(".power.json")
    if grid is not None:
        free(path, force)
    design = trained(name) if grid is None else planned_design(name, grid)
    given = f" --grid {grid}" if grid else ""
    made = _made(f"simlib claims --power {name}{given} --tables {tables} --seed {seed}")
    found = compute_powers(RULES, design, tables=tables, seed=seed, made=made)
    if grid is not None or shipping():
        POWERS.write(path, found)
    click.echo(power_text(found))


def planned_design(name: str, path: str) -> VirtualSet:
    """A grid that is not trained yet, its losses made like those of the table `name`."""
    from simlib.sweep.grid import read_grid  # here: it needs torch, and the scorecard does not

    rows = [planned(config) for config in read_grid(path).configs]
    says = f"The {len(rows)} runs of the grid {Path(path).stem}."
    like = DESIGNS[name]
    if like.runs == OPTIMUM:
        optima = load_optima(str(Path(path).with_suffix(".optima.json")))
        return of_optima(lambda: optima, says)
    if like.mixed:
        return of_families(like.runs, says, lambda: rows)
    return of_rows(like.runs, says, lambda: rows, base=like.base.over(rows), scatter=like.scatter)


def _measure(name: str) -> None:
    known = {runs.table: runs for runs in MEASURED}
    if name not in known:
        raise InputError(f"no rule asks a table {name!r}; there are {', '.join(known)}")
    made = _made(f"simlib claims --measure {name}") | {"table_sha256": content_hash(known[name])}
    found = measure(RULES, known[name], Sources(), made)
    if shipping():
        EVIDENCE.write(EVIDENCE.path(name), found)
    click.echo(f"{name}: {len(found.evidence)} answers, {len(found.missing)} rules without one")


def _made(by: str) -> dict[str, str]:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"command": by, "date": today, "simlib": simlib.__version__}
