"""A table of runs in its owner's columns and units, read as a run table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from simlib.errors import InputError
from simlib.runs.table import FIELDS, RunTable, table_of

ESSENTIAL = ("nonzero_params", "sparsity", "data_seen", "loss")
COUNTS = ("nonzero_params", "dense_params", "total_nonzero_params", "data_seen", "steps")
MOST_NATS = 20.0  # a uniform guess over 5e8 classes
COMPLEMENT = "1-"
DELIMITERS = ",;\t"
FEWEST = 1e3  # parameters or data below which a column must be in thousands, millions or billions


@dataclass(frozen=True)
class Column:
    """Where a field's values are: `source` times `factor`, or a constant where it is a number.

    With `complement` the value is one minus that: a density makes a sparsity.
    """

    source: str
    factor: float = 1.0
    complement: bool = False


def parse_columns(text: str) -> dict[str, Column]:
    """Fields and their columns from `nonzero_params=n*1e6,data_seen=tokens,sparsity=0`.

    `sparsity=1-d` takes a column of densities. Raises InputError for a pair that cannot be read or
    a field that a run table does not have.
    """
    found = {}
    for pair in text.split(","):
        field, equals, source = (part.strip() for part in pair.partition("="))
        complement = field == "sparsity" and source.startswith(COMPLEMENT)
        source = source.removeprefix(COMPLEMENT) if complement else source
        name, times, factor = (part.strip() for part in source.partition("*"))
        if not (equals and name) or field not in FIELDS:
            raise InputError(
                f"columns are written as field=column pairs with fields such as "
                f"{', '.join(ESSENTIAL)}; got {pair!r}"
            )
        try:
            found[field] = Column(name, float(factor) if times else 1.0, complement)
        except ValueError as error:
            raise InputError(f"{pair!r}: after * comes a number, got {factor!r}") from error
    return found


def read_foreign(path: str | Path, columns: dict[str, Column]) -> RunTable:
    """Read a CSV by its owner's column names; fields that keep their name need no entry.

    Other columns are left out. Values are separated by commas, semicolons or tabs. Dense parameters
    and sparsity stand in for non-zero parameters. Raises InputError naming what is missing, or
    whose unit cannot be right, and the remedy.
    """
    path = Path(path)
    rows = read_cells(path)
    if len(rows) < 2:
        raise InputError(f"{path}: there are no runs below the header")
    header, body = [h.strip() for h in rows[0]], rows[1:]
    known = {h: Column(h) for h in header if h in FIELDS} | columns
    _refuse_missing(path, header, known)
    for number, row in enumerate(body, start=2):
        if row and len(row) != len(header):
            raise InputError(
                f"{path}: row {number} has {len(row)} values where the header has {len(header)}"
            )
    cells = [{f: _cell(row, header, f, c) for f, c in known.items()} for row in body if row]
    fields = list(_with_nonzero(dict.fromkeys(known, "")))
    filled = [list(_with_nonzero(row).values()) for row in cells]
    table = table_of(path, fields, _plausible(path, fields, filled))
    refuse_mixture(table)
    return table


def header_of(path: Path) -> tuple[list[str], list[str]]:
    """The columns of a file, and those among them that no run table has.

    Raises InputError for no table.
    """
    header = [name.strip() for name in next(iter(read_cells(path)), [])]
    return header, [name for name in header if name not in FIELDS]


def read_cells(path: Path) -> list[list[str]]:
    """The cells of a file, row by row, header first. Raises InputError for no table."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        between = max(DELIMITERS, key=text.partition("\n")[0].count)
        return list(csv.reader(io.StringIO(text), delimiter=between))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error


def _refuse_missing(path: Path, header: list[str], known: dict[str, Column]) -> None:
    for field, column in known.items():
        if column.source not in header and not _is_number(column.source):
            raise InputError(
                f"{path}: there is no column {column.source!r} for {field}; there are "
                f"{', '.join(header)}"
            )
        if header.count(column.source) > 1:
            raise InputError(
                f"{path}: {header.count(column.source)} columns are called "
                f"{column.source!r}: give the one that holds {field} a name of its own"
            )
    missing = [name for name in ESSENTIAL if name not in _with_nonzero(dict.fromkeys(known, ""))]
    if missing:
        hint = " (write sparsity=0 if all runs are dense)" * (missing[0] == "sparsity")
        raise InputError(
            f"{path}: no column holds {missing[0]}{hint}; name it with "
            f"--columns {missing[0]}=COLUMN; there are {', '.join(header)}"
        )


def _cell(row: list[str], header: list[str], field: str, column: Column) -> str:
    """One value as text in the run table's unit; counts become whole numbers."""
    text = row[header.index(column.source)].strip() if column.source in header else column.source
    if not _is_number(text):
        return text
    value = float(text) * column.factor
    if field in COUNTS:
        return str(round(value)) if abs(value) < float("inf") else text
    if column.complement:
        return repr(round(1 - value, 12))  # 1 - 0.9 is 0.1
    return repr(value) if column.factor != 1 else text


def _with_nonzero(row: dict[str, str]) -> dict[str, str]:
    """The row with non-zero parameters, from dense ones and the sparsity where it has none."""
    if "nonzero_params" in row or not {"dense_params", "sparsity"} <= set(row):
        return row
    dense, sparsity = row["dense_params"], row["sparsity"]
    known = _is_number(dense) and _is_number(sparsity) and abs(float(dense)) < float("inf")
    nonzero = str(round(float(dense) * (1 - float(sparsity)))) if known else dense
    return {**row, "nonzero_params": nonzero}


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _plausible(path: Path, fields: list[str], cells: list[list[str]]) -> list[list[str]]:
    """The cells, unless a whole column's unit cannot be right."""
    most = {}
    for at, field in enumerate(fields):
        values = [float(row[at]) for row in cells if _is_number(row[at])]
        most[field] = max(values, default=float("nan"))
    if 1 < most["sparsity"] <= 100:
        raise InputError(
            f"{path}: sparsity reaches {most['sparsity']:g}; it is a fraction here: "
            "for percentages write sparsity=COLUMN*0.01, for percentages of what is "
            "left sparsity=1-COLUMN*0.01"
        )
    if most["sparsity"] == 1:
        raise InputError(
            f"{path}: sparsity reaches 1, a model of zeros; if the column holds "
            "densities, write sparsity=1-COLUMN"
        )
    refuse_units(path, most)
    return cells


def refuse_units(path: str | Path, most: Mapping[str, float]) -> None:
    """Raises InputError where a column's greatest value says that its unit cannot be right."""
    for field in ("nonzero_params", "data_seen"):
        if most[field] < FEWEST:
            raise InputError(
                f"{path}: {field} is {most[field]:g} at most; if that is in millions, "
                f"write {field}=COLUMN*1e6"
            )
    if most["loss"] > MOST_NATS:
        raise InputError(
            f"{path}: loss reaches {most['loss']:g}, more than any cross-entropy in nats; if it is "
            "a perplexity, take its logarithm, if it is in bits, write loss=COLUMN*0.6931"
        )


def refuse_mixture(table: RunTable) -> None:
    """Raises InputError for a table of several families or data sets: each has its own law."""
    for name, what in (("family", "model families"), ("dataset", "data sets")):
        values = sorted({str(v) for v in table.column(name)} - {""})
        if len(values) > 1:
            raise InputError(
                f"the table holds several {what} ({', '.join(values)}), whose losses do not follow "
                f"one law: fit each on its own"
            )
