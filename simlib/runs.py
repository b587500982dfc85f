"""The run record and the run table: one CSV row a training run, one schema for all of them."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simlib.errors import InputError
from simlib.files import replace_file

Count = Annotated[int, Field(gt=0)]
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
    `loss_shuffled` (encoder-decoders only) is the
    same with the encoder's inputs moved to other examples: as much as it exceeds `loss`, the
    decoder uses its encoder.
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
    seed: int | None = None
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
    versions: str = ""
    commit: str = ""
    started_at: str = ""

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

    Raises InputError naming file, row and column for the first thing that is wrong.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a run table ({error})") from error
    rows = csv.reader(io.StringIO(text))
    return table_of(path, next(rows, []), rows)


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
    """Append one run; several processes may append to one file. Raises InputError if it cannot."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1  # a writer killed in mid-line recorded nothing
            if whole and not content.startswith(_line(FIELDS)):
                _rewrite(path, content[:whole], record)
                return
            file.truncate(whole)
            header = b"" if whole else _line(FIELDS)
            file.write(header + _line(_row(record)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"{path}: the run could not be recorded ({error})") from error


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file, for this process alone and from its beginning; made if it is not there."""
    while True:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            # another process may have put a new file in its place while this one waited
            if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                yield file
                return


def _rewrite(path: Path, content: bytes, record: RunRecord) -> None:
    """Append to a table that was begun before columns were added: it gets all columns, at once."""
    rows = csv.reader(io.StringIO(content.decode()))
    table = table_of(path, next(rows), rows)
    write_table(path, RunTable([*table, record]))


def _line(values: Iterable[object]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue().encode()


def _row(record: RunRecord) -> list[object]:
    return ["" if v is None else v for v in (getattr(record, name) for name in FIELDS)]


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise InputError(f"{path}: the file is empty; a run table begins with a header row")
    unknown = [h for h in header if h not in FIELDS]
    if unknown:
        raise InputError(f"{path}: row 1, column {unknown[0]!r} is not a run-table column")
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
