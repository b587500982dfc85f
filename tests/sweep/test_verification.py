"""Recorded rows are trained again: those that agree pass, a changed one does not."""

import hashlib
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from simlib import models
from simlib.cli.evidence import command as evidence
from simlib.cli.verify import command as verify
from simlib.datasets import FOLDER
from simlib.errors import InputError
from simlib.pages.notebooks import notebook_folder
from simlib.runs.table import RunRecord, RunTable, read_table, write_table
from simlib.runs.verification import Repeat
from simlib.sweep import again
from simlib.sweep.again import draw, recorded_rows
from simlib.train.settings import cpu, versions

GRIDS = notebook_folder() / "grids"
QUICK = [
    "--table",
    "pruners-laptop",
    "--rows",
    "1",
    "--hours",
    "0.002",
    "--seed",
    "1",
    "--workers",
    "1",
]


@pytest.fixture(scope="module")
def rows():
    return recorded_rows(GRIDS, FOLDER)


def test_every_row_of_a_grid_can_be_drawn_with_what_it_starts_from(rows):
    tables = {row.table for row in rows}
    assert {"gpt-laptop", "vit-laptop", "t5-laptop", "pretrained-laptop"} <= tables
    for row in rows:
        assert row.configs[-1].run_id == row.record.run_id
        assert (len(row.configs) == 2) == (row.record.start != "scratch")
        if len(row.configs) == 2:
            assert row.configs[0].run_id == row.record.start
    spreads = [row.spread for row in rows if row.table == "optimum-laptop"]
    assert all(0 < s < 0.1 for s in spreads)  # three seeds each


def test_draws_repeat_and_keep_to_the_time_given(rows):
    first, second, other = (draw(rows, 6, seed) for seed in (1, 1, 2))
    assert first == second != other
    quick = draw(rows, 6, 1, hours=0.01)
    assert sum(r.seconds for r in quick) <= 36
    with pytest.raises(InputError, match="more hours"):
        draw(rows, 6, 1, hours=1e-9)
    with pytest.raises(InputError, match="no grid makes"):
        recorded_rows(GRIDS, FOLDER, ["nothing"])


@pytest.mark.slow
def test_a_small_row_agrees_and_a_changed_one_does_not(monkeypatch, tmp_path):
    result = CliRunner().invoke(verify, QUICK, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "1 of 1 agree" in result.output

    run_id = result.output.split("agrees pruners-laptop ")[1][:16]
    shutil.copytree(FOLDER, tmp_path / "datasets")
    table = tmp_path / "datasets" / "pruners-laptop.csv"
    write_table(
        table,
        RunTable(
            r.model_copy(update={"loss": r.loss * 1.02}) if r.run_id == run_id else r
            for r in read_table(table)
        ),
    )
    monkeypatch.setattr("simlib.datasets.FOLDER", tmp_path / "datasets")
    result = CliRunner().invoke(verify, QUICK, catch_exceptions=False)
    assert result.exit_code == 1
    assert "DIFFERS pruners-laptop" in result.output
    assert "0 of 1 agree" in result.output


@pytest.mark.parametrize(
    ("again", "same", "agrees"),
    [(2.0, True, True), (2.0 + 1e-12, True, False), (2.015, False, True), (2.03, False, False)],
)
def test_equal_to_the_bit_here_and_close_elsewhere(again, same, agrees):
    assert Repeat("t", "id", "run", 2.0, again, same, None, None).agrees == agrees


def test_where_seeds_differ_more_a_row_may_too():
    """Twice the usual spread is allowed on another machine, and nothing on the same one."""
    assert Repeat("t", "id", "run", 2.0, 2.05, False, None, 0.02).agrees
    assert not Repeat("t", "id", "run", 2.0, 2.09, False, 0.5, 0.02).agrees
    assert not Repeat("t", "id", "run", 2.0, 2.05, True, 0.5, 0.02).agrees


def test_rows_of_older_kernels_are_not_of_the_same_machine():
    now = RunRecord(
        nonzero_params=1, sparsity=0, data_seen=1, loss=1, cpu=cpu(), versions=versions()
    )
    for begun, same in (("2026-11-27T19:44:19+00:00", False), ("2026-11-27T20:44:21+01:00", True)):
        assert again.is_same_machine(now.model_copy(update={"started_at": begun})) == same


def test_whoever_changes_the_kernels_says_since_when():
    found = hashlib.sha256((Path(models.__file__).parent / "fused.c").read_bytes()).hexdigest()
    assert found == again.KERNELS_SHA256, (
        "fused.c has changed: if it rounds otherwise now, set KERNELS_SINCE to the time of the "
        "change; in any case set KERNELS_SHA256 in simlib/sweep/again.py"
    )


def test_data_that_are_not_at_hand_are_named(monkeypatch, rows):
    photographs = next(row for row in rows if row.table == "cifar-laptop")
    monkeypatch.setattr(again, "check", _refuse)
    assert "photographs" in again.absent(photographs)


def _refuse(*_: object) -> None:
    raise InputError("the photographs are not at hand")


def test_evidence_trains_what_tables_lack(tmp_path):
    def call(*options: str) -> str:
        result = CliRunner().invoke(evidence, list(options), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    said = call("--dry-run", "--only", "gpt-recipe")
    assert said == "nothing is missing that could be trained here\n"
    fresh = call("--dry-run", "--only", "gpt-recipe", "--fresh", str(tmp_path))
    assert "gpt-recipe: 0 rows recorded, 40 to train" in fresh
    with pytest.raises(InputError, match="no grid 'unknown' has a table"):
        call("--only", "unknown")
