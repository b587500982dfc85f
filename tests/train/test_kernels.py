"""Sparse kernels after the ramp: the run stays the same, and the rule decides by measurement."""

from pathlib import Path

import pytest
import torch
from factories import run_config

from simlib.errors import InputError
from simlib.models import compiled
from simlib.models.compiled import SparseProduct
from simlib.models.linear import Linear
from simlib.runs.config import RunConfig
from simlib.train import kernels, load_model, train_run
from simlib.train.batches import make_batches
from simlib.train.settings import settings
from simlib.train.trainer import Trainer

QUICK = {
    **{"nonzero_params": 3072, "sparsity": 0.75, "batch": 4},
    **{"steps": 40, "warmup_steps": 5, "prune_end": 0.5},
}
needs_compiler = pytest.mark.skipif(bool(compiled.why_not()), reason="no C compiler here")


def config(**changes: object) -> RunConfig:
    return run_config(**(QUICK | changes))


def trainer_at(run: RunConfig, step: int) -> Trainer:
    return advance(Trainer(run, make_batches(run)), step)


def advance(trainer: Trainer, step: int) -> Trainer:
    with settings(trainer.config):
        while trainer.position < step:
            trainer.step()
    return trainer


@needs_compiler
@pytest.mark.parametrize("tokens", [1, 8, 63, 64, 200])
@pytest.mark.parametrize(("inputs", "outputs"), [(48, 40), (19, 33), (64, 16), (5, 3)])
def test_products_are_those_of_the_masked_layer(tokens: int, inputs: int, outputs: int) -> None:
    make = torch.Generator().manual_seed(1)
    layer = Linear(inputs, outputs)
    mask = torch.rand(outputs, inputs, generator=make) > 0.7
    mask[0] = False  # an output without weights
    mask[:, 1] = False  # an input without weights
    with torch.no_grad():
        layer.weight *= mask
    x = torch.randn(tokens, inputs, generator=make, requires_grad=True)
    g = torch.randn(tokens, outputs, generator=make)
    y = layer(x)
    to_x, to_weight = torch.autograd.grad(y, (x, layer.weight), g)
    layer.skip_zeros(mask)
    y_sparse = layer(x)
    found = torch.autograd.grad(y_sparse, (x, layer.weight), g)
    torch.testing.assert_close(y_sparse, y)
    torch.testing.assert_close(found[0], to_x)
    torch.testing.assert_close(found[1], to_weight * mask, rtol=1e-4, atol=1e-4)


@needs_compiler
def test_values_kept_for_inference_follow_the_weights() -> None:
    layer = Linear(16, 16)
    layer.skip_zeros(torch.ones(16, 16, dtype=torch.bool))
    x = torch.randn(3, 16)
    with torch.no_grad():
        before = layer(x)
        layer.weight.mul_(2)
        torch.testing.assert_close(layer(x), 2 * before)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    "changes",
    [
        {"pruner": "rigl"},
        {"pattern": "2:4", "sparsity": 0.5},
        {"optimizer": "adafactor"},
        {"family": "t5", "embeddings": "pruned", "nonzero_params": 3168},
    ],
)
def test_sparse_kernels_end_where_masks_do(changes: dict, tmp_path: Path) -> None:
    runs = [config(**changes, kernels=kind) for kind in ("masks", "sparse")]
    masks, sparse = (train_run(run, tmp_path) for run in runs)
    assert sparse.loss == pytest.approx(masks.loss, rel=1e-4)
    assert sparse.nonzero_params == masks.nonzero_params
    assert "sparse kernels in" in sparse.versions
    models = [load_model(tmp_path, run.run_id) for run in runs]
    for one, other in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)
        assert torch.equal(one == 0, other == 0)


@pytest.mark.slow
@needs_compiler
def test_masks_serve_until_the_last_update_and_a_resumed_run_is_the_unbroken_one() -> None:
    run = config(kernels="sparse")
    trainer = trainer_at(run, run.prune_steps[1])
    assert trainer.switches is None
    advance(trainer, trainer.position + 1)
    assert trainer.switches
    resumed = Trainer(run, trainer.batches)
    resumed.load_state_dict(trainer.state_dict())
    products = [m.product is not None for m in resumed.model.modules() if isinstance(m, Linear)]
    assert any(products)
    trainer, resumed = trainer_at(run, 30), trainer_at(run, 25)
    again = Trainer(run, resumed.batches)
    again.load_state_dict(resumed.state_dict())
    advance(again, 30)
    for one, other in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


@needs_compiler
def test_the_rule_takes_a_kernel_only_where_its_lower_quartile_wins(monkeypatch) -> None:
    """One wide shape wins beyond its scatter, the others on the median alone."""
    asked: list[int] = []

    def timed(layer, mask, tokens, threads):
        asked.append(tokens)
        return (1.5, 1.2) if layer.out_features > layer.in_features else (1.5, 0.9)

    monkeypatch.setattr(kernels, "_time", timed)
    run = config(kernels="auto")
    trainer = trainer_at(run, run.prune_steps[1] + 1)
    assert set(asked) == {run.batch * run.seq_len}
    for layer in trainer.model.modules():
        if isinstance(layer, Linear):
            wide = layer.out_features > layer.in_features
            assert (layer.product is not None) == wide


