"""What every model must do, whatever its weights."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from simlib.errors import InputError
from simlib.models import Data, build_model, prunable, sparsity_targets
from simlib.models.linear import Linear
from simlib.runs.config import RunConfig


def gpt(**changes: object) -> tuple[RunConfig, nn.Module]:
    config = RunConfig(**({"nonzero_params": 13_824, "steps": 100, "seq_len": 16} | changes))
    return config, build_model(config)


def tokens(rows: int = 3, length: int = 17) -> Tensor:
    return torch.randint(256, (rows, length), generator=torch.Generator().manual_seed(0))


def test_gpt_is_causal() -> None:
    _, model = gpt()
    x_BxL = tokens()[:, :16]
    changed = x_BxL.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 256
    before, after = model(x_BxL), model(changed)
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_body_has_the_weights_that_were_asked_for() -> None:
    for sparsity in (0, 0.5, 0.75):
        config, model = gpt(sparsity=sparsity, mask_interval=5)
        parameters = dict(model.named_parameters())
        body = sum(parameters[name].numel() for name in prunable(model))
        assert body == config.shape.dense_params
        assert abs(body * (1 - sparsity) / config.nonzero_params - 1) <= 0.03


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    first = gpt(seed=3)[1].state_dict()
    state = torch.random.get_rng_state()
    again, other = gpt(seed=3)[1].state_dict(), gpt(seed=4)[1].state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert torch.equal(state, torch.random.get_rng_state())


def test_an_untrained_model_knows_nothing() -> None:
    _, model = gpt()
    assert model.loss((tokens(32),)).item() == pytest.approx(5.55, abs=0.2)


def test_losses_of_examples_average_to_the_loss() -> None:
    _, model = gpt()
    batch = (tokens(5),)
    losses = model.losses(batch)
    assert losses.shape == (5,)
    assert losses.mean().item() == pytest.approx(model.loss(batch).item(), rel=1e-5)


def test_pruned_embeddings_keep_as_many_weights_as_the_dense_model_of_equal_size() -> None:
    config, model = gpt(sparsity=0.75, mask_interval=5)
    targets = sparsity_targets(model, config)
    assert targets["embed.weight"] == targets["head.weight"] == 0.5
    assert targets["blocks.0.mlp.up.weight"] == 0.75
    assert "position.weight" not in targets
    dense = gpt()[1]
    assert model.embed.weight.numel() / 2 == dense.embed.weight.numel()


@pytest.mark.slow
def test_a_sample_is_the_same_for_the_same_seed() -> None:
    _, model = gpt()
    first, again, other = (model.sample(b"def ", 40, seed=s) for s in (0, 0, 1))
    assert first == again != other
    assert len(first) == 44
    assert first.startswith(b"def ")


def test_vocabulary_is_that_of_the_data() -> None:
    config = RunConfig(nonzero_params=13_824, steps=100)
    assert build_model(config, Data(vocab_size=300)).head.weight.shape[0] == 300


def t5(**changes: object) -> tuple[RunConfig, nn.Module]:
    config = RunConfig(**({"family": "t5", "nonzero_params": 60_000, "steps": 100} | changes))
    return config, build_model(config, Data(vocab_size=262))


def vit(**changes: object) -> tuple[RunConfig, nn.Module]:
    config = RunConfig(**({"family": "vit", "nonzero_params": 13_824, "steps": 100} | changes))
    return config, build_model(config, Data(num_classes=40, image_shape=(32, 32, 1)))


def images(rows: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (rows, 32, 32, 1), generator=generator, dtype=torch.uint8)
    return pixels, torch.randint(40, (rows,), generator=generator)


@pytest.mark.slow
def test_t5_decoder_is_causal_and_its_encoder_is_not() -> None:
    _, model = t5()
    inputs_BxM, targets_BxL = tokens(2, 40), tokens(2, 12)
    before = model(inputs_BxM, targets_BxL)
    targets_BxL[:, 5] = (targets_BxL[:, 5] + 1) % 256
    after = model(inputs_BxM, targets_BxL)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])
    inputs_BxM[:, -1] = (inputs_BxM[:, -1] + 1) % 256
    assert not torch.allclose(model(inputs_BxM, targets_BxL)[:, 0], after[:, 0])


def test_t5_tells_near_from_far_and_before_from_after() -> None:
    _, model = t5()
    bias = model.encoder.position
    buckets = bias._bucket(torch.arange(-300, 301)[None])[0]
    assert len(set(buckets.tolist())) == 32 - 1  # "0 after" is the same place, so it has no bucket
    near = buckets[300 - 7 : 300 + 8]
    assert len(set(near.tolist())) == 15
    assert buckets[0] == buckets[300 - 128] != buckets[300 - 60]
    assert bias(20).shape == (model.encoder.blocks[0].attention.heads, 20, 20)


def test_t5_with_slopes_begins_with_a_reach_for_every_head() -> None:
    small = {"nonzero_params": 18_432, "depth": 1, "head_size": 8}
    (_, flat), (config, model) = t5(**small), t5(**small, position_bias="slopes")
    assert config.shape.heads >= 3
    for name, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
        bias_HxLxL = stack.position(40) - flat.get_submodule(name).position(40)
        for head, line in enumerate(bias_HxLxL):
            slope = -2 * 2.0**-head
            assert torch.allclose(line[20, 14:21], slope * torch.arange(6.0, -1, -1), atol=1e-5)
            if name == "encoder":
                assert torch.allclose(line[20, 20:27], line[20, 14:21].flip(0), atol=1e-5)
            assert line[39, 0] < line[39, 33]  # far buckets go on falling
    same = [n for n in flat.state_dict() if not n.endswith("position.bias.weight")]
    assert len(same) == len(flat.state_dict()) - 2
    assert all(torch.equal(flat.state_dict()[n], model.state_dict()[n]) for n in same)


def test_vit_sees_every_patch_and_where_it_is() -> None:
    _, model = vit()
    pixels, _ = images(1)
    before = model(pixels)
    for row, column in ((0, 0), (31, 31), (9, 20)):
        changed = pixels.clone()
        changed[0, row, column] = 255 - changed[0, row, column]
        assert not torch.equal(model(changed), before)
    moved = pixels.roll(8, dims=2)
    assert not torch.allclose(model(moved), before, atol=1e-6)


def test_vit_refuses_a_patch_that_does_not_fit() -> None:
    with pytest.raises(InputError, match="patch 7"):
        vit(patch=7)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["t5", "vit"])
def test_other_families_meet_the_same_contract(family: str) -> None:
    config, model = {"t5": t5, "vit": vit}[family](sparsity=0.5, mask_interval=5)
    batch = (tokens(5, 40), tokens(5, 12)) if family == "t5" else images(5)
    parameters = dict(model.named_parameters())
    body = sum(parameters[name].numel() for name in prunable(model))
    assert body == config.shape.dense_params
    chance = {"t5": 5.57, "vit": 3.69}[family]
    assert model.loss(batch).item() == pytest.approx(chance, abs=0.3)
    losses = model.losses(batch)
    assert losses.shape == (5,)
    assert losses.mean().item() == pytest.approx(model.loss(batch).item(), rel=1e-5)
    pruned = sparsity_targets(model, config)
    assert "encoder.position.bias.weight" not in pruned
    assert "position.weight" not in pruned
    assert "head.weight" in pruned
    model.loss(batch).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_linear_is_the_usual_product_and_so_are_its_derivatives() -> None:
    generator = torch.Generator().manual_seed(0)
    for inputs, outputs in ((48, 96), (96, 48), (24, 96)):
        layer = Linear(inputs, outputs)
        x = torch.randn(2, 5, inputs, generator=generator, requires_grad=True)
        wanted = torch.randn(2, 5, outputs, generator=generator)
        ours = torch.autograd.grad((layer(x) * wanted).sum(), (x, layer.weight))
        usual = (functional.linear(x, layer.weight) * wanted).sum()
        for one, other in zip(ours, torch.autograd.grad(usual, (x, layer.weight)), strict=True):
            assert torch.allclose(one, other, atol=1e-4)
        assert torch.allclose(layer(x), functional.linear(x, layer.weight), atol=1e-5)


@pytest.mark.parametrize("build", [gpt, t5, vit])
def test_few_bits_are_of_the_body_and_change_no_initial_weight(build) -> None:  # type: ignore[no-untyped-def]
    (_, full), (config, few) = build(), build(weight_bits=3)
    mark = "parametrizations.weight.original"
    names = prunable(few)
    assert all(name.endswith(mark) for name in names)
    assert [name.replace(mark, "weight") for name in names] == prunable(full)
    assert sum(name.endswith(mark) for name, _ in few.named_parameters()) == len(names)
    dense = RunConfig(**(config.model_dump(exclude={"data_seen"}) | {"embeddings": "dense"}))
    assert set(sparsity_targets(few, dense)) == set(names)
    before, after = full.state_dict(), few.state_dict()
    assert all(torch.equal(before[n.replace(mark, "weight")], w) for n, w in after.items())


@pytest.mark.parametrize("build", [gpt, t5, vit])
def test_bfloat16_attention_follows_float32(build) -> None:  # type: ignore[no-untyped-def]
    _, model = build()
    batch = {gpt: (tokens(),), t5: (tokens(5, 40), tokens(5, 12)), vit: images()}[build]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.loss(batch)
    assert rounded.item() == pytest.approx(model.loss(batch).item(), rel=2e-3)
