"""Archives come from other machines: what does not belong in a folder of runs stays out of it."""

import os
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from driver import BASE, ENTRIES

from simlib.cli import cli
from simlib.errors import InputError
from simlib.runs.table import RunRecord, RunTable, read_table, write_table
from simlib.sweep import collect as module
from simlib.sweep import expand
from simlib.sweep.allotted import pack_runs
from simlib.sweep.collect import collect
from simlib.train import Folder
from simlib.train.checkpoint import claim, load_state, save_state

RECORD = RunRecord(
    run_id="0" * 15 + "1",
    dataset="python",
    dataset_sha256="a" * 64,
    nonzero_params=10,
    sparsity=0.0,
    data_seen=100,
    loss=2.0,
    started_at="2026-01-01T00:00:00+00:00",
)
OTHER = RECORD.model_copy(update={"run_id": "0" * 15 + "2"})
(CONFIG,) = expand(BASE, ENTRIES[:1])


def archive(path: Path, *records: RunRecord, **files: str | bytes) -> Path:
    """An archive of these rows, a side file for each, and more files, with `__` for `/`."""
    write_table(path.with_suffix(".csv"), RunTable(records))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path.with_suffix(".csv"), "runs.csv")
        for record in records:
            file.writestr(f"{record.run_id}/side.json", "{}")
        for name, content in files.items():
            file.writestr(name.replace("__", "/"), content)
    return path


def everything_in(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.mark.parametrize(
    "run_id", ["../../evil", "prefixes", "", "x" * 16, "0" * 17, "A" * 16, "/tmp/evil"]
)
def test_an_id_that_is_none_is_refused(tmp_path: Path, run_id: str) -> None:
    evil = RECORD.model_copy(update={"run_id": run_id})
    with pytest.raises(InputError, match="which is no run's"):
        collect(archive(tmp_path / "runs.zip", RECORD, evil), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_no_run_leaves_are_not_taken(tmp_path: Path) -> None:
    strange = {
        "../evil": "x",
        "/evil": "x",
        "simlib/__init__.py": "x",
        f"{RECORD.run_id}/../evil": "x",
        f"{RECORD.run_id}/deep/evil": "x",
        f"{RECORD.run_id}/.hidden": "x",
        f"{RECORD.run_id}/lock": "x",
        "prefixes/../../evil": "x",
    }
    made = archive(tmp_path / "runs.zip", RECORD, **strange)
    collect(made, tmp_path / "home" / "out", everything=True)
    found = everything_in(tmp_path / "home")
    assert found.keys() == {"out/runs.csv", f"out/{RECORD.run_id}/side.json"}


@pytest.mark.parametrize("there", [False, True])
def test_two_versions_of_a_corpus_are_refused(tmp_path: Path, there: bool) -> None:
    later = OTHER.model_copy(update={"dataset_sha256": "b" * 64})
    out = tmp_path / "out"
    if there:
        collect(archive(tmp_path / "first.zip", RECORD), out)
    before = everything_in(out)
    with pytest.raises(InputError, match="two versions"):
        collect(archive(tmp_path / "runs.zip", *([] if there else [RECORD]), later), out)
    assert everything_in(out) == before


def test_what_would_unpack_to_a_hundred_times_its_size_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SMALL", 2**16)
    made = archive(tmp_path / "runs.zip", RECORD, **{f"{RECORD.run_id}__log.txt": bytes(2**24)})
    with pytest.raises(InputError, match="would unpack to 16,"):
        collect(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_repeated_it_changes_nothing(tmp_path: Path) -> None:
    out, run = tmp_path / "out", "0" * 15 + "3"
    made = archive(tmp_path / "runs.zip", RECORD, OTHER, **{f"{run}__side.json": "{}"})
    first = collect(made, out, everything=True)
    before = everything_in(out)
    again = collect(made, out, everything=True)
    assert (len(first.new), len(again.new)) == (2, 0)
    assert list(again.rows) == [RECORD, OTHER]
    assert everything_in(out) == before
    assert f"{run}/side.json" in before


@pytest.mark.parametrize(("theirs", "here", "kept"), [(5, 9, 9), (9, 5, 9), (5, None, 5)])
def test_a_checkpoint_never_goes_back(
    tmp_path: Path, theirs: int, here: int | None, kept: int
) -> None:
    away, home = Folder(tmp_path / "away"), Folder(tmp_path / "home")
    for resume in (Folder.resume, Folder.prefix_resume):
        save_state(resume(away, CONFIG), {"position": theirs})
        if here:
            save_state(resume(home, CONFIG), {"position": here})
    pack_runs(away.root, tmp_path / "runs.zip")
    for _ in range(2):
        collect(tmp_path / "runs.zip", home.root, everything=True)
        for resumes in (home.resumes(CONFIG), home.prefix_resumes(CONFIG)):
            assert load_state(resumes[0])["position"] == kept
            if here and kept != here:
                assert load_state(resumes[1])["position"] == here


def test_a_folder_in_which_somebody_works_is_left_alone(tmp_path: Path) -> None:
    out = Folder(tmp_path / "out")
    made = archive(tmp_path / "runs.zip", RECORD)
    with claim(out.lock), pytest.raises(InputError, match="another sweep works in"):
        collect(made, out.root)
    assert not out.table.exists()
    assert len(collect(made, out.root).new) == 1


def test_the_table_of_the_archives_is_theirs_however_often_they_are_collected(
    tmp_path: Path,
) -> None:
    made = archive(tmp_path / "runs.zip", RECORD, OTHER)
    table = tmp_path / "gpu.csv"
    call = ["collect", str(made), "--out", str(tmp_path / "out"), "--table", str(table)]
    for _ in range(2):
        done = CliRunner().invoke(cli, call, catch_exceptions=False)
        assert done.exit_code == 0
        assert list(read_table(table)) == [RECORD, OTHER]
    write_table(table, RunTable([RECORD]))
    stamp = os.stat(table)
    with pytest.raises(InputError, match="--force"):
        CliRunner().invoke(cli, call, catch_exceptions=False)
    assert os.stat(table) == stamp
    CliRunner().invoke(cli, [*call, "--force"], catch_exceptions=False)
    assert list(read_table(table)) == [RECORD, OTHER]
