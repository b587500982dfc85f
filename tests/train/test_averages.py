"""Averages of weights: what they are, and that they change nothing else."""

from pathlib import Path

import pytest
import torch
from factories import run_config

from simlib.runs.config import RunConfig
from simlib.train import Folder, Update, read_side, train_pack, train_run
from simlib.train.averages import Averages
from simlib.train.batches import make_batches
from simlib.train.checkpoint import load_state
from simlib.train.trainer import Trainer


def config(sparsity: float = 0.0, **changes: object) -> RunConfig:
    return run_config(sparsity, **({"average": "both", "ema_half_life": 0.05} | changes))


def walk(one: RunConfig) -> tuple[torch.nn.Module, Averages, list[torch.Tensor]]:
    """A model of one tensor that takes random steps, its averages, and where it was."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 4, bias=False)
    averages, path = Averages(one, model), []
    for t in range(1, one.total_steps + 1):
        with torch.no_grad():
            model.weight.add_(torch.randn_like(model.weight))
        averages.step(t)
        path.append(model.weight.detach().clone().double())
    return model, averages, path


def test_the_mean_is_that_of_the_weights_after_every_step_of_the_cooldown() -> None:
    one = config(average="mean")
    model, averages, path = walk(one)
    with averages.in_place("mean", {}):
        found = model.weight.detach().clone()
    expected = torch.stack(path[one.cooldown_step :]).mean(0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert model.weight.double().equal(path[-1])


@pytest.mark.parametrize("half_life", [0.005, 0.02, 0.1])
def test_a_weight_loses_half_of_its_share_in_a_half_life(half_life: float) -> None:
    one = config(average="ema", ema_half_life=half_life, steps=400)
    model, averages, path = walk(one)
    with averages.in_place("ema", {}):
        found = model.weight.detach().clone()
    age = torch.arange(400, dtype=torch.float64).flip(0) / (400 * half_life)
    shares = 2**-age
    expected = torch.einsum("t,tij->ij", shares / shares.sum(), torch.stack(path))
    torch.testing.assert_close(found.double(), expected, rtol=0.0, atol=0.05)


@pytest.mark.slow
def test_pruned_weights_are_zero_in_an_average_too() -> None:
    one = config(0.5, prune_end=1.0, mask_interval=2)  # weights go while the averages are made
    trainer = Trainer(one, make_batches(one))
    while trainer.position < one.total_steps:
        trainer.step()
    last = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    masks = trainer.sparsifier.multipliers
    for name in ("ema", "mean"):
        held = trainer.averages.state_dict()[name]
        assert any(bool((held[n][masks[n] == 0] != 0).any()) for n in masks)
        with trainer.averages.in_place(name, masks):
            for n, parameter in trainer.model.named_parameters():
                if n in masks:
                    assert not parameter[masks[n] == 0].any()
                assert not parameter.equal(last[n])
    losses = trainer.validate_averages()
    assert len({trainer.validate()[0], *losses.values()}) == 3
    assert all(p.equal(last[n]) for n, p in trainer.model.named_parameters())


def test_averages_change_nothing_else(tmp_path: Path) -> None:
    plain, averaged = config(0.75, average="none"), config(0.75)
    assert plain.run_id != averaged.run_id
    before, record = train_pack([plain, averaged], tmp_path)
    assert len(list((tmp_path / "prefixes").iterdir())) == 1
    assert (record.loss, record.loss_stderr) == (before.loss, before.loss_stderr)
    assert before.loss_ema is before.loss_mean is None
    assert record.loss_ema == pytest.approx(record.loss, rel=0.05)
    assert record.loss_mean == pytest.approx(record.loss, rel=0.05)
    weights = [load_state(Folder(tmp_path).weights(c.run_id))["model"] for c in (plain, averaged)]
    assert all(weights[0][n].equal(weights[1][n]) for n in weights[0])


# averages that begin in the cooldown, before pruning and with the first step
PACK = [
    config(),
    config(0.5),
    config(0.75, ema_half_life=0.1),
    config(0.75, ema_half_life=0.09),
    config(steps=120, cooldown=0.0, average="ema"),
    config(0.5, steps=120, average="none"),
]


@pytest.mark.slow
def test_runs_that_share_a_prefix_have_the_averages_of_separate_ones(tmp_path: Path) -> None:
    assert [c.private_from for c in PACK] == [50, 24, 0, 10, 60, 29]
    shared = train_pack(PACK, tmp_path / "pack")
    assert len(list((tmp_path / "pack" / "prefixes").iterdir())) == 1
    for one, record in zip(PACK, shared, strict=True):
        alone = train_run(one, tmp_path / "alone")
        for name in ("loss", "loss_ema", "loss_mean"):
            assert getattr(alone, name) == getattr(record, name)
        assert (record.loss_ema is None) == (one.average == "none")
        assert (record.loss_mean is None) == (one.average != "both")


@pytest.mark.parametrize("stop", [60, 80])  # between the beginnings of the two averages, and after
def test_a_run_that_breaks_off_continues_to_the_same_averages(tmp_path: Path, stop: int) -> None:
    def break_off(update: Update) -> None:
        if update.position >= stop + 20:
            raise KeyboardInterrupt

    one = config(0.75, ema_half_life=0.05)
    assert one.averages_from == {"ema": 50, "mean": 85}
    whole = train_run(one, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_run(one, tmp_path / "broken", progress=break_off, checkpoint_seconds=0)
    assert load_state(Folder(tmp_path / "broken").resume(one))["position"] >= stop
    again = train_run(one, tmp_path / "broken")
    for name in ("loss", "loss_ema", "loss_mean"):
        assert getattr(again, name) == getattr(whole, name)
    curves = [read_side(tmp_path / d, one.run_id)["curve"]["loss"] for d in ("whole", "broken")]
    assert curves[0] == curves[1]


def test_a_run_that_diverged_has_no_averages(tmp_path: Path) -> None:
    record = train_run(config(lr=1e30, grad_clip=0), tmp_path)
    assert record.diverged
    assert record.loss_ema is record.loss_mean is None
