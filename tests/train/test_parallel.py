"""Two processes give what one gives: masks exactly, the rest to float tolerance."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from together import BROKEN, RULES, RUNS, break_off

from simlib.cli.train import command as train
from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import read_table
from simlib.train import Folder, read_side, train_run
from simlib.train.checkpoint import load_state

TOLERANCE = 1e-4  # relative; what rounding in another order makes of some steps is far below


@dataclass
class Pair:
    """What two processes left behind."""

    out: Path
    found: dict[str, Any]
    said: list[str]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    out = tmp_path_factory.mktemp("pair")
    with pytest.raises(KeyboardInterrupt):
        train_run(BROKEN["from one"], out / "from one", progress=break_off, checkpoint_seconds=0)
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "SECOND_PORT": free_port()}
    meeting["PYTHONPATH"] = os.pathsep.join(sys.path)  # the simlib under test
    command = [sys.executable, str(Path(__file__).with_name("together.py")), str(out)]
    workers = [
        subprocess.Popen(
            command,
            env=os.environ | meeting | {"RANK": str(rank), "WORLD_SIZE": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [worker.communicate(timeout=1800) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], said[0][1] + said[1][1]
    found = torch.load(out / "found.pt")
    return Pair(out, found, [text for text, _ in said])


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def weights(out: Path, one: RunConfig) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_state(Folder(out).weights(one.run_id))["model"]
    return found


def assert_same_run(one: RunConfig, apart: Path, together: Path) -> None:
    """Records, curves and weights agree to tolerance, counts exactly, masks up to ties."""
    records = [read_table(folder / "runs.csv").records[0] for folder in (apart, together)]
    for name in ("run_id", "nonzero_params", "total_nonzero_params", "data_seen", "flops"):
        assert getattr(records[0], name) == getattr(records[1], name)
    assert (records[0].loss_ema is None) == (one.average == "none")
    for name in ("loss", "loss_ema", "loss_mean"):
        losses = [getattr(r, name) for r in records]
        assert losses[0] == losses[1] or losses[0] == pytest.approx(losses[1], rel=TOLERANCE)
    assert records[0].loss_stderr == pytest.approx(records[1].loss_stderr, rel=1e-2)
    curves = [read_side(d, one.run_id)["curve"] for d in (apart, together)]
    for name in ("step", "loss", "grad_norm", "lr", "sparsity"):
        np.testing.assert_allclose(curves[0][name], curves[1][name], rtol=TOLERANCE)
    a, b = weights(apart, one), weights(together, one)
    assert a.keys() == b.keys()
    moved = sum(int((a[n].ne(0) != b[n].ne(0)).sum()) for n in a)
    assert moved <= 4  # a weight within rounding of the threshold may fall on the other side
    if not moved:
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_the_run_of_one(pair: Pair, tmp_path: Path, name: str) -> None:
    train_run(RUNS[name], tmp_path)
    assert_same_run(RUNS[name], tmp_path, pair.out / name)
    side = read_side(pair.out / name, RUNS[name].run_id)
    assert (side["parallel"], side["processes"]) == (name.split()[0], 2)


def test_a_run_goes_on_with_another_number_of_processes(pair: Pair, tmp_path: Path) -> None:
    resume = Folder(pair.out / "from two").resume(BROKEN["from two"])
    assert load_state(resume)["position"] == 20
    train_run(BROKEN["from two"], pair.out / "from two")
    for name, one in BROKEN.items():
        train_run(one, tmp_path / name)
        assert_same_run(one, tmp_path / name, pair.out / name)
        assert not Folder(pair.out / name).resume(one).exists()


@pytest.mark.parametrize("rule", [" ".join(rule) for rule in RULES])
def test_masks_of_sharded_weights_are_those_of_whole_ones(pair: Pair, rule: str) -> None:
    apart, together = pair.found["compared"][rule]
    assert len(apart) == len(together) == 4
    for one, two in zip(apart, together, strict=True):
        assert one["counts"] == two["counts"]
        for part in ("masks", "weights"):
            assert one[part].keys() == two[part].keys()
            for name in one[part]:
                assert one[part][name].equal(two[part][name])
        for name, weight in two["weights"].items():
            assert int(weight.count_nonzero()) == two["counts"][name]
    last = apart[-1]
    assert sum(last["counts"].values()) == sum(w.numel() for w in last["weights"].values()) / 2


def test_copies_stay_equal_to_the_bit(pair: Pair) -> None:
    first, second = pair.found["copies"]
    assert all(first[name].equal(second[name]) for name in first)
    assert any(bool(first[name].eq(0).any()) for name in first)


def test_what_one_process_cannot_do_all_refuse(pair: Pair) -> None:
    first, second = pair.found["refused"]
    assert first == second
    reasons = ["NaN", "multiple of 2", "for one process", "different files", "another sweep"]
    assert len(first) == len(reasons)
    assert all(reason in sentence for reason, sentence in zip(reasons, first, strict=True))


def test_the_command_says_one_sentence_for_all(pair: Pair) -> None:
    (record,) = read_table(pair.out / "cli" / "runs.csv").records
    assert record.run_id in pair.said[0]
    assert pair.said[1] == ""


def test_parallel_needs_processes_and_processes_need_parallel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--steps", "8", "--out", str(tmp_path)]
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="torchrun"):
        CliRunner().invoke(train, [*arguments, "--parallel", "fsdp"], catch_exceptions=False)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="--parallel"):
        CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert not list(tmp_path.iterdir())
