"""The runs that a carried job left, brought into a folder of runs."""

from __future__ import annotations

import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from simlib.errors import InputError
from simlib.files import put_bytes
from simlib.runs.table import RunTable, append_record, recorded_runs
from simlib.train.checkpoint import cannot_write, claim, load_state
from simlib.train.records import RESUME, TABLE, Folder, before

_ID = re.compile(r"[0-9a-f]{16}")
# the files of a run or a prefix, and logs of prefixes; nothing else is taken
_KEPT = re.compile(rf"(?:{_ID.pattern}|prefixes(?:/{_ID.pattern})?)/\w[\w.-]*")
_PACKED = 100  # times as large as in the archive its files may be: checkpoints reach about ten
_SMALL = 64 * 2**20  # bytes that are always taken
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Collected:
    """The rows of an archive, and those among them that the folder did not hold."""

    rows: RunTable
    new: RunTable


def collect(archive: str | Path, out: str | Path, *, everything: bool = False) -> Collected:
    """Add an archive's runs to the folder `out`; repeated, it changes nothing.

    Finished runs come with side file and weights, and `everything` takes checkpoints and prefixes
    too, to go on with, but never in the place of one that is further. Nobody else may work in the
    folder meanwhile. Raises InputError for a file that is no such archive or far too large, for
    rows without the id of a run, and where one corpus would stand in two versions.
    """
    folder = Folder(Path(out))
    with _opened(archive) as file:
        theirs = _rows(archive, file)
        with claim(folder.lock, alone=True):
            own = folder.recorded()
            _refuse_two_versions(archive, own, theirs)
            known = {r.run_id for r in own}
            new = RunTable(r for r in theirs if r.run_id not in known)
            finished = {r.run_id for r in new}
            for name in file.namelist():
                run_id = name.split("/")[0]
                if not _KEPT.fullmatch(name) or name.endswith("/lock"):
                    continue
                if run_id in finished:
                    _write(folder.root / name, file.read(name))
                elif everything and run_id not in known:
                    _keep_further(folder.root / name, file.read(name))
            for record in new:  # rows last: what is recorded is whole
                append_record(folder.table, record)
    return Collected(theirs, new)


@contextmanager
def _opened(archive: str | Path) -> Iterator[zipfile.ZipFile]:
    """The archive, whose files have sizes that can be right; whatever reading it raises is said."""
    try:
        with zipfile.ZipFile(archive) as file:
            _refuse_too_large(archive, file)
            yield file
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise InputError(f"{archive} cannot be read as an archive of runs: {error}") from error


def _refuse_too_large(archive: str | Path, file: zipfile.ZipFile) -> None:
    """Nothing is unpacked before: a file of a megabyte may hold one of gigabytes of zeros."""
    infos = file.infolist()
    if strange := next((i for i in infos if i.compress_type not in _READABLE), None):
        raise InputError(
            f"{archive} cannot be read as an archive of runs: {strange.filename!r:.80} is packed "
            "in a way that simlib does not use"
        )
    size, packed = sum(i.file_size for i in infos), Path(archive).stat().st_size
    if size > max(_SMALL, _PACKED * packed):
        raise InputError(
            f"{archive} has {packed:,} bytes and would unpack to {size:,}: simlib packs no such "
            "archive, so nothing of it was taken"
        )


def _rows(archive: str | Path, file: zipfile.ZipFile) -> RunTable:
    if TABLE not in file.namelist():
        return RunTable([])
    with tempfile.TemporaryDirectory() as place:
        table = Path(place) / TABLE
        put_bytes(table, file.read(TABLE))
        rows = recorded_runs(table)
    for row in rows:
        if not _ID.fullmatch(row.run_id):
            raise InputError(
                f"{archive} has a row whose run_id is {row.run_id!r:.80}, which is no run's: 16 "
                "hex digits were expected"
            )
    return rows


def _refuse_two_versions(archive: str | Path, own: RunTable, theirs: RunTable) -> None:
    versions: dict[str, str] = {}
    for run in (*own, *theirs):
        first = versions.setdefault(run.dataset, run.dataset_sha256)
        if run.dataset_sha256 != first:
            raise InputError(
                f"{archive} brings runs on {run.dataset!r} of two versions, of SHA-256 "
                f"{run.dataset_sha256[:16]}... beside {first[:16]}...: choose another "
                "folder for each version"
            )


def _keep_further(path: Path, content: bytes) -> None:
    """Write a file of an unfinished run, unless what is there is as good."""
    if not path.exists():
        _write(path, content)
    elif path.name == RESUME:
        with tempfile.TemporaryDirectory() as place:
            theirs = Path(place) / RESUME
            put_bytes(theirs, content)
            if _position(theirs) > max(_position(path), _position(before(path))):
                _write(path, content, before(path))


def _position(path: Path) -> int:
    """Steps in a checkpoint; -1 where there is none that is whole."""
    with suppress(InputError):
        return int(load_state(path)["position"])
    return -1


def _write(path: Path, content: bytes, kept: Path | None = None) -> None:
    try:
        put_bytes(path, content, kept)
    except OSError as error:
        raise cannot_write(path, error) from error
