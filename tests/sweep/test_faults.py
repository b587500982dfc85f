"""Whatever step of whatever write fails: what had been recorded is there after the next command.

Every command is run on a disk that fails at its first step, at its second, and so on, in each of
the ways in which disks fail; then the same command is run again on a whole disk.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from damage import flip, overwrite, zeros
from driver import BASE
from faultydisk import Killed, faulty

from simlib.datasets import load_runs
from simlib.errors import InputError
from simlib.files import replace_file
from simlib.runs.config import RunConfig
from simlib.runs.table import RunTable, append_record, read_table, recorded_runs
from simlib.runs.table import write_table as write_runs
from simlib.sweep import expand
from simlib.sweep.allotted import pack_runs
from simlib.sweep.collect import collect
from simlib.sweep.remote import Parcel, keep
from simlib.sweep.tasks import Task
from simlib.train import Folder, Update, pack, train_pack
from simlib.train.checkpoint import first_whole, is_whole, save_state

CONFIGS = expand(
    BASE | {"steps": 6, "warmup_steps": 2, "mask_interval": 1, "prune_start": 0.5},
    [{"nonzero_params": 6144, "sparsity": 0}, {"nonzero_params": 3072, "sparsity": [0.5, 0.75]}],
)
FEED = SimpleNamespace(
    sha256="a" * 64, epochs=lambda steps: 0.1, data=SimpleNamespace(vocabulary=256)
)


class Walk:
    """Stands for a trainer: a number that depends on every step taken, in no time.

    Runs of one prefix walk the same way until the first leaves it, as trainers do.
    """

    nonzero_params, dense_params, total_nonzero_params, head_nonzero_params = 5, 10, 8, 3
    diverged, seconds, compute, switches, first_batch = False, 1.0, "eager", None, 0
    batches, shared_by = FEED, dict[str, Any]()

    def __init__(self, config: RunConfig, *_: object) -> None:
        self.config, self.position, self.value = config, 0, 1
        self.curve: dict[str, list[float]] = {"loss": [], "sparsity": []}
        self.weight_steps = {"body": 10.0, "head": 3.0, "embeddings": 2.0}

    def step(self) -> None:
        c, own = self.config, self.position >= self.config.private_from
        way = int((c.run_id if own else c.prefix_id)[:6], 16)
        self.value = (31 * self.value + way + self.position) % 1_000_003
        self.position += 1

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position, "walk": torch.tensor([self.value])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position, self.value = state["position"], int(state["walk"][0])

    def weights(self) -> dict[str, torch.Tensor]:
        return {"walk": torch.tensor([self.value])}

    def validate(self) -> tuple[float, float]:
        return 1.0 + self.value, 0.1

    def validate_averages(self) -> dict[str, float]:
        return {}


@pytest.fixture(autouse=True)
def _walks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "Trainer", Walk)
    monkeypatch.setattr(pack, "make_batches", lambda config: FEED)


def losses(rows: RunTable) -> dict[str, float]:
    return {r.run_id: r.loss for r in rows}


def faults(command: Callable[[Path], object], place: Path) -> Iterator[tuple[Path, str]]:
    """Every fault of a command: the folder that it left, and how it failed."""
    with faulty() as disk:
        command(place / "whole")
    for at, how in disk.ways():
        folder = place / f"{how}-{at}"
        allowed = nullcontext() if how == "short" else suppress(InputError, Killed)
        with faulty(at, how), allowed:
            command(folder)
        with faulty():
            yield folder, f"{how} at step {at} of {disk.steps}"


class Observed:
    """What a training command had brought to the disk when it ended."""

    def __init__(self) -> None:
        self.recorded: dict[Path, set[str]] = {}
        self.saved: dict[Path, int] = {}

    def train(self, out: Path) -> None:
        def progress(update: Update) -> None:
            if update.finished:
                self.recorded.setdefault(out, set()).add(update.finished.run_id)

        train_pack(CONFIGS, out, progress=progress, checkpoint_seconds=0)


def test_training_loses_no_run_and_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observed, count = Observed(), 0
    real = pack.save_state

    def save(path: Path, state: dict[str, Any], before: Path | None = None) -> None:
        real(path, state, before)
        observed.saved[path] = state["position"]

    monkeypatch.setattr(pack, "save_state", save)
    plain: dict[str, float] = {}
    for out, fault in faults(observed.train, tmp_path):
        plain = plain or losses(read_table(tmp_path / "whole" / "runs.csv"))
        rows = losses(recorded_runs(out / "runs.csv"))
        assert rows.keys() >= observed.recorded.get(out, set()), fault
        _check_saved(Folder(out), observed, rows, fault)
        before = dict(rows)
        observed.train(out)
        rows = losses(read_table(out / "runs.csv"))
        assert rows == plain, fault
        assert before.items() <= rows.items(), fault
        assert all(is_whole(Folder(out).weights(c.run_id)) for c in CONFIGS), fault
        count += 1
    assert count > 250


def _check_saved(folder: Folder, observed: Observed, rows: dict[str, float], fault: str) -> None:
    """The last checkpoint that was saved is there, or a later one, and so is a recorded run."""
    for config in CONFIGS:
        if config.run_id in rows:
            assert is_whole(folder.weights(config.run_id)), fault
        elif position := observed.saved.get(folder.resume(config)):
            found = first_whole(folder.resumes(config))
            assert found, fault
            assert found[1]["position"] >= position, fault


def cut(path: Path) -> None:
    overwrite(path, path.read_bytes()[:-9])


def empty(path: Path) -> None:
    overwrite(path, b"")


def wipe(path: Path) -> None:
    zeros(path, 0, path.stat().st_size)


@pytest.mark.parametrize("harm", [flip, cut, empty, wipe])
def test_damaged_prefixes_and_checkpoints_cost_steps_and_change_nothing(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """After a kill at any step, each state that lies there in turn is damaged, and then all."""
    observed, count = Observed(), 0
    observed.train(tmp_path / "plain")
    plain = losses(read_table(tmp_path / "plain" / "runs.csv"))
    with faulty() as disk:
        observed.train(tmp_path / "counted")
    for at in range(5, disk.steps, 23):
        states = _killed(observed, tmp_path / f"{at}", at)
        for chosen in [[name] for name in states] + [states]:
            out = tmp_path / f"{at}-{count}"
            if _killed(observed, out, at) != states:
                pytest.fail("a kill at the same step leaves the same files")
            recorded = losses(recorded_runs(out / "runs.csv"))
            for name in chosen:
                harm(out / name)
            with faulty():
                observed.train(out)
            rows = losses(read_table(out / "runs.csv"))
            assert rows == plain, (at, chosen)
            assert recorded.items() <= rows.items()
            count += 1
    assert count > 15


def _killed(observed: Observed, out: Path, at: int) -> list[str]:
    with faulty(at, "killed"), pytest.raises(Killed):
        observed.train(out)
    states = [*out.rglob("*.safetensors"), *out.rglob("resume.before")]
    return sorted(str(p.relative_to(out)) for p in states if not p.name.startswith("."))


ROW = load_runs("gpt-laptop").records[0]
RECORDS = [ROW.model_copy(update={"run_id": f"{i:016x}", "loss": 1.0 + i}) for i in range(4)]


@pytest.mark.parametrize("begun", ["nothing", "half a row", "no end of line", "fewer columns"])
def test_a_table_keeps_every_row_that_was_there(tmp_path: Path, begun: str) -> None:
    def begin(table: Path) -> None:
        table.parent.mkdir(exist_ok=True)
        write_runs(table, RunTable(RECORDS[:2]))
        content = table.read_bytes()
        if begun == "fewer columns":
            lines = [line.split(b",", 1)[1] for line in content.splitlines()]
            content = b"\n".join(lines) + b"\n"
        ends = {"half a row": -30, "no end of line": -1}
        table.write_bytes(content[: ends.get(begun)])

    there = losses(RunTable(RECORDS[: 1 if begun == "half a row" else 2])).values()
    done: dict[Path, list[float]] = {}

    def command(out: Path) -> None:
        table = out / "runs.csv"
        if begun != "nothing" and not table.exists():
            with faulty():  # this write is not at fault
                begin(table)
        known = losses(recorded_runs(table)).values()
        for row in RECORDS[2:]:
            if row.loss not in known:
                append_record(table, row)
                done.setdefault(out, []).append(row.loss)

    wanted = sorted([*(there if begun != "nothing" else ()), *(r.loss for r in RECORDS[2:])])
    for out, fault in faults(command, tmp_path):
        kept = [r.loss for r in recorded_runs(out / "runs.csv")]
        expected = [*(there if begun != "nothing" else ()), *done.get(out, [])]
        assert set(kept) >= set(expected), fault
        command(out)
        assert sorted(r.loss for r in read_table(out / "runs.csv")) == wanted, fault


def test_what_is_collected_packed_sent_and_saved_is_old_or_new(tmp_path: Path) -> None:
    away = tmp_path / "away"
    train_pack(CONFIGS, away)
    save_state(away / f"{1:016x}" / "resume.safetensors", {"position": 3})
    archive = tmp_path / "runs.zip"
    pack_runs(away, archive)
    (config, *_), side = CONFIGS, b"{}"
    row = next(r for r in read_table(away / "runs.csv") if r.run_id == config.run_id)
    update = Update(config, 6, 6, row.loss, 0.0, row)
    parcels = [
        Parcel((), {f"{config.run_id}/resume.safetensors": bytes([i])}, "", False, None)
        for i in range(3)
    ]
    parcels += [Parcel((update,), {f"{config.run_id}/side.json": side}, "", True, None)]
    whole = losses(read_table(away / "runs.csv"))

    def commands(out: Path) -> None:
        collect(archive, out / "home", everything=True)
        pack_runs(away, out / "packed.zip")
        for parcel in parcels:
            keep(Folder(out / "sent"), Task("run", configs=(config,)), parcel)
        for content in (b"old", b"new"):
            replace_file(out / "law.json", content, "law file")

    count = 0
    for out, fault in faults(commands, tmp_path / "faults"):
        for table in (out / "home" / "runs.csv", out / "sent" / "runs.csv"):
            for run in recorded_runs(table):
                assert run.loss == whole[run.run_id], fault
                side_file = table.parent / run.run_id / "side.json"
                assert json.loads(side_file.read_text()) is not None, fault
        if (out / "law.json").exists():
            assert (out / "law.json").read_bytes() in (b"old", b"new"), fault
        if not (out / "sent" / "runs.csv").exists():
            collect(archive, out / "home", everything=True)
        assert whole.items() >= losses(recorded_runs(out / "home" / "runs.csv")).items(), fault
        collect(archive, out / "home", everything=True)
        assert losses(read_table(out / "home" / "runs.csv")) == whole, fault
        count += 1
    assert count > 100
