"""`simlib verify-rows`: recorded rows drawn by chance, trained again."""

from __future__ import annotations

import datetime
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from simlib import datasets
from simlib.cli.options import workers_option
from simlib.cli.output import force_option, saved
from simlib.errors import InputError
from simlib.pages.notebooks import notebook_folder

if TYPE_CHECKING:
    from pathlib import Path

    from simlib.runs.verification import Repeat
    from simlib.sweep.again import RecordedRow

EXAMPLES = """
\b
Examples:
  simlib verify-rows                         six rows of all tables
  simlib verify-rows --hours 0.2             six that take no more than twelve minutes in all
  simlib verify-rows --table gpt-pilot2 --rows 1 --seed 7
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--rows", "count", type=click.IntRange(1), default=6, show_default=True, help="How many."
)
@click.option("--table", "tables", multiple=True, help="Only of this shipped table; repeatable.")
@click.option(
    "--hours",
    type=click.FloatRange(0, min_open=True),
    help="Draw only rows that take no more than their share of this.",
)
@click.option("--seed", type=int, help="Of the draw.  [default: today's date]")
@workers_option
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
def command(
    count: int,
    tables: tuple[str, ...],
    hours: float | None,
    seed: int | None,
    workers: int | None,
    save: str | None,
    force: bool,
) -> None:
    """Train rows of the shipped tables again, drawn by chance, and compare their losses.

    On the kind of processor and with the versions that made a row its loss must be equal to the
    bit, elsewhere within 1% or twice the usual spread over seeds. Exit code 1 if one is not.
    """
    from simlib.runs.verification import CATALOG, TOLERANCE
    from simlib.sweep.again import absent, draw, recorded_rows
    from simlib.train.settings import commit

    path = saved(save, CATALOG.folder, force) if save else None
    source = commit()  # before it trains: what is edited meanwhile is not what runs
    seed = int(datetime.date.today().strftime("%Y%m%d")) if seed is None else seed
    rows = recorded_rows(notebook_folder() / "grids", datasets.FOLDER, tables)
    drawn = draw(rows, count, seed, hours)
    skipped = {row.record.run_id: why for row in drawn if (why := absent(row))}
    kept = [row for row in drawn if row.record.run_id not in skipped]
    own = sum(row.seconds for row in kept) / 3600
    click.echo(
        f"seed {seed}: {len(kept)} rows, {own:.2f} hours of one core where they were made, "
        "without what runs share"
    )
    for row in drawn:
        if row.record.run_id in skipped:
            click.echo(f"skipped {row.table} {row.record.run_id}: {skipped[row.record.run_id]}")
    if not kept:
        raise InputError("none of these rows can be trained here")
    repeats = _repeat(kept, workers)
    for found in repeats:
        click.echo(_line(found))
    failed = sum(not found.agrees for found in repeats)
    click.echo(
        f"{len(repeats) - failed} of {len(repeats)} agree: to the bit on the same kind of "
        f"machine, within {TOLERANCE:.0%} or twice the usual spread over seeds elsewhere"
    )
    if path:
        given = [f"--rows {count}", *(f"--table {name}" for name in tables), f"--seed {seed}"]
        given += [] if hours is None else [f"--hours {hours:g}"]
        _save(path, repeats, {"command": f"simlib verify-rows {' '.join(given)}", "commit": source})
    sys.exit(1 if failed else 0)


def _repeat(rows: list[RecordedRow], workers: int | None) -> list[Repeat]:
    from tqdm.contrib.logging import logging_redirect_tqdm

    from simlib.sweep.again import repeat
    from simlib.train import TerminalProgress

    configs = list({c.run_id: c for row in rows for c in row.configs}.values())
    with (
        redirect_stdout(sys.stderr),
        logging_redirect_tqdm(),
        TerminalProgress(configs) as progress,
    ):
        return repeat(rows, workers, progress)


def _line(found: Repeat) -> str:
    spread = "" if found.spread is None else f", seeds scatter by {found.spread:.2%}"
    where = (
        "same kind of machine"
        if found.same_machine
        else "another kind of machine, or older kernels"
    )
    verdict = "agrees" if found.agrees else "DIFFERS"
    return (
        f"{verdict} {found.table} {found.run_id} ({found.run}): {found.recorded:.7f} recorded, "
        f"{found.again:.7f} now, {found.difference:+.3%}; {where}{spread}"
    )


def _save(path: Path, repeats: list[Repeat], made: dict[str, str]) -> None:
    from simlib.runs.verification import CATALOG, TOLERANCE, Verification
    from simlib.train.settings import cpu, versions

    today = datetime.date.today().isoformat()
    made |= {"date": today, "cpu": cpu(), "versions": versions()}
    CATALOG.write(path, Verification(made, TOLERANCE, tuple(repeats)))
