"""Weights of few bits: their levels, their error, their gradient, and their company with masks."""

import io

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from simlib.errors import InputError
from simlib.sparsify import Constant, Cubic, Quantiser, Sparsifier, quantise
from simlib.sparsify.quantiser import STEPS

BITS = sorted(STEPS)
RAMP, FLAT = Cubic(4, 23, 5), Constant(0, 23, 5)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def normal(count: int = 200_000) -> Tensor:
    """Evenly spaced quantiles of N(0, 1)."""
    shares = (np.arange(count) + 0.5) / count
    return torch.from_numpy(norm.ppf(shares)).float()


def layer(bits: int, inputs: int = 48, outputs: int = 12) -> nn.Linear:
    made = nn.Linear(inputs, outputs, bias=False)
    with torch.no_grad():
        made.weight.copy_(draw(outputs, inputs))
    quantise(made, ["weight"], bits)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("bits", BITS)
def test_there_are_as_many_levels_as_bits_can_tell_apart(bits: int) -> None:
    for scale in (1e-3, 1.0, 50.0):
        weights = scale * draw(500, 400) ** 3  # some lie beyond every last level
        levels = Quantiser(bits)(weights).unique()
        assert len(levels) == 2**bits
        assert torch.equal(levels, -levels.flip(0))
        steps = levels.diff()
        assert torch.allclose(steps, steps[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("bits", "error"),
    # Max 1960, table II: the least error of 2, 4, ... levels in equal steps
    [(1, 0.3634), (2, 0.1188), (3, 0.03744), (4, 0.01154), (5, 0.003495)],
)
def test_the_error_on_normal_weights_is_that_of_the_best_equal_steps(
    bits: int, error: float
) -> None:
    weights = normal()
    found = (Quantiser(bits)(weights) - weights).square().mean().item()
    assert found == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize("bits", BITS)
def test_each_weight_becomes_the_nearest_level_as_plain_numpy_has_it(bits: int) -> None:
    weights = draw(40, 30).double().numpy() * 0.3
    weights[::4] = 0
    kept = weights[weights != 0]
    step = STEPS[bits] * np.sqrt((kept**2).mean())
    levels = step * (np.arange(2**bits) - 2 ** (bits - 1) + 0.5)
    nearest = levels[np.abs(weights[..., None] - levels).argmin(axis=-1)]
    expected = np.where(weights != 0, nearest, 0.0)
    found = Quantiser(bits)(torch.from_numpy(weights).float()).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("bits", BITS)
def test_no_other_step_has_a_smaller_error(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, errors = normal(), []
    for factor in (0.98, 1.0, 1.02):
        monkeypatch.setitem(STEPS, bits, factor * STEPS[bits])
        errors.append((Quantiser(bits)(weights) - weights).square().mean().item())
        monkeypatch.undo()
    assert min(errors) == errors[1]


@pytest.mark.parametrize("bits", BITS)
def test_zero_stays_zero_and_nothing_else_becomes_it(bits: int) -> None:
    kept = draw(6, 400)
    sparse = torch.zeros(6, 800)
    sparse[:, ::2] = kept
    found = Quantiser(bits)(sparse)
    assert torch.equal(found != 0, sparse != 0)
    assert torch.allclose(found[:, ::2], Quantiser(bits)(kept))  # zeros have no say in the scale
    assert not Quantiser(bits)(torch.zeros(3, 4)).any()


@pytest.mark.parametrize("bits", BITS)
def test_gradients_pass_straight_through_but_for_weights_beyond_the_last_level(bits: int) -> None:
    few, full = layer(bits), nn.Linear(48, 12, bias=False)
    latent = few.parametrizations.weight.original
    with torch.no_grad():
        latent[:, ::3] = 0
        latent[7, 1] = 400.0
        full.weight.copy_(few.weight)
    x = draw(7, 48)
    few(x).square().sum().backward()
    full(x).square().sum().backward()
    spread = (latent.square().sum() / latent.count_nonzero()).sqrt()
    # half a step beyond the last level the error begins to exceed that of any weight before it
    beyond = latent.detach().abs() > 2 ** (bits - 1) * STEPS[bits] * spread
    assert beyond[7, 1]
    assert not beyond[:, ::3].any()
    assert torch.allclose(latent.grad, full.weight.grad.masked_fill(beyond, 0.0), rtol=1e-5)
    assert latent.grad[:, ::3].any()  # regrowth by gradient needs those of pruned weights


def test_bfloat16_weights_have_no_more_levels() -> None:
    found = Quantiser(8)(draw(30, 5000).bfloat16())
    assert found.dtype == torch.bfloat16
    assert len(found.unique()) <= 256


def test_any_layer_with_a_matrix_can_have_few_bits() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.LazyLinear(4), nn.Embedding(7, 8))
    model[:3](draw(2, 3, 8, 8))
    quantise(model, ("0.weight", "2.weight", "3.weight"), 2)
    assert all(len(model[place].weight.unique()) == 4 for place in (0, 2, 3))
    model[:3](draw(2, 3, 8, 8)).sum().backward()
    assert model[0].parametrizations.weight.original.grad.any()


def test_what_cannot_be_quantised_is_refused() -> None:
    for bits in (0, 9, 16):
        with pytest.raises(InputError, match=f"{bits} bits"):
            Quantiser(bits)
    for name in ("bias", "weights"):
        with pytest.raises(InputError, match=f"no matrix '{name}'"):
            quantise(nn.Linear(4, 4), [name], 4)


SETUPS = [
    ("gmp", "unstructured", RAMP),
    ("gmp", "2:4", RAMP),
    ("acdc", "block4x4", FLAT),
    ("rigl", "global", FLAT),
]


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 3])
@pytest.mark.parametrize(("pruner", "pattern", "schedule"), SETUPS)
def test_masks_hold_before_and_after_quantising(trial, bits, pruner, pattern, schedule):
    run = trial(bits=bits, pruner=pruner, pattern=pattern, schedule=schedule, targets=0.5)
    first = (run.model(run.inputs) - run.outputs).square().mean()
    for _ in run.train(30):
        for name, mask in run.sparsifier.masks.items():
            used = run.model.get_submodule(name.split(".")[0]).weight
            assert not run.model.get_parameter(name)[~mask].any()
            assert not used[~mask].any()
            assert len(used[mask].unique()) <= 2**bits
    assert run.sparsifier.sparsity == 0.5
    assert (run.model(run.inputs) - run.outputs).square().mean() < 0.9 * first


def test_ranks_are_those_of_the_weights_before_quantising() -> None:
    made = layer(2)
    latent = made.parametrizations.weight.original.detach().clone()
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    sparsifier = Sparsifier(made, optimizer, schedule=FLAT, targets=0.75)
    (mask,) = sparsifier.masks.values()
    assert latent[mask].abs().min() > latent[~mask].abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 9, 24])
def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(trial, stop):
    settings = {"bits": 3, "schedule": RAMP, "targets": 0.5}
    unbroken = trial(**settings).run(30)
    file = io.BytesIO()
    torch.save(trial(**settings).run(stop).states(), file)
    file.seek(0)
    resumed = trial(**settings).load(torch.load(file)).run(30 - stop)
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    assert torch.equal(resumed.model(resumed.inputs), unbroken.model(unbroken.inputs))
