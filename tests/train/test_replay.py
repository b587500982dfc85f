"""A replayed step gives the bits of one by autograd, and only what can be replayed is."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from simlib.models import fused
from simlib.models.compiled import why_not
from simlib.models.gpt import GPT
from simlib.runs.config import RunConfig
from simlib.runs.shape import Shape
from simlib.train import capture
from simlib.train.batches import make_batches
from simlib.train.replay import Replay, recorded
from simlib.train.trainer import Trainer

pytestmark = pytest.mark.skipif(bool(why_not("fused")), reason="no C compiler here")

BASE = {
    "depth": 2,
    "steps": 80,
    "seq_len": 16,
    "batch": 4,
    "warmup_steps": 10,
    "mask_interval": 5,
    "valid_windows": 32,
    "compute": "fused",
    "nonzero_params": 6144,
}


def made(**changes: object) -> Trainer:
    config = RunConfig(**(BASE | changes))
    return Trainer(config, make_batches(config))


def replays(trainer: Trainer) -> bool:
    return trainer._forward._replay is not None  # type: ignore[attr-defined]


def assert_same(one: Trainer, other: Trainer) -> None:
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert a.equal(b)
        assert a.grad is not None
        assert b.grad is not None
        assert a.grad.equal(b.grad)
        for name, held in one.optimizer.state[a].items():
            assert held.equal(other.optimizer.state[b][name])
    assert one._forward.sums.equal(other._forward.sums)
    assert one.curve["loss"] == other.curve["loss"]
    assert one.curve["grad_norm"] == other.curve["grad_norm"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sparsity": 0.5, "embeddings": "pruned", "grad_clip": 0.2},
        {"sparsity": 0.5, "pruner": "rigl", "grad_clip": 0.0, "average": "both"},
        {"sparsity": 0.5, "mask_optimizer": False, "qk_norm": False, "batch": 3},
        {"optimizer": "adafactor", "batch": 1},
    ],
)
def test_replayed_steps_give_the_bits_of_those_by_autograd(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed, usual, resumed = (made(**changes) for _ in range(3))
    for t in range(replayed.config.total_steps):
        if t == 44:  # between two updates of the masks
            resumed.step()  # none of it may get into the state that is loaded
            resumed.load_state_dict(deepcopy(replayed.state_dict()))
            assert not replays(replayed)  # what was saved may be loaded again at once
        replayed.step()
        assert replays(replayed)
        if t >= 44:
            resumed.step()
    monkeypatch.setattr(capture, "recorded", lambda *_: None)
    for _ in range(usual.config.total_steps):
        usual.step()
    assert not replays(usual)
    for trainer in (usual, replayed, resumed):
        trainer._forward.synchronize()
        assert_same(trainer, usual)
        assert trainer.validate() == usual.validate()
        assert trainer.validate_averages() == usual.validate_averages()
        assert trainer.nonzero_params == usual.nonzero_params


def test_new_masks_and_new_weights_end_a_replay() -> None:
    trainer, other = made(), made(seed=1)
    for change in (
        lambda: trainer._forward.ignore_pruned({}),
        lambda: trainer.load_weights(other.weights()),
        lambda: trainer.load_state_dict(other.state_dict()),
        trainer.validate,
    ):
        trainer.step()
        assert replays(trainer)
        change()
        assert not replays(trainer)


@pytest.mark.parametrize(
    "changes",
    [{"weight_bits": 4}, {"family": "t5"}, {"family": "vit", "corpus": "glyphs", "seq_len": 64}],
)
def test_other_models_go_on_by_autograd(changes: dict[str, Any]) -> None:
    trainer = made(**changes)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    for _ in range(2):
        trainer.step()
    assert trainer.compute == "fused"
    assert not replays(trainer)
    changed = [p.ne(b).any() for p, b in zip(trainer.model.parameters(), before, strict=True)]
    assert all(changed)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gpt() -> GPT:
    torch.manual_seed(0)
    model = GPT(Shape("gpt", 16, 1, 1, 64), 256, 12)
    fused.fuse(model)
    return model


def tokens(examples: int, length: int, seed: int) -> tuple[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(256, (examples, length + 1), generator=generator),)


def gradients(model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(model.loss(batch), list(model.parameters()))  # type: ignore[operator]


def test_a_replay_reads_weights_where_they_lie_and_leaves_the_batch_alone() -> None:
    model, first = gpt(), tokens(1, 12, 0)  # what a kernel reads of one example is the batch itself
    replay = recorded(model, model.loss(first))
    assert replay is not None
    kept = first[0].clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    for batch in (tokens(1, 12, 1), first):
        assert replay.fits(batch)
        loss = replay(batch)
        assert loss.equal(model.loss(batch).detach())
        expected = gradients(model, batch)
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            assert parameter.grad is not None
            assert parameter.grad.equal(gradient)
    assert first[0].equal(kept)


def test_a_batch_of_another_shape_is_recorded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, done = made(), []

    def note(_: Replay, batch: tuple[Tensor]) -> Tensor:
        done.append(tuple(batch[0].shape))
        return torch.zeros(())

    monkeypatch.setattr(Replay, "__call__", note)
    for seed, shape in enumerate([(4, 16), (4, 16), (3, 16), (3, 16), (3, 9), (3, 16)]):
        trainer._forward.step(tokens(*shape, seed), trainer.optimizer)
    assert done == [(4, 17), (3, 17)]


Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def through(table: Tensor, weight: Tensor, other: Tensor) -> Tensor:
    """The losses of two kernels in a chain; `other` has the shape of `weight`."""
    at = torch.arange(6).view(2, 3)
    x = fused.embedding(at, table)
    return fused.losses(x.flatten(0, 1), None, weight, at.flatten())


def twice(table: Tensor, weight: Tensor, other: Tensor) -> Tensor:
    at = torch.arange(6).view(2, 3)
    x = fused.embedding(at, table) + fused.embedding(at, table)
    return fused.losses(x.flatten(0, 1), None, weight, at.flatten())


@pytest.mark.parametrize(
    ("loss", "parameters"),
    [
        (lambda t, w, o: through(t, w, o).sum(), "tw"),  # not the mean
        (lambda t, w, o: 2 * through(t, w, o).mean(), "tw"),
        (lambda t, w, o: through(t, w, o).mean(), "two"),  # a parameter without a gradient
        (lambda t, w, o: through(t, w, o).mean(), "t"),  # a gradient of no parameter
        (lambda t, w, o: through(t, 2 * w, o).mean(), "tw"),  # a weight that is computed
        (lambda t, w, o: through(t, t, o).mean(), "t"),  # one parameter for two kernels
        (lambda t, w, o: through(t, w.detach(), o).mean(), "t"),
        (lambda t, w, o: twice(t, w, o).mean(), "tw"),  # a sum between two kernels
        (lambda t, w, o: fused.losses(t, None, w, torch.arange(8)).mean(), "tw"),  # x from outside
        (lambda t, w, o: fused.losses(t.detach(), None, w, torch.arange(8)).mean(), "w"),
        (lambda t, w, o: (t * w).mean(), "tw"),  # no kernel at all
        (lambda t, w, o: t.mean(), "t"),
    ],
)
def test_only_a_chain_of_kernels_is_one(loss: Loss, parameters: str) -> None:
    named = {name: drawn(8, 16, seed=i).requires_grad_() for i, name in enumerate("two")}
    chain = fused.chain(through(*named.values()).mean(), [named["t"], named["w"]])
    assert [kernel.kind for kernel in chain] == ["embedding", "head"]
    assert not fused.chain(loss(*named.values()), [named[name] for name in parameters])
