"""`simlib audit`: published fits against the minimum of the objective that their authors chose."""

from __future__ import annotations

import datetime
import shlex
import sys

import click

import simlib
from simlib.analysis.publishedfits import AUDITS, CATALOG, AuditFile
from simlib.cli.output import force_option, saved


@click.command()
@click.option(
    "--fit",
    "names",
    type=click.Choice(list(AUDITS)),
    multiple=True,
    help="Several; all by default.",
)
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
def command(names: tuple[str, ...], save: str | None, force: bool) -> None:
    """Fit published tables again by the objective of their authors, from many starts."""
    path = saved(save, CATALOG.folder, force) if save else None
    audits = [AUDITS[name]() for name in names or AUDITS]
    if path:
        made = {
            "command": shlex.join(["simlib", *sys.argv[1:]]),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "simlib": simlib.__version__,
        }
        CATALOG.write(path, AuditFile(made, audits))
    for audit in audits:
        click.echo(
            f"{audit.name}: {audit.runs} runs, objective {audit.published:.6g} as published, "
            f"{audit.least:.6g} at the minimum ({audit.gap:.2%} lower)"
        )
        for c in audit.conclusions:
            click.echo(
                f"  {c.what}: {c.published:.4g} as published, {c.least:.4g} at the minimum "
                f"({c.low:.4g} to {c.high:.4g})"
            )
