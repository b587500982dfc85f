"""`simlib notebook`: run one chapter with other parameters."""

import json
from pathlib import Path
from typing import Any

import click

from simlib.cli.output import force_option, free
from simlib.pages import notebooks

EXAMPLE = """\b
Example:
  simlib notebook quickstart -p data_seen 2000000 --out runs/quickstart.ipynb
"""


def _listing(name: str) -> dict[str, Any]:
    known = notebooks.parameters(notebooks.find(name)).values()
    fields = [
        {"name": p.name, "type": p.annotation, "default": p.default, "help": p.help} for p in known
    ]
    return {"notebook": name, "parameters": fields}


def _show_list(as_json: bool) -> None:
    listings = [_listing(name) for name in notebooks.names()]
    if as_json:
        click.echo(json.dumps(listings))
        return
    for listing in listings:
        click.echo(listing["notebook"])
        for field in listing["parameters"]:
            line = f"  {field['name']}: {field['type']} = {field['default']}"
            click.echo(f"{line:<40} {field['help']}".rstrip())


def _found_here(value: str) -> str:
    """A file named from where the user stands, for a kernel that runs in another folder."""
    path = Path(value)
    return str(path.resolve()) if path.suffix and path.is_file() else value


@click.command("notebook", epilog=EXAMPLE)
@click.argument("name", required=False)
@click.option(
    "-p",
    "--parameter",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="KEY VALUE",
    help="Set one parameter; repeat for more. --list shows names and types.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The executed notebook (.ipynb).  [default: runs/notebooks/NAME.ipynb]",
)
@force_option
@click.option("--list", "show_list", is_flag=True, help="List notebooks and their parameters.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(
    name: str | None,
    pairs: tuple[tuple[str, str], ...],
    out: Path | None,
    force: bool,
    show_list: bool,
    as_json: bool,
) -> None:
    """Run the notebook NAME (a name from --list, or a path) with changed parameters.

    What it finds, its first paragraph with computed numbers, is printed. An unknown parameter or a
    value of the wrong type is refused before anything runs. Exit code 0:
    it ran; 1: a cell failed, and the output shows how far it came; 2: wrong input.
    """
    if show_list:
        _show_list(as_json)
        return
    if name is None:
        raise click.UsageError("give the NAME of a notebook, or --list")
    path = notebooks.find(name)
    target = free(out, force) if out else Path("runs") / "notebooks" / f"{path.stem}.ipynb"
    try:
        given = {key: _found_here(value) for key, value in pairs}
        done = notebooks.run(path, given, target, progress=True)
    except notebooks.NotebookFailed as error:
        click.echo(f"error: {name} failed in {error} (see {target})", err=True)
        raise SystemExit(1) from error
    from simlib.bookext.reproduce import finding  # not at the top: only this command needs it

    found = finding(done)
    result = {"notebook": str(path), "parameters": dict(pairs), "out": str(target), "found": found}
    click.echo(
        json.dumps(result) if as_json else "\n".join(filter(None, [found, f"wrote {target}"]))
    )
