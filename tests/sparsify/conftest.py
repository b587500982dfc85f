"""A small network in training: what every sparsifier test needs."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from simlib.sparsify import Sparsifier, quantise


class Trial:
    """A two-layer network, its optimizer and sparsifier, trained on fixed random regression."""

    def __init__(
        self, *, dtype: torch.dtype = torch.float32, bits: int | None = None, **settings: Any
    ) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(24, 32), nn.GELU(), nn.Linear(32, 16)).to(dtype)
        if bits:
            quantise(self.model, ("0.weight", "2.weight"), bits)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.inputs, self.outputs = torch.randn(64, 24, dtype=dtype), torch.randn(64, 16)
        self.sparsifier = Sparsifier(self.model, self.optimizer, **settings)
        self.step = 0

    def train(self, steps: int) -> Iterator[int]:
        """One optimizer step and one sparsifier step at a time; yields the steps done."""
        for _ in range(steps):
            self.step += 1
            self.optimizer.zero_grad()
            (self.model(self.inputs) - self.outputs).square().mean().backward()
            self.optimizer.step()
            self.sparsifier.step(self.step)
            yield self.step

    def run(self, steps: int) -> "Trial":
        """Train silently."""
        for _ in self.train(steps):
            pass
        return self

    def pruned(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every target's parameter and mask."""
        for name, mask in self.sparsifier.masks.items():
            yield self.model.get_parameter(name), mask

    def states(self) -> dict[str, Any]:
        """All that a checkpoint holds."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sparsifier": self.sparsifier.state_dict(),
            "step": self.step,
        }

    def load(self, states: dict[str, Any]) -> "Trial":
        """Continue from `states`."""
        self.model.load_state_dict(states["model"])
        self.optimizer.load_state_dict(states["optimizer"])
        self.sparsifier.load_state_dict(states["sparsifier"])
        self.step = states["step"]
        return self


@pytest.fixture
def trial() -> type[Trial]:
    """The class, so that each test makes its own."""
    return Trial
