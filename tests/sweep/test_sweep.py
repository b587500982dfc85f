"""A sweep loses nothing: killed, crashed, refused or repeated."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from driver import BASE, ENTRIES

from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import read_table, write_table
from simlib.sweep import expand, sweep
from simlib.sweep.tasks import plan_tasks
from simlib.train import Folder, Update, train_pack, train_run

CONFIGS = expand(BASE, ENTRIES)


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What the runs reach one by one in this process."""
    records = train_pack(CONFIGS, tmp_path_factory.mktemp("plain"))
    return {r.run_id: r.loss for r in records}


def start(out: Path) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("driver.py")
    return subprocess.Popen([sys.executable, str(script), str(out)])


def wait_for(condition, seconds: float = 60) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


@pytest.mark.slow
def test_a_killed_sweep_finishes_with_the_same_bits(
    tmp_path: Path, losses: dict[str, float]
) -> None:
    driver = start(tmp_path)
    wait_for(lambda: list(tmp_path.glob("*/resume.safetensors")))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert len(Folder(tmp_path).recorded()) < len(CONFIGS)
    result = sweep(CONFIGS, tmp_path, workers=2)
    assert {r.run_id: r.loss for r in result.runs} == losses
    assert len(read_table(tmp_path / "runs.csv")) == len(CONFIGS)
    assert not list(tmp_path.glob("**/resume.safetensors"))


@pytest.mark.slow
def test_a_killed_worker_takes_only_its_own_run(tmp_path: Path, losses: dict[str, float]) -> None:
    def kill_first(update: Update) -> None:
        if update.config == CONFIGS[1] and update.position >= 200:
            for child in psutil.Process(os.getpid()).children(recursive=True):
                if _open_log(child).endswith(f"{CONFIGS[1].run_id}/log.txt"):
                    child.kill()

    result = sweep(CONFIGS, tmp_path, workers=1, progress=kill_first)
    (failure,) = result.failures
    assert CONFIGS[1].run_id in failure.task
    assert "crashed" in failure.reason
    assert {r.run_id for r in result.runs} == {CONFIGS[0].run_id, CONFIGS[2].run_id}
    again = sweep(CONFIGS, tmp_path, workers=1)
    assert not again.failures
    assert {r.run_id: r.loss for r in again.runs} == losses


def _open_log(process: psutil.Process) -> str:
    try:
        return os.readlink(f"/proc/{process.pid}/fd/1")
    except FileNotFoundError:  # it has ended
        return ""


@pytest.mark.slow
def test_repeating_a_sweep_trains_nothing(tmp_path: Path) -> None:
    one = CONFIGS[:1]
    train_run(one[0], tmp_path)
    updates: list[Update] = []
    result = sweep(one, tmp_path, progress=updates.append)
    assert len(result.runs) == 1
    assert updates == []


@pytest.mark.slow
def test_a_failed_run_is_reported_with_its_log(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no weights")
    start = {"pruner": "from_checkpoint", "start": str(damaged), "sparsity": 0.5}
    lost = RunConfig(**(BASE | start | {"nonzero_params": 3072}))
    result = sweep([lost, CONFIGS[0]], tmp_path, workers=1)
    assert "damaged" in result.failures[0].reason
    assert "damaged" in result.failures[0].log.read_text()
    assert [r.run_id for r in result.runs] == [CONFIGS[0].run_id]


def test_tasks_wait_for_their_prefix_and_their_start(tmp_path: Path) -> None:
    dense = CONFIGS[0]
    start = {"pruner": "from_checkpoint", "start": dense.run_id, "sparsity": 0.5}
    pruned = RunConfig(**(BASE | start | {"nonzero_params": 3072}))
    tasks = {t.name: t for t in plan_tasks(Folder(tmp_path), [*CONFIGS, pruned])}
    prefixes = [name for name in tasks if name.startswith("prefix")]
    assert [name.rsplit("-", 1)[1] for name in prefixes] == ["74", "255"]
    assert tasks[f"run-{CONFIGS[1].run_id}"].needs == {prefixes[0]}
    assert tasks[f"run-{dense.run_id}"].needs == {prefixes[1]}
    assert tasks[f"run-{pruned.run_id}"].needs == {f"run-{dense.run_id}"}


@pytest.mark.slow
def test_dense_starts_are_trained_before_the_runs_that_prune_them(tmp_path: Path) -> None:
    pruned = {"nonzero_params": 3072, "sparsity": 0.5, "pruner": "from_checkpoint"}
    configs = expand(BASE | {"steps": 60}, [pruned | {"start": {}}, ENTRIES[0]])
    result = sweep(configs, tmp_path, workers=2)
    assert not result.failures
    assert [r.start for r in result.runs] == [configs[1].run_id, "scratch"]


def test_bad_requests_end_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="twice"):
        sweep([CONFIGS[0], CONFIGS[0]], tmp_path)
    with pytest.raises(InputError, match="for engine 'ray'"):
        sweep(CONFIGS, tmp_path, address="auto")
    with pytest.raises(InputError, match="unknown"):
        sweep(CONFIGS, tmp_path, engine="slurm")
    with pytest.raises(InputError, match="could not be written"):
        sweep(CONFIGS[:1], "/proc/nowhere")
    assert not (tmp_path / "runs.csv").exists()


def test_another_version_of_the_corpus_is_refused(tmp_path: Path) -> None:
    train_run(CONFIGS[0], tmp_path)
    table = tmp_path / "runs.csv"
    (record,) = read_table(table)
    changed = record.model_copy(update={"dataset_sha256": "f" * 64})
    write_table(table, type(read_table(table))([changed]))
    with pytest.raises(InputError, match="restore that version"):
        sweep(CONFIGS, tmp_path)
