"""Where a command writes: what is there already stays, unless the user says otherwise.

The files that ship with the library are written only where SIMLIB_SHIP=1 is set, as `make laws` and
`make bench` do: then each is replaced by the command that it records.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from simlib.datasets import FOLDER
from simlib.errors import InputError

force_option = click.option("--force", is_flag=True, help="Replace a file that is there already.")


def shipping() -> bool:
    """Whether this command makes a file that ships."""
    return os.environ.get("SIMLIB_SHIP") == "1"


def free(path: str | Path, force: bool) -> Path:
    """The path, if nothing that somebody made is lost by writing there.

    Raises InputError for a file that is there, without `force`, and for one among those that ship.
    """
    path = Path(path)
    if shipping():
        return path
    if path.resolve().is_relative_to(FOLDER.resolve()):
        raise InputError(
            f"{path} lies among the files that ship with simlib, which only `make laws` and "
            "`make bench` write: choose another folder"
        )
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the path of a file")
    if (path.exists() or path.is_symlink()) and not force:
        raise InputError(
            f"{path} is there already: give another path, or --force to replace that file"
        )
    return path


def saved(name: str, folder: Path, force: bool) -> Path:
    """Where `--save NAME` writes: a path that ends in .json, or for what ships a name in `folder`.

    Raises InputError for another name, and as `free` does.
    """
    if name.endswith(".json"):
        return free(name, force)
    if not shipping() or name != Path(name).name:
        raise InputError(f"--save takes a path that ends in .json, such as {name}.json")
    return folder / f"{name}.json"
