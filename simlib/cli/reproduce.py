"""`simlib reproduce`: run the book's notebooks and say where a finding has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from simlib.cli.options import json_option

EXAMPLES = """
\b
Examples:
  simlib reproduce --grid ci
  simlib reproduce quickstart audit --out runs/mine
"""


@click.command(epilog=EXAMPLES)
@click.argument("pages", nargs=-1)
@click.option(
    "--grid",
    type=click.Choice(["ci", "laptop", "gpu"]),
    default="ci",
    show_default=True,
    help="How much the notebooks train that train.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the executed notebooks; pages done there are not run again.  "
    "[default: runs/reproduce/GRID]",
)
@click.option(
    "--expected",
    help="A record to hold the findings against.  [default: the one that ships for the grid]",
)
@click.option(
    "--together", type=click.IntRange(1), default=2, show_default=True, help="Notebooks at a time."
)
@click.option(
    "--save", type=str, help="Write what was found as a record: a path that ends in .json."
)
@json_option
def command(
    pages: tuple[str, ...],
    grid: str,
    out: Path | None,
    expected: str | None,
    together: int,
    save: str | None,
    as_json: bool,
) -> None:
    """Run the notebooks PAGES, all without a name, and compare what each finds.

    A page's finding is its first paragraph with computed numbers. Exit code 1 if a page fails or
    finds something else than the record says.
    """
    from simlib.bookext import reproduce as book
    from simlib.bookext.status import processor
    from simlib.pages.notebooks import names

    record = None
    if expected or grid in book.CATALOG.names():
        record = book.CATALOG.load(expected or grid)
    folder = out or Path("runs") / "reproduce" / grid
    wanted = pages or tuple(names())
    results = book.reproduce(
        wanted, grid, folder, record, lambda text: click.echo(text, err=True), together
    )
    if save:
        chapters = tuple(r.chapter for r in results if not r.error)
        book.CATALOG.write(book.CATALOG.path(save), book.Record(grid, processor(), chapters))
    click.echo(json.dumps([_object(r) for r in results]) if as_json else _text(results))
    if any(r.outcome in ("changed", "failed") for r in results):
        raise SystemExit(1)


def _object(result: Any) -> dict[str, Any]:
    return {
        "page": result.chapter.page,
        "minutes": result.chapter.minutes,
        "outcome": result.outcome,
        "found": result.chapter.found,
        "expected": result.expected and result.expected.found,
        "error": result.error or None,
    }


def _text(results: list[Any]) -> str:
    lines = [f"{'page':20}{'minutes':>8}  outcome"]
    for r in results:
        lines.append(f"{r.chapter.page:20}{r.chapter.minutes:8.1f}  {r.outcome}")
        lines.append(f"    found:    {r.error or r.chapter.found or 'ran; states no number'}")
        if r.outcome == "changed":
            lines.append(f"    expected: {r.expected.found}")
    return "\n".join(lines)
