"""What needs no network, where there is none: .ci/check.py runs this file in such a place."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simlib.datasets import load_runs

Command = Callable[..., dict[str, Any]]


def connected() -> bool:
    """Whether a route leads out of this machine; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(("192.0.2.1", 9)) == 0  # an address for examples, RFC 5737


pytestmark = pytest.mark.skipif(connected(), reason="there is a network here, see check.py")


@pytest.fixture
def simlib(tmp_path: Path) -> Command:
    """A command in a process of its own, with an empty cache; what it prints as JSON."""

    def run(*arguments: object) -> dict[str, Any]:
        program = (sys.executable, "-c", "from simlib.cli import main; main()")
        command = [*program, *map(str, arguments), "--json"]
        environment = os.environ | {"SIMLIB_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=1800
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return run


def test_a_plan_needs_no_network(simlib: Command) -> None:
    plan = simlib("plan", "--law", "t5-c4-refit", "--flops", 1e21)
    assert 0 < plan["sparse"]["loss"] < plan["dense"]["loss"]


def test_a_fit_of_a_shipped_table_needs_no_network(simlib: Command) -> None:
    fit = simlib("fit", "--runs", "gpt-laptop", "--resamples", 40)
    assert fit["runs"] == len(load_runs("gpt-laptop"))
    assert set(fit["intervals"]) >= set(fit["coefficients"])


def test_training_needs_no_network(simlib: Command, tmp_path: Path) -> None:
    size = ("--nonzero-params", 3072, "--sparsity", 0.5, "--depth", 1, "--seq-len", 32)
    length = ("--steps", 200, "--valid-windows", 32)
    run = simlib("train", *size, *length, "--out", tmp_path / "runs")
    assert run["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert run["loss"] < 5.5  # a uniform guess of a byte has ln 256 = 5.55