def test_without_a_compiler_auto_declines_and_sparse_is_refused(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "cache"))
    compiled.compiled.cache_clear()
    with pytest.raises(InputError, match="no C compiler here"):
        train_run(config(kernels="sparse"), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    trainer = trainer_at(config(kernels="auto"), 21)
    assert trainer.switches == []
    compiled.compiled.cache_clear()


def test_a_compiler_that_fails_is_one_sentence(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CC", "false")
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    compiled.compiled.cache_clear()
    assert "cannot compile the sparse kernels" in compiled.why_not()
    assert "\n" not in compiled.why_not()
    compiled.compiled.cache_clear()


def test_bfloat16_keeps_its_masks() -> None:
    run = config(kernels="auto", precision="bfloat16")
    assert trainer_at(run, 21).switches == []
    with pytest.raises(InputError, match="float32 on a CPU"):
        config(kernels="sparse", precision="bfloat16")


def test_an_optimizer_that_sees_pruned_weights_keeps_masks() -> None:
    with pytest.raises(InputError, match="sparse kernels do not compute"):
        config(kernels="auto", mask_optimizer=False)


@needs_compiler
def test_gradient_outside_the_mask_is_zero_and_inputs_need_none() -> None:
    mask = torch.eye(32, dtype=torch.bool)
    product = SparseProduct(mask)
    weight = torch.eye(32, requires_grad=True)
    (found,) = torch.autograd.grad(product(torch.randn(7, 32), weight).sum(), weight)
    assert bool((found[~mask] == 0).all())
    assert bool(found[mask].ne(0).any())


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("family", ["gpt", "t5", "vit"])
@pytest.mark.parametrize("pruner", ["gmp", "rigl"])
def test_fused_steps_go_where_eager_ones_go(family: str, pruner: str) -> None:
    """Until rounding decides between two weights of almost equal rank."""
    more = {"family": family, "pruner": pruner, "depth": 1, "batch": 16, "steps": 30}
    more |= {"nonzero_params": 9216, "corpus": "glyphs:classes=32" if family == "vit" else "python"}
    eager, fused = (trainer_at(config(**more, compute=way), 30) for way in ("eager", "fused"))
    assert (eager.compute, fused.compute) == ("eager", "fused")
    assert fused.validate()[0] == pytest.approx(eager.validate()[0], rel=1e-4)
    assert eager.sparsifier is not None
    assert fused.sparsifier is not None
    for name, mask in fused.sparsifier.masks.items():
        weight = fused.model.get_parameter(name)
        assert not weight[~mask].any()
        for held in ("exp_avg", "exp_avg_sq"):
            assert not fused.optimizer.state[weight][held][~mask].any()
        assert (mask != eager.sparsifier.masks[name]).float().mean() < 0.01


@needs_compiler
def test_a_fused_run_goes_on_to_the_same_bits_and_eager_steps_can_go_on_from_it() -> None:
    run = config(compute="fused")
    whole, part = trainer_at(run, 40), trainer_at(run, 17)
    again = Trainer(run, part.batches)
    again.load_state_dict(part.state_dict())
    advance(again, 40)
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    eager = Trainer(config(compute="eager"), part.batches)
    eager.load_state_dict(trainer_at(run, 17).state_dict())
    advance(eager, 40)
    assert eager.validate()[0] == pytest.approx(whole.validate()[0], rel=1e-4)


def test_how_a_run_is_computed_is_in_its_record_and_its_name(tmp_path: Path) -> None:
    runs = {way: config(compute=way, sparsity=0.0) for way in ("auto", "eager")}
    assert runs["auto"].run_id != runs["eager"].run_id
    records = {way: train_run(run, tmp_path) for way, run in runs.items()}
    assert records["eager"].compute == "eager"
    assert records["auto"].compute == ("eager" if compiled.why_not("fused") else "fused")


@pytest.mark.parametrize(
    "changes", [{"precision": "bfloat16"}, {"threads": 2}, {"kernels": "auto"}, {"device": "cuda"}]
)
def test_what_cannot_be_fused_is_refused_where_it_is_asked_for(changes: dict) -> None:
    with pytest.raises(InputError, match="use compute 'auto'"):
        config(compute="fused", **changes)
    assert not config(**changes).can_be_fused


def test_without_a_compiler_auto_is_eager_and_fused_is_refused(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "cache"))
    compiled.compiled.cache_clear()
    with pytest.raises(InputError, match="no C compiler here"):
        train_run(config(compute="fused"), tmp_path / "runs")
    run = config()
    assert Trainer(run, make_batches(run)).compute == "eager"
    compiled.compiled.cache_clear()
