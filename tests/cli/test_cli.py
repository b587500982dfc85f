"""The command line as a user meets it: JSON for machines, one sentence for mistakes, exit codes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from factories import grid, random_law

from simlib.cli import COMMANDS
from simlib.runs.table import RunRecord, RunTable, write_table


def simlib(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simlib", *args], capture_output=True, text=True, check=False
    )


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(3)
    runs = grid(random_law(rng), 0.005, rng)
    columns = zip(*vars(runs).values(), strict=True)
    path = tmp_path / "runs.csv"
    write_table(
        path,
        RunTable(
            RunRecord(
                family="gpt",
                run_id=str(i),
                sparsity=S,
                nonzero_params=round(N),
                data_seen=round(D),
                loss=L,
            )
            for i, (S, N, D, L) in enumerate(columns)
        ),
    )
    return path


@pytest.mark.slow
def test_fit_then_optimum_from_a_readers_own_table(table, tmp_path):
    saved = tmp_path / "mine.json"
    done = simlib("fit", "--runs", str(table), "--resamples", "60", "--save", str(saved), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"objective", "status", "agreeing", "coefficients", "intervals"} <= set(found)
    assert list(found["coefficients"]) == ["a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c"]
    for name, (low, high) in found["intervals"].items():
        assert low <= found["coefficients"][name] * 1.2
        assert high >= found["coefficients"][name] * 0.8
    assert found["members"] == 60
    assert found["converged_members"] <= 60
    assert (found["decides"], found["why_not"]) == (True, "")
    share = found["quantities"]["c_S/(a_S+c_S)"]
    for low, high in (share["interval"], share["profile_interval"]):
        assert low < share["value"] < high
    done = simlib(
        "optimum",
        "--law",
        str(saved),
        "--nonzero-params",
        "1e7",
        "--flops",
        "1e18",
        "--cost",
        "sparse",
        "--json",
    )
    best = json.loads(done.stdout)
    low, high = best["interval"]
    assert 0 <= low <= best["sparsity"] <= high < 1


def test_optimum_of_a_published_law_has_no_interval():
    done = simlib(
        "optimum",
        "--law",
        "t5-c4",
        "--nonzero-params",
        "1e9",
        "--flops",
        "1e22",
        "--cost",
        "dense",
        "--json",
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert 0 < found["sparsity"] < 1
    assert "interval" not in found
    assert (
        "no interval"
        in simlib("optimum", "--law", "t5-c4", "--nonzero-params", "1e9", "--flops", "1e22").stdout
    )


def test_fit_of_the_released_runs_prints_intervals_and_warnings(released):
    done = simlib("fit", "--runs", "t5-c4", "--resamples", "40")
    assert done.returncode == 0
    assert "b_D is not identified" in done.stdout
    assert "100% of 25 starts agree" in done.stdout
    assert "40 of 40 refits of resampled runs converged" in done.stdout
    assert "decides nothing" not in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("fit", "--runs", "nothing.csv"), "no run table named 'nothing.csv'"),
        (("optimum", "--law", "x", "--nonzero-params", "1e9", "--flops", "1e22"), "no law named"),
        (("optimum", "--law", "t5-c4", "--nonzero-params", "-3", "--flops", "1e22"), "positive"),
        (("optimum", "--law", "t5-c4", "--nonzero-params", "1e9", "--flops", "nan"), "positive"),
        (("optimum", "--law", "t5-c4", "--nonzero-params", "many", "--flops", "1"), "not a valid"),
    ],
)
def test_mistakes_end_in_one_sentence_and_exit_code_2(args, said):
    done = simlib(*args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_absent_released_runs_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path))
    (tmp_path / "t5-data.csv").write_text("not the file")
    done = simlib("fit", "--runs", "t5-c4")
    assert done.returncode == 2
    assert "SHA-256" in done.stderr


def test_python_m_simlib_is_the_command():
    done = simlib("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: python -m simlib ")
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name):
    done = simlib(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"simlib {name}" in done.stdout


@pytest.mark.slow
def test_a_law_on_which_nothing_may_rest_says_so():
    done = simlib("fit", "--runs", "t5-laptop", "--resamples", "10")
    assert done.returncode == 0
    assert "this law decides nothing: its fit ends at a bound" in done.stdout


def test_a_fit_begins_without_what_is_slow_to_import():
    code = "import sys, simlib.cli.fit; sys.exit('scipy' in sys.modules or 'pooch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_law_half_needs_no_torch():
    code = (
        "import sys, simlib.fit, simlib.laws.optimum, simlib.datasets, simlib.datasets.published;"
        "import simlib.cli.fit;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
