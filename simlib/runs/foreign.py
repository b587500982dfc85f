"""A table of runs in its owner's columns and units, read as a run table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from simlib.errors import InputError
from simlib.runs.cellfile import read_cells
from simlib.runs.cells import Array, Bools, Indices, numbered, size_index, sparsity_index
from simlib.runs.expression import Expression, Values, numbers
from simlib.runs.table import FIELDS, RunTable, table_of

ESSENTIAL = ("nonzero_params", "sparsity", "data_seen", "loss")
COUNTS = ("nonzero_params", "dense_params", "total_nonzero_params", "data_seen", "steps")
LETTERS = {"S": "sparsity", "N": "nonzero_params", "D": "data_seen"}  # by which runs are grouped
MOST_NATS = 20.0  # a uniform guess over 5e8 classes
FEWEST = 1e3  # parameters or data below which a column must be in thousands, millions or billions
NAMED = 12  # columns that one line names
HINTS = {  # where no column holds what is needed
    "nonzero_params": " (nor dense_params, counted before pruning)",
    "sparsity": " (write sparsity=0 if all runs are dense)",
}


@dataclass(frozen=True)
class Pick:
    """Which rows of a table are its runs.

    `where` keeps the rows for which it is true; of those, `last_per` keeps the one with most data
    of each group, such as the end of each run, and of those `best_per` the one of least loss, such
    as the tuned run of each cell. Groups are named by columns; `N`, `D` and `S` are sizes, data and
    sparsities as `simlib.runs.cells` tells them apart.
    """

    where: str = ""
    last_per: tuple[str, ...] = ()
    best_per: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableReading:
    """How a file becomes a run table: an expression for each field, and which rows count."""

    columns: Mapping[str, Expression] = field(default_factory=dict)
    pick: Pick = Pick()

    def unread(self, header: Sequence[str]) -> list[str]:
        """The columns of a file that nothing reads. Raises InputError for no expression."""
        known = set(self.columns) | set(FIELDS)
        expressions = [
            *self.columns.values(),
            *([Expression(self.pick.where)] * bool(self.pick.where)),
        ]
        used = set().union(*(e.columns(header) for e in expressions))
        used |= {*self.pick.last_per, *self.pick.best_per}
        return [name for name in header if name not in used and name not in known]


def parse_columns(text: str) -> dict[str, Expression]:
    """Fields and their expressions from `nonzero_params=n*1e6,sparsity=1-dense/total,data_seen=d`.

    Raises InputError for a pair that cannot be read or a field that a run table does not have.
    """
    found = {}
    for pair in _split(text):
        name, equals, source = (part.strip() for part in pair.partition("="))
        if not (equals and source) or source.startswith("=") or name not in FIELDS:
            raise InputError(
                f"columns are written as field=column pairs with fields such as "
                f"{', '.join(ESSENTIAL)}; got {pair!r}"
            )
        found[name] = Expression(source)
    return found


def parse_names(text: str | None) -> tuple[str, ...]:
    """Names from a list with commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no quotes."""
    parts, quote = [""], ""
    for character in text:
        if character == "," and not quote:
            parts.append("")
            continue
        if character in "'\"":
            quote = "" if character == quote else quote or character
        parts[-1] += character
    return parts


def read_foreign(
    path: str | Path, columns: Mapping[str, Expression], pick: Pick | None = None
) -> RunTable:
    """Read a table by its owner's column names; fields that keep their name need no entry.

    `simlib.runs.cellfile` says which formats. Other columns are left out. Dense parameters and
    sparsity stand in for non-zero parameters. Raises InputError naming what is missing, or whose
    unit cannot be right, and the remedy.
    """
    path, pick = Path(path), pick or Pick()
    rows = read_cells(path)
    if len(rows) < 2:
        raise InputError(f"{path}: there are no runs below the header")
    header = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if row and len(row) != len(header):
            raise InputError(
                f"{path}: row {number} has {len(row)} values where the header has {len(header)}"
            )
    known = {h: Expression(h) for h in header if h in FIELDS} | dict(columns)
    _refuse_missing(path, header, known, pick)
    body = [[cell.strip() for cell in row] or [""] * len(header) for row in rows[1:]]
    raw = dict(zip(header, map(list, zip(*body, strict=True)), strict=True))
    values = _with_nonzero({f: _values(path, f, e, raw, len(body)) for f, e in known.items()})
    kept = np.flatnonzero(np.array([any(row) for row in rows[1:]]))
    kept = picked(path, raw, values, kept, pick)
    if not len(kept):
        raise InputError(f"{path}: no row is left by what --where keeps ({pick.where!r:.80})")
    _refuse_unknown(path, raw, known, values, kept)
    texts = {f: _texts(f, v, f in known and known[f].is_column(header)) for f, v in values.items()}
    _refuse_implausible(path, {f: v[kept] for f, v in values.items()})
    cells: list[list[str]] = [[] for _ in body]  # what is not kept stays empty, rows their numbers
    for at in kept:
        cells[at] = [texts[f][at] for f in texts]
    table = table_of(path, list(texts), cells)
    refuse_mixture(table)
    return table


def picked(
    path: Path,
    raw: Mapping[str, list[str]],
    values: Mapping[str, Values],
    kept: Indices,
    pick: Pick,
) -> Indices:
    """The rows among `kept` that `pick` keeps, in their order. Raises InputError."""
    if pick.where:
        texts = {f: list(map(str, v)) for f, v in values.items()}
        keep = Expression(pick.where).values({**texts, **raw}, len(next(iter(values.values()))))
        if keep.dtype != bool:
            raise InputError(
                f"--where is true or false in each row, such as loss>0; got {pick.where!r}"
            )
        kept = kept[keep[kept]]
    for names, by, most in ((pick.last_per, "data_seen", True), (pick.best_per, "loss", False)):
        if names and len(kept):
            score = numbers(values[by])[kept] * (1 if most else -1)
            score = np.where(np.isnan(score), -np.inf, score)
            kept = kept[_greatest(score, numbered(_groups(path, raw, values, kept, names)))]
    return kept


def _greatest(score: Array, group: Indices) -> Bools:
    """Whether each row is the first of greatest score in its group."""
    order = np.lexsort((np.arange(len(score)), -score, group))
    first = np.ones(len(score), dtype=bool)
    first[1:] = np.diff(group[order]) > 0
    found = np.zeros(len(score), dtype=bool)
    found[order[first]] = True
    return found


def _groups(
    path: Path,
    raw: Mapping[str, list[str]],
    values: Mapping[str, Values],
    kept: Indices,
    names: tuple[str, ...],
) -> list[tuple[object, ...]]:
    """What each kept row has in the named columns."""
    keys: list[list[object]] = []
    for name in names:
        if name in LETTERS:
            number = numbers(values[LETTERS[name]])[kept]
            good = np.isfinite(number) & ((number > 0) if name != "S" else (number < 1))
            if not good.all():
                row = int(kept[int(np.argmin(good))]) + 2
                raise InputError(
                    f"{path}: row {row} has no {LETTERS[name]} to be grouped by: leave such rows "
                    "out with --where"
                )
            keys.append((sparsity_index if name == "S" else size_index)(number).tolist())
        elif name in raw:
            keys.append([raw[name][at] for at in kept])
        else:
            raise InputError(
                f"{path}: there is no column {name!r} to group by; there are N, D, S and "
                f"{', '.join(raw)}"
            )
    return list(zip(*keys, strict=True))


def _refuse_missing(
    path: Path, header: list[str], known: Mapping[str, Expression], pick: Pick
) -> None:
    wanted = {f"for {name}": expression for name, expression in known.items()}
    for what, expression in wanted.items():
        try:
            used = expression.columns(header)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        for name in sorted(used):
            if name not in header:
                raise InputError(
                    f"{path}: there is no column {name!r} {what}; there are {', '.join(header)}"
                )
            if header.count(name) > 1:
                raise InputError(
                    f"{path}: {header.count(name)} columns are called {name!r}: give the one that "
                    f"holds {what.removeprefix('for ')} a name of its own"
                )
    fields = _with_nonzero({name: np.zeros(0) for name in known})
    missing = [name for name in ESSENTIAL if name not in fields]
    if missing:
        hint = HINTS.get(missing[0], "")
        raise InputError(
            f"{path}: no column holds {missing[0]}{hint}; name it with "
            f"--columns {missing[0]}=COLUMN; there are {', '.join(header)}"
        )


def _values(
    path: Path, name: str, expression: Expression, raw: Mapping[str, list[str]], rows: int
) -> Values:
    """A field in each row."""
    try:
        found = expression.values(raw, rows)
    except InputError as error:
        raise InputError(f"{path}: {name}: {error}") from error
    if found.dtype == bool:
        raise InputError(f"{path}: {name} is a value, and {expression.text!r:.80} is true or false")
    return found


def _with_nonzero(values: dict[str, Values]) -> dict[str, Values]:
    """The fields, with non-zero parameters from dense ones and the sparsity where needed."""
    if "nonzero_params" in values or not {"dense_params", "sparsity"} <= set(values):
        return values
    nonzero = numbers(values["dense_params"]) * (1 - numbers(values["sparsity"]))
    return {**values, "nonzero_params": nonzero}


def _refuse_unknown(
    path: Path,
    raw: Mapping[str, list[str]],
    known: Mapping[str, Expression],
    values: Mapping[str, Values],
    kept: Indices,
) -> None:
    """Raises InputError naming the first row that has no number where one is needed."""
    for name in ESSENTIAL:
        found = values[name]
        if found.dtype == object:
            _refuse_words(path, name, found, kept)
            continue
        if np.isfinite(found[kept]).all():
            continue
        at = int(kept[int(np.argmin(np.isfinite(found[kept])))])
        expression = known.get(name, Expression("dense_params*(1-sparsity)"))
        used = expression.columns(list(raw)) if name in known else ()
        there = ", ".join(f"{c} is {raw[c][at]!r:.40}" for c in sorted(used))
        raise InputError(
            f"{path}: row {at + 2}, column {name!r}: {expression.text} has no value there"
            f"{f' ({there})' if there else ''}; leave such rows out with --where"
        )


def _refuse_words(path: Path, name: str, texts: Values, kept: Indices) -> None:
    """Raises InputError for the first kept cell that is no number; NaN is one."""
    for at in kept:
        try:
            float(texts[at])
        except ValueError as error:
            what = (
                f"{texts[at]!r:.40} is no number: write it without separators or units"
                if texts[at]
                else "there is no value; leave such rows out"
            )
            raise InputError(f"{path}: row {at + 2}, column {name!r}: {what}") from error


def _texts(name: str, values: Values, is_column: bool) -> list[str]:
    """A field as the texts of a run table, in its unit; counts become whole numbers."""
    return [_text(name, value, is_column) for value in values]


def _text(name: str, value: object, is_column: bool) -> str:
    number = numbers(np.array([value], dtype=object))[0]
    if not np.isfinite(number):
        return value if isinstance(value, str) else ""
    if name in COUNTS:
        return str(round(number))
    if is_column or isinstance(value, str):
        return str(value)
    return repr(round(float(number), 12) if name == "sparsity" else float(number))  # 1 - 0.9 is 0.1


def _refuse_implausible(path: Path, values: Mapping[str, Values]) -> None:
    """Raises InputError where a whole column's unit cannot be right."""
    most = {}
    for name in ESSENTIAL:
        number = numbers(values[name])
        number = number[~np.isnan(number)]
        most[name] = float(number.max()) if len(number) else float("nan")
    if 1 < most["sparsity"] <= 100:
        raise InputError(
            f"{path}: sparsity reaches {most['sparsity']:g}; it is a fraction here: "
            "for percentages write --columns sparsity=COLUMN*0.01, for percentages of what is "
            "left sparsity=1-COLUMN*0.01"
        )
    if most["sparsity"] == 1:
        raise InputError(
            f"{path}: sparsity reaches 1, a model of zeros; if the column holds "
            "densities, write --columns sparsity=1-COLUMN"
        )
    refuse_units(path, most)


def refuse_units(path: str | Path, most: Mapping[str, float]) -> None:
    """Raises InputError where a column's greatest value says that its unit cannot be right."""
    for field_name in ("nonzero_params", "data_seen"):
        if most[field_name] < FEWEST:
            raise InputError(
                f"{path}: {field_name} is {most[field_name]:g} at most; if that is in millions, "
                f"write --columns {field_name}=COLUMN*1e6"
            )
    if most["loss"] > MOST_NATS:
        raise InputError(
            f"{path}: loss reaches {most['loss']:g}, more than any cross-entropy in nats; if it is "
            "a perplexity, write --columns loss=log(COLUMN), if it is in bits, write "
            "loss=COLUMN*ln2"
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
