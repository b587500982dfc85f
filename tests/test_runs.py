"""The run table: what is written is read back, and what is wrong is refused by row and column."""

import csv
import multiprocessing

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.runs import FIELDS, RunRecord, RunTable, append_record, read_table, write_table


def record(**changes) -> RunRecord:
    fields = {
        "run_id": "a1", "family": "gpt", "dataset": "python", "nonzero_params": 1000,
        "dense_params": 4000, "sparsity": 0.75, "data_seen": 10**6, "loss": 2.5, "seed": 0,
        "pruner": "gmp, cubic",
    }  # fmt: skip
    return RunRecord(**{**fields, **changes})


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


@pytest.mark.parametrize("cut", [3, 40, -5])
def test_a_line_cut_by_a_kill_is_dropped_by_the_next_append(tmp_path, cut):
    path = tmp_path / "t.csv"
    append_record(path, record())
    whole = path.read_bytes()
    append_record(path, record(run_id="lost"))
    written = path.read_bytes()
    path.write_bytes(written[: len(whole) + cut] if cut > 0 else written[:cut])
    append_record(path, record(run_id="b2"))
    assert [r.run_id for r in read_table(path)] == ["a1", "b2"]


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
)  # fmt: skip
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
        seconds device precision threads versions commit started_at"""
    assert set(FIELDS) == set(contract.split())
