"""What every model must do, whatever its weights."""

import pytest
import torch
from torch import Tensor, nn

from simlib.config import RunConfig
from simlib.models import Data, build_model, prunable, sparsity_targets


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
    config, model = gpt(sparsity=0.75, embeddings="pruned", mask_interval=5)
    targets = sparsity_targets(model, config)
    assert targets["embed.weight"] == targets["head.weight"] == 0.5
    assert targets["blocks.0.mlp.up.weight"] == 0.75
    assert "position.weight" not in targets
    dense = gpt()[1]
    assert model.embed.weight.numel() / 2 == dense.embed.weight.numel()


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    _, model = gpt()
    first, again, other = (model.sample(b"def ", 40, seed=s) for s in (0, 0, 1))
    assert first == again != other
    assert len(first) == 44
    assert first.startswith(b"def ")


def test_vocabulary_is_that_of_the_data() -> None:
    config = RunConfig(nonzero_params=13_824, steps=100)
    assert build_model(config, Data(vocab_size=300)).head.weight.shape[0] == 300
