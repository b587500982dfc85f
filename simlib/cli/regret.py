"""`simlib regret`: how well runs chosen by each design predict held-out ones, against chance."""

from __future__ import annotations

import click
from pydantic import TypeAdapter

from simlib.analysis.regret import (
    BELIEF,
    CASES,
    CATALOG,
    DRAWS,
    AtBudget,
    DesignCase,
    Regret,
    regret,
)
from simlib.cli.fit import made
from simlib.cli.options import json_option, seed_option
from simlib.cli.output import force_option, saved
from simlib.cli.reading import reading_options
from simlib.datasets import load_law
from simlib.datasets.source import find_source
from simlib.errors import InputError
from simlib.fit import FORMS
from simlib.runs.cells import Columns
from simlib.runs.foreign import TableReading
from simlib.simulate.choice import PRICE, prices

SHARES = (0.05, 0.1, 0.2)
EXAMPLES = """
\b
Examples:
  simlib regret --candidates farseer             as ScaleBench has it: its budgets and test rows
  simlib regret --candidates small.csv --on large.csv --share 0.1 --share 0.3
"""


@click.command(epilog=EXAMPLES)
@click.option("--candidates", required=True, help="A table of measured runs to choose from.")
@reading_options
@click.option("--on", "other", help="A table of the runs to predict.")
@click.option("--form", type=click.Choice(list(FORMS)), help="[default: joint]")
@click.option("--price", help=f"What a run costs.  [default: {PRICE}]")
@click.option(
    "--share", "shares", type=float, multiple=True, help="Budget, of what all cost; several."
)
@click.option("--law", "belief", default=BELIEF, show_default=True, help="Believed beforehand.")
@click.option(
    "--draws",
    type=click.IntRange(1, 10_000),
    default=DRAWS,
    show_default=True,
    help="Random designs a budget.",
)
@seed_option
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
@json_option
def command(
    candidates: str,
    reading: TableReading,
    other: str | None,
    form: str | None,
    price: str | None,
    shares: tuple[float, ...],
    belief: str,
    draws: int,
    seed: int,
    save: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Choose runs by several designs, fit each choice, and hold its law against other runs."""
    path = saved(save, CATALOG.folder, force) if save else None
    known = next((c for c in CASES if c.candidates == candidates), None)
    predict = other or (known.predict if known else "")
    if not predict:
        raise InputError(f"--on names the table whose runs a law of {candidates} is to predict")
    usual = known or DesignCase(candidates, predict, "joint", PRICE, SHARES)
    case = DesignCase(
        candidates, predict, form or usual.form, price or usual.price, shares or usual.shares
    )
    source = find_source(candidates, reading=reading)
    found = regret(
        case,
        Columns.of(source.runs),
        prices(source.runs, case.price),
        Columns.of(find_source(predict, reading=reading).runs),
        load_law(belief),
        draws=draws,
        seed=seed,
        name=path.stem if path else candidates,
        made=made(source),
    )
    if path:
        CATALOG.write(path, found)
    whole = TypeAdapter(Regret).dump_json(found).decode()
    click.echo(whole if as_json else "\n".join([_whole(found), *map(_line, found.budgets)]))


def _whole(found: Regret) -> str:
    return (
        f"all {found.candidates} candidates: error {_percent(found.whole.error)} on "
        f"{found.predicted} runs"
    )


def _line(at: AtBudget) -> str:
    designs = ", ".join(f"{o.design} {_percent(o.error)} ({o.runs} runs)" for o in at.designs)
    low, middle, high = (at.quantile(q) for q in (0.05, 0.5, 0.95))
    return (
        f"{at.share:.0%} of the cost: {designs}; random {_percent(middle)} "
        f"({_percent(low)} to {_percent(high)})"
    )


def _percent(error: float | None) -> str:
    return "-" if error is None or error == float("inf") else f"{error:.2%}"
