"""Fused operations give what the plain ones give, forward and backward."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from simlib.models import fused
from simlib.models.block import TransformerBlock, norm
from simlib.models.compiled import why_not
from simlib.runs.shape import Shape

pytestmark = pytest.mark.skipif(bool(why_not("fused")), reason="no C compiler here")

GPT = {"causal": True}
T5 = {"cross": True, "gated": True, "bias": True}


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def with_drawn_gains(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 1.0, 0.3, generator=torch.Generator().manual_seed(0))
    return module


def assert_equal(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        if other is None:
            assert one is None
        else:
            scale = other.abs().max().clamp(min=1e-3)
            torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "heads", "hidden", "examples", "length", "kind"),
    [
        (16, 1, 64, 32, 64, GPT),
        (24, 3, 40, 5, 19, GPT),  # nothing is a multiple of a vector
        (64, 2, 256, 4, 64, GPT),
        (32, 1, 128, 2, 130, GPT),  # longer than a chunk of rows
        (16, 4, 64, 3, 33, GPT | {"qk_norm": False}),
        (16, 2, 32, 64, 4, {}),
        (24, 3, 40, 7, 30, T5),
        (32, 1, 88, 1, 1, T5),
    ],
)
def test_a_block_is_that_of_plain_operations(
    width: int, heads: int, hidden: int, examples: int, length: int, kind: dict[str, bool]
) -> None:
    torch.manual_seed(0)
    options = {"causal": False} | {k: v for k, v in kind.items() if k != "bias"}
    block = with_drawn_gains(TransformerBlock(Shape("gpt", width, 1, heads, hidden), **options))
    x = drawn(examples, length, width).requires_grad_()
    memory = drawn(examples, length + 11, width).requires_grad_()
    bias = drawn(heads, length, length).requires_grad_() if "bias" in kind else None
    g = drawn(examples, length, width).flip(0)
    inputs = [x, memory, *([] if bias is None else [bias]), *block.parameters()]

    def both() -> tuple[Tensor, tuple[Tensor | None, ...]]:
        y = block(x, bias, memory if "cross" in kind else None)
        return y, torch.autograd.grad(y, inputs, g, allow_unused=True)

    y, gradients = both()
    fused.fuse(block)
    y_fused, found = both()
    torch.testing.assert_close(y_fused, y, rtol=1e-5, atol=1e-5)
    assert_equal(found, gradients)


def test_the_future_stays_out_of_a_bias_that_hides_it() -> None:
    block = TransformerBlock(Shape("t5", 16, 1, 2, 32), causal=False, gated=True)
    fused.fuse(block)
    hidden = torch.full((2, 8, 8), -torch.inf).triu(1)
    x = drawn(3, 8, 16)
    changed = x.clone()
    changed[:, 5:] += 1
    assert torch.equal(block(x, hidden)[:, :5], block(changed, hidden)[:, :5])
    assert not torch.equal(block(x, hidden)[:, 5:], block(changed, hidden)[:, 5:])


@pytest.mark.parametrize("classes", [10, 256, 259])
@pytest.mark.parametrize("normed", [True, False])
def test_losses_are_those_of_a_layer_and_a_softmax(classes: int, normed: bool) -> None:
    layer = with_drawn_gains(norm(24)) if normed else nn.Identity()
    gain = layer.weight if normed else None
    x = (50 * drawn(140, 24)).requires_grad_()  # a softmax that would overflow if taken as it is
    weight = drawn(classes, 24).requires_grad_()
    target = torch.randint(classes, (140,), generator=torch.Generator().manual_seed(0))
    inputs = [x, weight, *layer.parameters()]
    expected = functional.cross_entropy(layer(x) @ weight.t(), target, reduction="none")
    found = fused.losses(x, gain, weight, target)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    g = drawn(140)
    for _ in range(2):  # what a backward pass reads stays as it was
        assert_equal(
            torch.autograd.grad(found, inputs, g, retain_graph=True),
            torch.autograd.grad(expected, inputs, g, retain_graph=True),
        )


@pytest.mark.parametrize("placed", [True, False])
def test_an_embedding_is_a_look_up(placed: bool) -> None:
    tokens = torch.randint(9, (5, 7), generator=torch.Generator().manual_seed(0))
    table, position = drawn(9, 24).requires_grad_(), drawn(12, 24).requires_grad_()
    inputs = [table, position] if placed else [table]
    expected = table[tokens] + (position[:7] if placed else 0)
    found = fused.embedding(tokens, table, position if placed else None)
    assert torch.equal(found, expected)
    g = drawn(5, 7, 24)
    assert_equal(torch.autograd.grad(found, inputs, g), torch.autograd.grad(expected, inputs, g))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0.0, 0.5])
def test_an_update_is_that_of_torch_and_either_goes_on_from_the_other(limit: float) -> None:
    def made() -> tuple[list[nn.Parameter], torch.optim.AdamW]:
        parameters = [nn.Parameter(drawn(5, 7)), nn.Parameter(drawn(33))]
        groups = [
            {"params": [p], "weight_decay": d} for p, d in zip(parameters, (0.1, 0.0), strict=True)
        ]
        return parameters, torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.99), fused=True)

    (ours, optimizer), (theirs, other) = made(), made()
    keep = (drawn(5, 7) > 0).float()
    update = fused.AdamWUpdate(optimizer, {ours[0]: keep}, limit)
    for step in range(6):
        gradients = [(step + 1) * drawn(step + 3, 5, 7)[0], drawn(33) - step]
        squares = (gradients[0] * keep).square().sum() + gradients[1].square().sum()
        factor = min(1.0, limit / (float(squares.sqrt()) + 1e-6)) if limit else 1.0
        for parameters, share in ((ours, 1.0), (theirs, factor)):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = share * gradient
        if step == 4:  # once by torch's own
            update.store()
            for parameter in ours:
                parameter.grad *= factor
            optimizer.step()
            update = fused.AdamWUpdate(optimizer, {ours[0]: keep}, limit)
        else:
            assert update() == pytest.approx(float(squares.sqrt()), rel=1e-5)
            torch.testing.assert_close(ours[0].grad, factor * gradients[0])
        other.step()
        for held in (theirs[0].data, *list(other.state[theirs[0]].values())[1:]):
            held *= keep
        if step != 4:
            assert_equal(ours, theirs)
            assert torch.equal(ours[0] == 0, keep == 0)
