"""Adapters: small files that say how a table which others published becomes a run table."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simlib.datasets.download import fetch
from simlib.errors import InputError
from simlib.runs.foreign import Pick, TableReading, parse_columns

FOLDER = Path(__file__).parent / "tables"


class Adapter(BaseModel):
    """One table: where its file is, under which licence, and how it is read.

    `file` is the name under which it is looked for in `$SIMLIB_DATA`; without a `url` it ships
    beside the adapter. `columns`, `where`, `last_per` and `best_per` are those of `simlib fit`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    file: str
    url: Annotated[str, Field(pattern=r"^(https://\S+/[0-9a-f]{40}/\S+)?$")] = ""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    licence: str
    source: str  # who published it: a key of book/references.bib
    counts: str  # what N counts, as the head of a sentence
    note: str = ""
    columns: str
    where: str = ""
    last_per: tuple[str, ...] = ()
    best_per: tuple[str, ...] = ()
    curves: bool = False  # points along runs, which err together

    def path(self) -> Path:
        """The file, found or downloaded. Raises InputError where it cannot be had."""
        return fetch(self.file, self.url, self.sha256) if self.url else FOLDER / self.file

    @property
    def reading(self) -> TableReading:
        """How the file is read."""
        pick = Pick(self.where, self.last_per, self.best_per)
        return TableReading(parse_columns(self.columns), pick)


def adapter_names() -> list[str]:
    """Names of the tables that have an adapter."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def load_adapter(name: str) -> Adapter:
    """An adapter by its name. Raises InputError where there is none, and for a wrong file."""
    path = FOLDER / f"{name}.toml"
    try:
        return Adapter.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(
            f"there is no adapter {name!r:.80}; there are {', '.join(adapter_names())}"
        ) from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise InputError(f"{path}: this is not an adapter ({error!s:.300})") from error
