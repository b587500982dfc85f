"""The captured step on a CPU: all of it but the recording, for which an ordinary call stands in."""

from contextlib import nullcontext

import pytest
import torch

from simlib.config import RunConfig
from simlib.train.capture import WARM_STEPS, CapturedStepper
from simlib.train.feed import Batch, make_feed
from simlib.train.lane import Lane


class Replayed(CapturedStepper):
    """A stepper whose graph does the recorded work again, on the memory it was recorded on."""

    replays = 0

    def _capture(self, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
        self.inputs = tuple(x.clone() for x in batch)
        stepper = self

        class Graph:
            def replay(self) -> None:
                stepper.replays += 1
                stepper._work(stepper.inputs, optimizer)

        self.graph = Graph()  # type: ignore[assignment]


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", object)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)


@pytest.mark.usefixtures("no_device")
@pytest.mark.parametrize("pruner", ["gmp", "rigl"])
def test_replayed_steps_give_the_bits_of_eager_ones(pruner: str) -> None:
    fields = {"depth": 1, "steps": 80, "seq_len": 32, "warmup_steps": 10, "mask_interval": 5}
    config = RunConfig(**fields, nonzero_params=3072, sparsity=0.5, pruner=pruner, valid_windows=32)
    eager, replayed = (Lane(config, make_feed(config)) for _ in range(2))
    replayed._forward = Replayed(config, replayed.model)
    for lane in (eager, replayed):
        for _ in range(config.total_steps):
            lane.step()
    assert replayed._forward.replays == config.total_steps - WARM_STEPS
    assert replayed.curve["loss"] == eager.curve["loss"]
    assert replayed.validate() == eager.validate()
    assert replayed.nonzero_params == eager.nonzero_params == 3072
