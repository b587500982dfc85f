"""`simlib curves`: training curves of recorded runs, thinned and kept in one file."""

from __future__ import annotations

from pathlib import Path

import click

from simlib.cli.output import force_option, saved

EXAMPLES = """
\b
Examples:
  simlib curves runs/laptop --table gpt-laptop --only seed=0 --only data_seen=4096000 \\
    --save curves.json
  simlib curves runs/mine --table runs/mine/runs.csv --save mine.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--table", required=True, help="Run table whose runs to take: a shipped one or a path."
)
@click.option("--only", multiple=True, help="column=value, or column=value,value; repeatable.")
@click.option(
    "--points",
    type=click.IntRange(2, 100_000),
    default=40,
    show_default=True,
    help="Bins of every curve, equally wide in steps.",
)
@click.option("--save", required=True, help="A path ending in .json.")
@force_option
def command(
    folder: Path, table: str, only: tuple[str, ...], points: int, save: str, force: bool
) -> None:
    """Take the curves of a table's runs from FOLDER, where they were trained, into one file."""
    from simlib.cli.fit import made
    from simlib.datasets.source import find_source
    from simlib.errors import InputError
    from simlib.runs.curves import CATALOG, CurveFile, thin
    from simlib.train.records import read_side

    path = saved(save, CATALOG.folder, force)
    source = find_source(table)
    runs = [r for r in source.runs.finished if all(_meets(r, text) for text in only)]
    if not runs:
        raise InputError(f"no run of {table} meets {' and '.join(only)}")
    curves = []
    for run in runs:
        try:
            curve = read_side(folder, run.run_id)["curve"]
            curves.append(thin(run.run_id, curve, run.data_seen / (run.steps or 1), points))
        except OSError as error:
            raise InputError(f"{folder} has no side file of run {run.run_id}: {error}") from error
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise InputError(
                f"{folder} has a damaged side file of run {run.run_id}: {error!r:.200}"
            ) from error
    CATALOG.write(path, CurveFile(source.name, made(source), curves))
    click.echo(f"{len(curves)} curves in {path}")


def _meets(record: object, condition: str) -> bool:
    from simlib.errors import InputError
    from simlib.runs.table import FIELDS

    name, equals, wanted = condition.partition("=")
    if not equals or name not in FIELDS:
        raise InputError(
            f"--only takes column=value with a column of the run table, got {condition!r}"
        )
    found = str(getattr(record, name))
    return any(found == text or _same_number(found, text) for text in wanted.split(","))


def _same_number(found: str, text: str) -> bool:
    try:
        return float(found) == float(text)
    except ValueError:
        return False
