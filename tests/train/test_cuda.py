"""On a GPU: captured steps are the eager ones, and trainers that take turns do not meet."""

from pathlib import Path

import pytest

from simlib.runs.config import RunConfig
from simlib.train import train_pack, train_run
from simlib.train.batches import make_batches
from simlib.train.capture import CapturedStepper, Stepper
from simlib.train.trainer import Trainer

pytestmark = pytest.mark.cuda
BASE = {"device": "cuda", "steps": 100, "warmup_steps": 10, "mask_interval": 5, "depth": 1}


def config(**changes: object) -> RunConfig:
    return RunConfig(**(BASE | {"nonzero_params": 6144} | changes))


@pytest.mark.parametrize("weight_bits", [None, 3])
def test_a_captured_step_does_what_an_eager_step_does(weight_bits: int | None) -> None:
    one = config(weight_bits=weight_bits)
    trainers = [Trainer(one, make_batches(one)) for _ in range(2)]
    trainers[1]._forward = Stepper(trainers[1].config, trainers[1].model)
    assert isinstance(trainers[0]._forward, CapturedStepper)
    for trainer in trainers:
        for _ in range(40):
            trainer.step()
    curves = [trainer.curve["loss"] for trainer in trainers]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_pack_gives_the_losses_of_separate_runs(tmp_path: Path, precision: str) -> None:
    runs = [
        config(precision=precision),
        config(precision=precision, nonzero_params=3072, sparsity=0.5),
        config(precision=precision, nonzero_params=3072, sparsity=0.5, pruner="rigl"),
    ]
    shared = train_pack(runs, tmp_path / "pack")
    alone = [train_run(c, tmp_path / "alone") for c in runs]
    for one, other in zip(shared, alone, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-3)
        assert one.nonzero_params == other.nonzero_params
