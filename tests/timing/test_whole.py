"""Whole models with sparse kernels: the same answers, and steps that stay together."""

from pathlib import Path

import pytest
from factories import run_config

from simlib.errors import InputError
from simlib.models.compiled import why_not
from simlib.runs.config import RunConfig
from simlib.timing.whole import serve_run, time_steps
from simlib.train import read_side, train_run

QUICK = {
    **{"nonzero_params": 3072, "sparsity": 0.75, "batch": 4},
    **{"steps": 40, "warmup_steps": 5, "prune_end": 0.5},
}
pytestmark = pytest.mark.skipif(bool(why_not()), reason="no C compiler here")


def config(**changes: object) -> RunConfig:
    return run_config(**(QUICK | changes))


@pytest.mark.slow
def test_a_finished_run_says_the_same_with_sparse_kernels(tmp_path: Path) -> None:
    run = config()
    train_run(run, tmp_path)
    served = serve_run(tmp_path, run.run_id, examples=4, rounds=1)
    assert served.logit_gap < 1e-4
    assert served.sparsity == pytest.approx(0.75, abs=0.01)
    assert served.tokens == 4 * 32
    assert read_side(tmp_path, run.run_id)["kernels"] == []
    dense = config(sparsity=0)
    train_run(dense, tmp_path)
    with pytest.raises(InputError, match="take a sparse run"):
        serve_run(tmp_path, dense.run_id)


@pytest.mark.slow
def test_steps_in_turn_stay_together() -> None:
    timed = time_steps(config(), rounds=2)
    assert timed.loss_gap < 1e-4
    assert timed.steps >= 2
    with pytest.raises(InputError, match="prune_end below 1"):
        time_steps(config(prune_end=1.0), rounds=1)
