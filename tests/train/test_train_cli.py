"""`simlib train` and `simlib sweep` as a user meets them."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from simlib.cli.options import WholeNumber
from simlib.cli.sweep import command as sweep
from simlib.cli.train import command as train
from simlib.errors import InputError
from simlib.models.compiled import why_not
from simlib.runs.config import RunConfig
from simlib.runs.table import read_table

SMALL = ["--nonzero-params", "3072", "--depth", "1", "--seq-len", "32", "--valid-windows", "32"]


def test_every_field_of_a_run_is_an_option() -> None:
    options = {option.name for option in train.params}
    assert set(RunConfig.model_fields) <= options


def test_train_records_a_run_and_says_so(tmp_path: Path) -> None:
    runner, out = CliRunner(), str(tmp_path)
    arguments = [*SMALL, "--steps", "40", "--out", out]
    first = runner.invoke(train, [*arguments, "--json"])
    assert first.exit_code == 0
    record = json.loads(first.stdout)
    assert record["nonzero_params"] == 3072
    again = runner.invoke(train, arguments)
    assert again.exit_code == 0
    assert record["run_id"] in again.stdout
    assert len(read_table(tmp_path / "runs.csv")) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--precision", "bfloat16"], "masks throughout: sparse kernels work in float32 on a CPU"),
        (["--prune-end", "1"], "masks throughout: no step followed"),
        (["--prune-end", "0.5"], "layers 32 to 96: "),
    ],
)
def test_train_says_which_kernels_were_chosen(more: list, said: str, tmp_path: Path) -> None:
    if "bfloat16" not in more and why_not():
        pytest.skip("no C compiler here")
    run = [
        "--steps",
        "60",
        "--mask-interval",
        "5",
        "--kernels",
        "auto",
        "--sparsity",
        "0.75",
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(train, [*SMALL, *run, *more])
    assert result.exit_code == 0
    assert said in result.stdout


def test_train_tells_of_divergence_by_its_exit_code(tmp_path: Path) -> None:
    wild = ["--steps", "40", "--lr", "1e30", "--grad-clip", "0", "--out", str(tmp_path)]
    result = CliRunner().invoke(train, [*SMALL, *wild])
    assert result.exit_code == 1
    assert "diverged" in result.stdout


def test_dry_run_trains_nothing(tmp_path: Path) -> None:
    arguments = [*SMALL, "--steps", "40", "--dry-run", "--json", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(train, arguments)
    plan = json.loads(result.stdout)
    assert plan["flops"] == 6 * 3072 * 40 * 8 * 32
    assert not (tmp_path / "out" / "runs.csv").exists()


def test_bad_input_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sparsity"):
        CliRunner().invoke(train, ["--steps", "9", "--sparsity", "1.0"], catch_exceptions=False)
    assert CliRunner().invoke(train, ["--family", "rnn"]).exit_code == 2
    with pytest.raises(InputError, match="grid"):
        CliRunner().invoke(sweep, [str(tmp_path / "none.yaml")], catch_exceptions=False)


@pytest.mark.slow
def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    program = "from simlib.cli import main; main()"
    options = ["--steps", "4000", "--checkpoint-seconds", "0.1", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "train", *SMALL, *options],
        stderr=subprocess.PIPE,
        # a shell may have started the tests with interrupts ignored, which children inherit
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    while not list(tmp_path.glob("*/resume.safetensors")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in said.decode()
    assert "Traceback" not in said.decode()


@pytest.mark.slow
def test_sweep_trains_the_chosen_runs(tmp_path: Path) -> None:
    grid = tmp_path / "two.yaml"
    base = "base: {steps: 40, depth: 1, seq_len: 32, valid_windows: 32, nonzero_params: 3072}\n"
    grid.write_text(f"# Two seeds.\n{base}runs:\n  - {{seed: [0, 1]}}\n")
    arguments = [str(grid), "--out", str(tmp_path / "out"), "--only", "seed=1", "--json"]
    result = CliRunner().invoke(sweep, arguments)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["recorded"] == 1
    assert [r.seed for r in read_table(tmp_path / "out" / "runs.csv")] == [1]
    planned = CliRunner().invoke(sweep, [*arguments, "--dry-run"])
    assert json.loads(planned.stdout)["recorded"] == 1


@pytest.mark.parametrize(("written", "meant"), [("2e3", 2000), ("2_000", 2000), ("2000", 2000)])
def test_whole_numbers_in_any_notation(written: str, meant: int) -> None:
    assert WholeNumber().convert(written, None, None) == meant
    with pytest.raises(click.BadParameter, match="whole number"):
        WholeNumber().convert("2.5", None, None)
