"""The captured step on a CPU: all of it but the recording, for which an ordinary call stands in."""

from contextlib import nullcontext

import pytest
import torch

from simlib.runs.config import RunConfig
from simlib.train.batches import Batch, make_batches
from simlib.train.capture import WARM_STEPS, CapturedStepper
from simlib.train.trainer import Trainer


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


@pytest.mark.slow
@pytest.mark.usefixtures("no_device")
@pytest.mark.parametrize("pruner", ["gmp", "rigl"])
def test_replayed_steps_give_the_bits_of_eager_ones(pruner: str) -> None:
    fields = {"depth": 1, "steps": 80, "seq_len": 32, "warmup_steps": 10, "mask_interval": 5}
    fields |= {"nonzero_params": 3072, "sparsity": 0.5, "valid_windows": 32, "compute": "eager"}
    config = RunConfig(**fields, pruner=pruner)
    eager, replayed = (Trainer(config, make_batches(config)) for _ in range(2))
    replayed._forward = Replayed(config, replayed.model)
    for trainer in (eager, replayed):
        for _ in range(config.total_steps):
            trainer.step()
    assert replayed._forward.replays == config.total_steps - WARM_STEPS
    assert replayed.curve["loss"] == eager.curve["loss"]
    assert replayed.validate() == eager.validate()
    assert replayed.nonzero_params == eager.nonzero_params == 3072


def test_pruned_weights_do_not_count_in_the_gradient_norm() -> None:
    config = RunConfig(nonzero_params=6144, steps=100, depth=1, grad_clip=0.5)
    trainer = Trainer(config, make_batches(config))
    parameters = dict(trainer.model.named_parameters())
    torch.manual_seed(0)
    multipliers = {
        name: (torch.rand_like(p) < 0.25).to(p.dtype)
        for name, p in parameters.items()
        if p.ndim > 1
    }
    before = {}
    for name, parameter in parameters.items():
        parameter.grad = torch.randn_like(parameter)
        before[name] = parameter.grad.clone()
    trained = torch.cat([(before[n] * multipliers.get(n, 1)).flatten() for n in parameters])
    trainer._forward.ignore_pruned(multipliers)
    norm = trainer._forward._clip()
    assert float(norm) == pytest.approx(float(trained.norm()), rel=1e-5)
    for name, parameter in parameters.items():  # pruned ones are scaled alike, for regrowth
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, before[name] * 0.5 / norm, rtol=1e-4, atol=1e-8)
