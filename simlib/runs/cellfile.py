"""The cells of a table that somebody wrote: CSV, JSON, JSON lines or parquet, packed or not."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from simlib.errors import InputError

DELIMITERS = ",;\t"
GZIP, PARQUET, JSON = b"\x1f\x8b", b"PAR1", ("[", "{")  # what such files begin with
MOST_BYTES = 2**30  # of a file when unpacked: a table of runs is smaller


def read_cells(path: Path) -> list[list[str]]:
    """The cells of a file as text, row by row, header first; the format is read from its content.

    JSON holds a list of objects, or an object of columns; JSON lines an object a line. What lies
    inside an object is a column `outer.inner`, what is missing an empty cell. Raises InputError for
    no table.
    """
    try:
        content = path.read_bytes()
        if content.startswith(GZIP):
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{path}: more than {MOST_BYTES:g} bytes; keep the final points alone")
        if content.startswith(PARQUET):
            return _of_objects(_parquet(path, content))
        text = content.decode("utf-8-sig")
        if text.lstrip().startswith(JSON):
            return _of_objects(_json(text))
        between = max(DELIMITERS, key=text.partition("\n")[0].count)
        return list(csv.reader(io.StringIO(text), delimiter=between))
    except InputError:
        raise
    except RecursionError as error:
        raise InputError(f"{path}: cannot be read as a table (nested too deeply)") from error
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error!s:.200})") from error


def is_csv(path: Path) -> bool:
    """Whether a file is neither packed nor JSON nor parquet. Raises OSError."""
    with path.open("rb") as file:
        begin = file.read(64)
    text = begin.decode("utf-8-sig", errors="replace").lstrip()
    return not begin.startswith((GZIP, PARQUET)) and not text.startswith(JSON)


def _json(text: str) -> Iterable[Any]:
    """Objects, one a row. Raises ValueError."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(found, list):
        return found
    columns = {k: list(v.values()) if isinstance(v, dict) else v for k, v in found.items()}
    if not columns or not all(isinstance(column, list) for column in columns.values()):
        return [found]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _parquet(path: Path, content: bytes) -> Iterable[Any]:
    try:
        import pyarrow  # not at the top: only parquet files need it
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            f"{path}: parquet files are read by pyarrow: pip install pyarrow, or save it as CSV"
        ) from error
    try:
        return list(parquet.read_table(io.BytesIO(content)).to_pylist())
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: cannot be read as a table ({error!s:.200})") from error


def _of_objects(objects: Iterable[Any]) -> list[list[str]]:
    """Header and rows of objects with like keys. Raises ValueError for what is no object."""
    rows = []
    for number, entry in enumerate(objects, start=1):
        if not isinstance(entry, dict):
            raise ValueError(f"entry {number} is no object of columns: {entry!r:.40}")
        rows.append(dict(_flat("", entry)))
    header = list(dict.fromkeys(name for row in rows for name in row))
    return [header, *([row.get(name, "") for name in header] for row in rows)]


def _flat(outer: str, entry: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in entry.items():
        if isinstance(value, dict):
            yield from _flat(f"{outer}{name}.", value)
        else:
            yield f"{outer}{name}", "" if value is None else str(value)
