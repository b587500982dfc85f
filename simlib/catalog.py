"""JSON files of one kind that ship under a name, and the reader's own of that kind."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from simlib.errors import InputError
from simlib.files import replace_file

FOLDER = Path(__file__).parent / "datasets"
Content = TypeVar("Content")


class Catalog(Generic[Content]):
    """Reads and writes dataclasses of one kind; those shipped lie in `simlib/datasets/<folder>`."""

    def __init__(self, kind: type[Content], folder: str, what: str) -> None:
        self.kind, self.folder, self.what = kind, FOLDER / folder, what

    @cached_property
    def _format(self) -> TypeAdapter[Content]:
        return TypeAdapter(self.kind)

    def path(self, name: str) -> Path:
        """Where to save `name`: a path that ends in .json, else the shipped file of that name."""
        return Path(name) if name.endswith(".json") else self.folder / f"{name}.json"

    def names(self) -> list[str]:
        """Names of the shipped files."""
        return sorted(p.stem for p in self.folder.glob("*.json"))

    def write(self, path: str | Path, content: Content) -> None:
        """Write a file in one step. Raises InputError if it cannot be written."""
        replace_file(path, self._format.dump_json(content, indent=1) + b"\n", self.what)

    def load(self, name: str) -> Content:
        """A shipped file by name, or one of the reader's own by path.

        Raises InputError where there is none or the file holds something else.
        """
        shipped = self.folder / f"{name}.json"
        path = shipped if Path(name).name == name and shipped.is_file() else Path(name)
        try:
            return self._format.validate_json(path.read_bytes())
        except OSError as error:
            known = ", ".join(self.names()) or "none"
            raise InputError(
                f"there is no {self.what} named {name!r} and no file at that path; shipped are: "
                f"{known}"
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(
                f"{path}: this is not a {self.what} ({first['msg']} at {place})"
            ) from error
