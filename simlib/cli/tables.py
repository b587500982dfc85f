"""`simlib tables`: what others published and `simlib fit --runs NAME` reads."""

from __future__ import annotations

import json

import click

from simlib.cli.options import json_option
from simlib.datasets.adapter import FOLDER, adapter_names, load_adapter


@click.command()
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List tables that others published, or say all of NAME: source, licence, what N counts.

    A file is looked for in the folders of $SIMLIB_DATA, then downloaded once.
    """
    found = {n: load_adapter(n) for n in ([name] if name else adapter_names())}
    if as_json:
        click.echo(json.dumps({n: a.model_dump() for n, a in found.items()}))
    elif name is None:
        width = max(map(len, found))
        for each, adapter in found.items():
            click.echo(f"{each:{width}}  {adapter.title} ({adapter.licence})")
    else:
        for field, value in found[name].model_dump().items():
            if value:
                text = ", ".join(value) if isinstance(value, tuple) else value
                click.echo(f"{field:10} {text}")
        click.echo(f"{'adapter':10} {FOLDER / name}.toml")
