"""`simlib claims`: every claim with the evidence that decides it."""

from __future__ import annotations

import json

import click

from simlib.claims import scorecard, totals
from simlib.claims.show import as_objects, as_text
from simlib.cli.options import json_option

EXAMPLES = """
\b
Examples:
  simlib claims                      the whole scorecard
  simlib claims --only C7 --only S2  what decides two of them
  simlib claims --json               for a machine
"""


@click.command(epilog=EXAMPLES)
@click.option("--only", multiple=True, metavar="ID", help="A claim's id; may be repeated.")
@json_option
def command(only: tuple[str, ...], as_json: bool) -> None:
    """Decide each claim from the shipped laws and run tables: estimates, intervals, verdicts."""
    outcomes = scorecard(only=only)
    if as_json:
        click.echo(json.dumps(as_objects(outcomes)))
        return
    click.echo(as_text(outcomes))
    click.echo()
    for verdict, count in totals(outcomes).items():
        click.echo(f"{count:3} {verdict}")
