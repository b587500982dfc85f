"""Adafactor knows the masks."""

import torch

from simlib.models import build_model
from simlib.runs.config import RunConfig
from simlib.train.optimizers import Adafactor, build_optimizer


def moved(weight: torch.Tensor, gradient: torch.Tensor, aware: bool = True) -> torch.Tensor:
    parameter = torch.nn.Parameter(weight.clone())
    parameter.grad = gradient
    Adafactor([parameter], lr=0.1, sparsity_aware=aware).step()
    return parameter.detach() - weight


def test_pruned_weights_do_not_change_the_step_of_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(8, 8, generator=generator)
    gradient = torch.randn(8, 8, generator=generator)
    padded = torch.cat([dense, torch.zeros(24, 8)])
    more = torch.cat([gradient, torch.randn(24, 8, generator=generator)])
    assert torch.allclose(moved(dense, gradient), moved(padded, more)[:8], rtol=1e-5)
    # blind to the masks, the step of a quarter of the weights is half as long
    blind = moved(padded, more, aware=False)[:8]
    assert torch.allclose(moved(dense, gradient) / 2, blind, rtol=1e-2)


def test_beta2_is_adamw_s_memory_of_squared_gradients() -> None:
    config = RunConfig(steps=1000, beta2=0.999)
    optimizer = build_optimizer(config, build_model(config))
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.999)}


def test_first_step_is_the_rate_times_the_size_of_the_tensor() -> None:
    step = moved(torch.full((4, 4), 3.0), torch.rand(4, 4) + 0.1)
    assert torch.allclose(step, torch.full((4, 4), -0.3), rtol=1e-5)
