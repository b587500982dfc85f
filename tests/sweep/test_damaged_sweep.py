"""A sweep over what kills, full disks and editors left ends as one that nothing disturbed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from damage import flip, overwrite, zeros
from driver import BASE, ENTRIES

from simlib.corpora.base import MANIFEST
from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import RunTable, read_table
from simlib.sweep import expand, sweep
from simlib.sweep.remote import needed, remaining
from simlib.sweep.tasks import Task, plan_tasks
from simlib.train import Folder, batches, train_run
from simlib.train.checkpoint import is_whole
from simlib.train.settings import commit, cpu

CONFIGS = expand(BASE | {"steps": 100}, ENTRIES)
MEASURED = {"seconds", "started_at"}


def values(table: RunTable) -> dict[str, dict[str, object]]:
    return {r.run_id: r.model_dump(exclude=MEASURED) for r in table}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep that nothing disturbed."""
    out = tmp_path_factory.mktemp("done")
    assert not sweep(CONFIGS, out, workers=1).failures
    return out


TABLES: dict[str, tuple[Callable[[bytes], bytes], int]] = {  # and the runs that are left to train
    "no end of line": (lambda table: table[:-1], 0),
    "half the last row": (lambda table: table[:-60], 1),
    "a row cut in its last value": (lambda table: table[:-3], 1),
    "half a header": (lambda table: table[:30], 3),
    "nothing": (lambda table: b"", 3),
}


@pytest.mark.slow
@pytest.mark.parametrize("left", TABLES)
def test_a_damaged_table_costs_at_most_the_row_that_was_cut(
    done: Path, tmp_path: Path, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    out = shutil.copytree(done, tmp_path / "out")
    cut, trained = TABLES[left]
    table = out / "runs.csv"
    overwrite(table, cut(table.read_bytes()))
    finished: list[str] = []
    result = sweep(
        CONFIGS,
        out,
        workers=1,
        progress=lambda u: finished.append(u.config.run_id) if u.finished else None,
    )
    assert len(finished) == trained
    assert not result.failures
    assert values(result.runs) == values(read_table(done / "runs.csv"))
    assert (out / "runs.csv.damaged").exists() == (trained == 1)
    said = [r.getMessage() for r in caplog.records if "runs.csv.damaged" in r.getMessage()]
    assert len(said) == (trained == 1)  # by a worker, heard here
    (late,) = expand(BASE | {"steps": 20}, [{"nonzero_params": 3072}])
    train_run(late, out)
    assert values(read_table(table)) == values(result.runs) | values(
        RunTable(r for r in read_table(table) if r.run_id == late.run_id)
    )


@pytest.mark.slow
def test_a_damaged_prefix_is_trained_again_and_the_driver_says_so(
    done: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = shutil.copytree(done, tmp_path / "out")
    (out / "runs.csv").unlink()
    for prefix in out.glob("prefixes/*/[0-9]*.safetensors"):
        flip(prefix)
    result = sweep(CONFIGS, out, workers=2)
    assert values(result.runs) == values(read_table(done / "runs.csv"))
    prefixes = list(done.glob("prefixes/*/[0-9]*.safetensors"))
    assert len(prefixes) == 2
    for prefix in prefixes:
        assert f"{prefix.name}.damaged now" in caplog.text
        assert is_whole(out / prefix.relative_to(done))


def test_a_cluster_is_sent_what_is_whole(done: Path, tmp_path: Path) -> None:
    folder = Folder(shutil.copytree(done, tmp_path / "out"))
    folder.table.unlink()
    one = CONFIGS[1]
    prefix = folder.prefix(one, one.private_from)
    last, before = folder.resumes(one)
    for path in (last, before):
        shutil.copy(prefix, path)
    tasks = {t.name: t for t in plan_tasks(folder, CONFIGS)}
    task = tasks[f"run-{one.run_id}"]
    resume = f"{one.run_id}/resume.safetensors"
    assert needed(folder, task) == {resume: last}
    flip(last)
    assert needed(folder, task) == {resume: before}
    assert last.with_name("resume.safetensors.damaged").exists()
    flip(before)
    assert needed(folder, task) == {str(prefix.relative_to(folder.root)): prefix}
    flip(prefix)
    prefixes = [t for t in plan_tasks(folder, CONFIGS) if t.segments]
    assert [remaining(folder, t, set()) for t in prefixes] == prefixes
    assert needed(folder, task) == {}
    assert not prefix.exists()


def test_damaged_weights_are_not_sent_to_a_cluster(done: Path, tmp_path: Path) -> None:
    folder = Folder(shutil.copytree(done, tmp_path / "out"))
    dense = CONFIGS[0].run_id
    more = {"pruner": "from_checkpoint", "start": dense, "sparsity": 0.5, "nonzero_params": 3072}
    task = Task("run", configs=(RunConfig(**BASE | {"steps": 20} | more),))
    assert folder.weights(dense) in needed(folder, task).values()
    flip(folder.weights(dense))
    with pytest.raises(InputError, match=r"weights\.safetensors cannot be read.*delete the row"):
        needed(folder, task)


@pytest.mark.parametrize("harm", [flip, lambda path: zeros(path, 10_000, 10**6)])
def test_a_damaged_corpus_is_built_again_before_anything_is_trained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "texts").mkdir()
    for number in range(400):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"text {number} " * 20)
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "cache"))
    runs = [
        RunConfig(
            **BASE | {"steps": 20, "nonzero_params": 3072, "seed": seed},
            corpus=f"folder:{tmp_path / 'texts'}",
        )
        for seed in (0, 1)
    ]
    plain = sweep(runs, tmp_path / "plain", workers=1)
    sweep(runs[:1], tmp_path / "out", workers=1)
    (manifest,) = (tmp_path / "cache" / "corpora").glob(f"*/{MANIFEST}")
    harm(manifest.with_name("train.bin"))
    batches._corpus.cache_clear()  # as in another process
    again = sweep(runs, tmp_path / "out", workers=1)
    assert values(again.runs) == values(plain.runs)
    assert "the corpus is built again" in caplog.text


def test_workers_name_the_commit_and_the_processor_as_this_process_does(done: Path) -> None:
    assert {(r.commit, r.cpu) for r in read_table(done / "runs.csv")} == {(commit(), cpu())}
