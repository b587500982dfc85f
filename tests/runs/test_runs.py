"""The run table: what is written is read back, and what is wrong is refused by row and column."""

import csv
import multiprocessing
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
from factories import run_record as record

from simlib.errors import InputError
from simlib.runs.table import (
    FIELDS,
    RunTable,
    append_record,
    read_table,
    recorded_runs,
    write_table,
)


def test_a_written_table_reads_back_equal(tmp_path):
    table = RunTable([record(), record(run_id="b2", loss=float("nan"), diverged=True, lr=1e-3)])
    write_table(tmp_path / "t.csv", table)
    back = read_table(tmp_path / "t.csv")
    assert back.records[0] == table.records[0]
    assert np.isnan(back.records[1].loss)
    assert back.finished.records == table.records[:1]


MANY = 20  # runs that each process appends


def _append_many(path, start):
    for i in range(MANY):
        append_record(path, record(run_id=f"{start}-{i}"))


def _append_from_three_processes(path):
    workers = [multiprocessing.Process(target=_append_many, args=(path, s)) for s in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_processes_appending_at_once_lose_nothing(tmp_path):
    path = tmp_path / "t.csv"
    _append_from_three_processes(path)
    assert len({r.run_id for r in read_table(path)}) == 3 * MANY


def _cut_column(path, name):
    """Rewrite a table as it was before the column `name` was added."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    at = rows[0].index(name)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(r[:at] + r[at + 1 :] for r in rows)


def test_a_table_begun_before_a_column_was_added_gets_it_with_the_next_run(tmp_path):
    path = tmp_path / "runs.csv"
    append_record(path, record(run_id="old"))
    _cut_column(path, "mask_optimizer")
    _append_from_three_processes(path)
    append_record(path, record(run_id="blind", mask_optimizer=False))
    runs = read_table(path)
    assert len(runs) == 1 + 3 * MANY + 1
    assert runs.records[0] == record(run_id="old")
    assert [r.run_id for r in runs if not r.mask_optimizer] == ["blind"]


ISO = "2026-11-27T11:04:09+00:00"
# rows as simlib, a loop of one's own and another clock write them
LAST = {
    "trained": {"versions": "torch 2, numpy 2", "commit": "c0ffee", "started_at": ISO},
    "another clock": {"started_at": datetime(2026, 11, 27, 11, 4, 9, 5).isoformat()},
    "no clock": {},
}


def ids(table):
    return [r.run_id for r in table]


@pytest.mark.parametrize("made", LAST)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("end", ["", "\r", "\0\0"])
def test_a_row_without_its_end_of_line_is_kept_by_the_next_append(tmp_path, made, count, end):
    path = tmp_path / "t.csv"
    rows = [record(run_id=f"{i}", **LAST[made]) for i in range(count + 1)]
    for row in rows[:count]:
        append_record(path, row)
    path.write_bytes(path.read_bytes()[:-1] + end.encode())
    assert list(recorded_runs(path)) == list(read_table(path)) == rows[:count]
    append_record(path, rows[count])
    assert list(read_table(path)) == rows
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(("made", "above"), [("trained", 0), ("trained", 1), ("another clock", 1)])
def test_half_a_row_never_counts_and_never_blocks_wherever_it_was_cut(
    tmp_path, made, above, caplog
):
    path, aside = tmp_path / "t.csv", tmp_path / "t.csv.damaged"
    rows = [record(run_id=i, pruner='a "b", c', **LAST[made]) for i in ("a1", "b2")]
    kept, row = rows[:above], rows[above]
    write_table(path, RunTable(kept))
    whole = path.read_bytes()
    append_record(path, row)
    last = path.read_bytes()[len(whole) :]
    for cut in range(1, len(last) - 1):
        path.write_bytes(whole + last[:cut])
        assert list(recorded_runs(path)) == kept
        with pytest.raises(InputError, match=rf"row {above + 2} was cut off.*delete that row"):
            read_table(path)
        caplog.clear()
        aside.unlink(missing_ok=True)
        append_record(path, row)
        assert list(read_table(path)) == [*kept, row]
        assert aside.read_bytes() == last[:cut] + b"\n"
        assert "t.csv.damaged" in caplog.text


@pytest.mark.parametrize("cut", [0, 5, 200, -1, None])
def test_an_empty_table_and_half_a_header_hold_no_run(tmp_path, cut):
    path = tmp_path / "t.csv"
    path.write_bytes((",".join(FIELDS) + "\n").encode()[:cut])
    assert len(recorded_runs(path)) == 0
    append_record(path, record())
    assert list(read_table(path)) == [record()]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_is_no_table_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    for text in ("remember the milk", "one,two\n1,2\n", "loss\n1\n2"):
        path.write_text(text)
        for act in (recorded_runs, read_table, lambda p: append_record(p, record())):
            with pytest.raises(InputError, match="row 1"):
                act(path)
        assert path.read_text() == text


def test_a_table_that_an_editor_saved_with_other_ends_of_line_loses_nothing(tmp_path):
    path = tmp_path / "t.csv"
    for name in ("a1", "b2"):
        append_record(path, record(run_id=name))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").rstrip())
    append_record(path, record(run_id="c3"))
    assert ids(read_table(path)) == ["a1", "b2", "c3"]


FULL = """
import resource, sys
from simlib.errors import InputError
from simlib.runs.table import RunRecord, append_record
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
record = RunRecord(run_id="new", nonzero_params=1, sparsity=0, data_seen=1, loss=1)
try:
    append_record(sys.argv[1], record)
except InputError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
@pytest.mark.parametrize("rows", [0, 2])
@pytest.mark.parametrize("room", [0, 1, 30])
def test_a_disk_that_is_full_leaves_the_table_as_it_was(tmp_path, rows, room):
    path = tmp_path / "t.csv"
    for number in range(rows):
        append_record(path, record(run_id=f"{number}"))
    if rows:
        path.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes() if rows else b""
    command = [sys.executable, "-c", FULL, str(path), str(len(before) + room)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "could not be recorded" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == before
    append_record(path, record())
    assert ids(read_table(path)) == [*map(str, range(rows)), "a1"]


def test_a_text_with_a_line_break_is_one_line(tmp_path):
    path = tmp_path / "t.csv"
    append_record(path, record(dataset="folder:a\nb\r\nc"))
    assert path.read_bytes().count(b"\n") == 2
    assert read_table(path).records[0].dataset == "folder:a b c"


def test_merge_prefers_the_other_tables_run():
    ours, theirs = RunTable([record(), record(run_id="b2")]), RunTable([record(loss=1.5)])
    merged = ours.merge(theirs)
    assert {r.run_id: r.loss for r in merged} == {"a1": 1.5, "b2": 2.5}


HEAD = "family,nonzero_params,sparsity,data_seen,loss"


def _file(tmp_path, text):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("family,nonzero_params\n", "'sparsity' is missing"),
        (HEAD + ",speed\n", "row 1, column 'speed'"),
        (HEAD + "\ngpt,10,1.0,5,2\n", "row 2, column 'sparsity'"),
        (HEAD + "\ngpt,x,0.5,5,2\n", "column 'nonzero_params'"),
        (HEAD + "\ngpt,10,0.5,5,nan\n", "diverged is false"),
        (HEAD + "\ngpt,10,0.5,5\n", "row 2 has 4 values"),
        (
            "run_id,family,nonzero_params,sparsity,data_seen,loss\na,gpt,9,0,5,2\na,gpt,9,0,5,2\n",
            "row 3, column 'run_id'",
        ),
    ],
)
def test_bad_tables_are_refused_by_row_and_column(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        read_table(_file(tmp_path, text))


def test_files_that_are_no_table_and_folders_that_refuse(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "x.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="could not be recorded"):
        append_record(tmp_path, record())
    with pytest.raises(InputError, match="no column 'speed'"):
        RunTable([record()]).column("speed")


def test_columns_are_those_of_the_contract():
    contract = """run_id family dataset dataset_sha256 pattern pruner start nonzero_params
        dense_params total_nonzero_params head_nonzero_params embeddings sparsity data_seen flops
        flops_head flops_embeddings steps batch seq_len width depth
        heads lr seed prune_start prune_end schedule optimizer mask_optimizer weight_bits
        train_loss loss loss_stderr loss_ema loss_mean
        loss_shuffled loss_shuffled_stderr diverged compute
        seconds device precision threads cpu versions commit started_at"""
    assert set(FIELDS) == set(contract.split())


def test_the_last_column_is_the_one_that_shows_whether_a_row_is_whole():
    assert FIELDS[-1] == "started_at"
