"""The run record and the run table: one CSV row a training run, one schema for all of them."""

from __future__ import annotations

import csv
import fcntl
import io
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simlib import files
from simlib.errors import InputError
from simlib.files import DAMAGED, extend_file, replace_file

log = logging.getLogger("simlib.runs")
# what `started_at` looks like where simlib trained, with 0 for every digit
_STARTED_AT = "0000-00-00T00:00:00+00:00"

MOST = int(1e30)  # parameters or data: more is a slip, and too much for arithmetic
Count = Annotated[int, Field(gt=0, le=MOST)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Family = Literal["gpt", "t5", "vit", "other"]


class RunRecord(BaseModel):
    """One training run, as measured. Names and units: the book's page on words and units.

    `nonzero_params` counts the body, `total_nonzero_params` everything, of which
    `head_nonzero_params` is the output layer. `flops` is `6 N D` with N the mean number of non-zero
    body weights over the run and D `data_seen`; `flops_head` and `flops_embeddings` are the same
    over output layer and embeddings, to be added where cost is to count them. To look a token up is
    no FLOP, to project a patch is; the output layer of a t5 sees fewer tokens than D.
    `loss` is the validation cross-entropy at the last step in nats (per token or per image);
    it may be NaN only when `diverged` is true. `loss_ema` and `loss_mean` are the same for averages
    of the weights, zero where the last ones are: an exponential one, the mean over the cooldown.
    `loss_shuffled` (encoder-decoders only) is the same with the encoder's inputs moved to other
    examples: as much as it exceeds `loss`, the decoder uses its encoder. `compute` says how a step
    was computed, `cpu` what torch uses of the processor, as in AVX512: last digits depend on both.
    `commit` ends in "-dirty" where source was edited.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = ""
    family: Family = "other"
    dataset: str = ""
    dataset_sha256: str = ""
    pattern: str = "unstructured"
    pruner: str = "none"
    start: str = "scratch"
    nonzero_params: Count
    dense_params: Count | None = None
    total_nonzero_params: Count | None = None
    head_nonzero_params: Count | None = None
    embeddings: Literal["", "dense", "pruned"] = ""
    sparsity: Annotated[float, Field(ge=0, lt=1)]
    data_seen: Count
    flops: Positive | None = None
    flops_head: Positive | None = None
    flops_embeddings: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    steps: Count | None = None
    batch: Count | None = None
    seq_len: Count | None = None
    width: Count | None = None
    depth: Count | None = None
    heads: Count | None = None
    lr: Positive | None = None
    seed: Annotated[int, Field(ge=-MOST, le=MOST)] | None = None
    prune_start: float | None = None
    prune_end: float | None = None
    schedule: str = ""
    optimizer: str = "adamw"
    mask_optimizer: bool = True
    weight_bits: Count | None = None
    train_loss: float | None = None
    loss: float
    loss_stderr: Annotated[float, Field(ge=0)] | None = None
    loss_ema: Positive | None = None
    loss_mean: Positive | None = None
    loss_shuffled: Positive | None = None
    loss_shuffled_stderr: Annotated[float, Field(ge=0)] | None = None
    diverged: bool = False
    seconds: Annotated[float, Field(ge=0)] | None = None
    device: str = ""
    precision: str = ""
    compute: str = ""
    threads: Count | None = None
    cpu: str = ""
    versions: str = ""
    commit: str = ""
    started_at: str = ""  # stays the last column: it shows whether a row is whole

    @model_validator(mode="after")
    def _loss_is_finite_unless_diverged(self) -> RunRecord:
        if not self.diverged and not (np.isfinite(self.loss) and self.loss > 0):
            raise ValueError(f"loss {self.loss} is not a positive number, yet diverged is false")
        return self


FIELDS: tuple[str, ...] = tuple(RunRecord.model_fields)
REQUIRED: tuple[str, ...] = tuple(n for n, f in RunRecord.model_fields.items() if f.is_required())


class RunTable:
    """An immutable sequence of run records with columns as arrays of shape (runs,)."""

    def __init__(self, records: Iterable[RunRecord]) -> None:
        self.records = tuple(records)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self.records)

    def column(self, name: str) -> NDArray[Any]:
        """Values of one field, shape (runs,). Raises InputError for an unknown field."""
        if name not in FIELDS:
            raise InputError(f"a run table has no column {name!r}; it has {', '.join(FIELDS)}")
        return np.array([getattr(r, name) for r in self.records])

    @property
    def sparsity(self) -> NDArray[np.float64]:
        """Fraction of zero weights among the prunable ones, shape (runs,)."""
        return self.column("sparsity").astype(float)

    @property
    def nonzero_params(self) -> NDArray[np.float64]:
        """Non-zero prunable parameters, shape (runs,)."""
        return self.column("nonzero_params").astype(float)

    @property
    def data_seen(self) -> NDArray[np.float64]:
        """Tokens or images seen, shape (runs,)."""
        return self.column("data_seen").astype(float)

    @property
    def loss(self) -> NDArray[np.float64]:
        """Validation loss in nats, shape (runs,)."""
        return self.column("loss").astype(float)

    def where(self, **equals: Any) -> RunTable:
        """The runs whose fields equal the given values."""
        return RunTable(
            r for r in self.records if all(getattr(r, k) == v for k, v in equals.items())
        )

    @property
    def finished(self) -> RunTable:
        """The runs that did not diverge: those a law can be fitted to."""
        return RunTable(r for r in self.records if not r.diverged)

    def merge(self, other: RunTable) -> RunTable:
        """Both tables' runs; of two with one run_id the other table's is kept."""
        replaced = {r.run_id for r in other.records if r.run_id}
        return RunTable([*(r for r in self.records if r.run_id not in replaced), *other.records])


def read_table(path: str | Path) -> RunTable:
    """Read and check a run table.

    Raises InputError naming file, row and column for the first thing that is wrong, half a last
    row included: what is concluded from a table must not lose a run in silence.
    """
    path = Path(path)
    whole, half = _parted(path, _content(path))
    if whole and half:
        number = len(whole.splitlines()) + 1
        raise InputError(
            f"{path}: row {number} was cut off while it was written: repeat the command that "
            "writes the table, or delete that row"
        )
    return _parse(path, whole or half)


def recorded_runs(path: str | Path) -> RunTable:
    """The runs in a table that is still written, for those who go on writing it.

    No file, an empty one and half a header hold no run. Half a last row is left out, with a
    warning: its run is not recorded, and the next `append_record` sets it aside. Raises InputError
    as `read_table` does for everything else.
    """
    path = Path(path)
    whole, half = _parted(path, _content(path) if path.exists() else b"")
    if whole and half:
        warn_once(f"{path}: the last row was cut off while it was written; its run counts as new")
    return _parse(path, whole) if whole else RunTable([])


def table_of(path: Path, header: list[str], rows: Iterable[list[str]]) -> RunTable:
    """The run table of a header and rows of text; see `read_table` for what is refused."""
    _check_header(path, header)
    records = []
    for number, row in enumerate(rows, start=2):
        if row:
            records.append(_parse_row(path, number, header, row))
    _refuse_repeated_ids(path, records)
    return RunTable(records)


def write_table(path: str | Path, table: RunTable) -> None:
    """Write a run table in one step: a reader sees the old file or the new one, never a part."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows(_row(r) for r in table)
    replace_file(path, buffer.getvalue().encode(), "run table")


def append_record(path: str | Path, record: RunRecord) -> None:
    """Append one run; several processes may append to one file.

    A last row without its end of line gets it. Half a row, which a full disk or a kill left, is
    moved to a file beside the table. Raises InputError if the run could not be recorded: then the
    table is as it was.
    """
    path = Path(path)
    try:
        files.disk.folder(path.parent)
        with _locked(path) as file:
            _append(path, file, record)
    except OSError as error:
        raise InputError(f"{path}: the run could not be recorded ({error})") from error


def _append(path: Path, file: io.FileIO, record: RunRecord) -> None:
    content = file.read()
    whole, half = _parted(path, content)
    if whole and half:
        _set_aside(path, half)
    if whole and not whole.startswith(_line(FIELDS)):
        # begun before columns were added: it gets all columns, at once
        write_table(path, RunTable([*_parse(path, whole), record]))
        return
    kept = len(whole) if content.startswith(whole) else len(whole) - 1  # its end of line is missing
    header = b"" if whole else _line(FIELDS)
    extend_file(file, kept, whole[kept:] + header + _line(_row(record)))


@contextmanager
def _locked(path: Path) -> Iterator[io.FileIO]:
    """The file, for this process alone and from its beginning; made if it is not there."""
    while True:
        with files.disk.open(path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            # another process may have put a new file in its place while this one waited
            if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                yield file
                return


def _content(path: Path) -> bytes:
    """The bytes of a table, between two appends."""
    try:
        with path.open("rb") as file:
            with suppress(OSError):  # some file systems have no locks
                fcntl.flock(file, fcntl.LOCK_SH)
            return file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a run table ({error})") from error


def _parted(path: Path, content: bytes) -> tuple[bytes, bytes]:
    """The whole rows, header first and each with its end of line, and half a row after them.

    The last row has lost its end of line where an editor wrote the table, and more where a disk
    was full. Without a line that has ended there is no row, whole or half: the second part is
    then what there is of a header.
    """
    end = content.rfind(b"\n") + 1
    whole, last = content[:end], content[end:].rstrip(b"\0")  # a power cut may leave zeros
    if not whole and not _begins_header(last):
        _check_header(path, next(_rows(path, last), []))
    if whole and last and _is_whole(path, whole, last):
        return whole + last + b"\n", b""
    return whole, last


def _is_whole(path: Path, above: bytes, last: bytes) -> bool:
    """Whether nothing is missing at the end of the last row, given the rows above it.

    A whole row has valid values for all columns, and its last value is no part of a longer one.
    That can be seen of `started_at`, which is the last column for this reason: it has the form of
    those above, or the one that it has where simlib trained, which names versions too. Where
    neither is at hand, as in a table that ends with another column, the row is taken as it stands.
    """
    table, header = _parse(path, above), next(_rows(path, above))
    try:
        (row,) = _rows(path, last)
        record = _parse_row(path, 0, header, row)
    except (InputError, ValueError):
        return False
    forms = {_form(r.started_at) for r in table}
    if header[-1] != "started_at" or not (forms or record.versions):
        return True
    return _form(record.started_at) in forms | {_STARTED_AT}


def _form(text: str) -> str:
    return re.sub(r"\d", "0", text)


def _begins_header(line: bytes) -> bool:
    """Whether a line that has not ended may be a header, or the beginning of one."""
    *names, last = line.decode("utf-8-sig", errors="replace").split(",")
    return all(n in FIELDS for n in names) and any(f.startswith(last) for f in FIELDS)


def _set_aside(path: Path, half: bytes) -> None:
    aside = path.with_name(path.name + DAMAGED)
    with files.disk.open(aside, "ab") as file:
        extend_file(file, aside.stat().st_size, half + b"\n")
    log.warning(
        "%s: the last row was cut off while it was written; it lies in %s now, and its run counts "
        "as new",
        path,
        aside.name,
    )


@lru_cache(maxsize=256)
def warn_once(sentence: str) -> None:
    """Log a warning unless this process did: several parts of a command see the same fault."""
    log.warning("%s", sentence)


def _rows(path: Path, content: bytes) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(content.decode("utf-8-sig")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a run table ({error})") from error


def _parse(path: Path, content: bytes) -> RunTable:
    rows = _rows(path, content)
    return table_of(path, next(rows, []), rows)


def _line(values: Iterable[object]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue().encode()


def _row(record: RunRecord) -> list[object]:
    """The values of a row, which is one line."""
    values = (getattr(record, name) for name in FIELDS)
    return [
        " ".join(v.splitlines()) if isinstance(v, str) else "" if v is None else v for v in values
    ]


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise InputError(f"{path}: the file is empty; a run table begins with a header row")
    unknown = [h for h in header if h not in FIELDS]
    if unknown:
        raise InputError(f"{path}: row 1, column {unknown[0]!r} is not a run-table column")
    if twice := next((h for h in header if header.count(h) > 1), None):
        raise InputError(
            f"{path}: row 1, {header.count(twice)} columns are called {twice!r}: keep the one that "
            "is meant"
        )
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise InputError(f"{path}: row 1, the column {missing[0]!r} is missing")


def _parse_row(path: Path, number: int, header: list[str], row: list[str]) -> RunRecord:
    if len(row) != len(header):
        raise InputError(
            f"{path}: row {number} has {len(row)} values where the header has {len(header)}"
        )
    try:
        return RunRecord.model_validate({k: v for k, v in zip(header, row, strict=True) if v != ""})
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(str(p) for p in first["loc"]) or "loss"
        raise InputError(
            f"{path}: row {number}, column {column!r}: {first['msg']} (got {first['input']!r:.40})"
        ) from error


def _refuse_repeated_ids(path: Path, records: list[RunRecord]) -> None:
    seen: dict[str, int] = {}
    for number, record in enumerate(records, start=2):
        if record.run_id and record.run_id in seen:
            raise InputError(
                f"{path}: row {number}, column 'run_id': {record.run_id!r} stands in row "
                f"{seen[record.run_id]} already"
            )
        seen[record.run_id] = number
