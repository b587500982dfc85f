"""Averages of a run's weights, kept beside them while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from simlib.runs.config import RunConfig
from simlib.sparsify.compat import move_towards_
from simlib.sparsify.shards import local, parts


class Averages:
    """The averages that `config` asks for: `ema`, `mean`.

    Each begins when the steps of `config.averages_from` are done, as a plain mean of the weights
    after every step since; `ema` goes on with a fixed rate once that is the larger one, so it never
    leans on the weights that it began with. None begins before a run has left its prefix.
    """

    def __init__(self, config: RunConfig, model: nn.Module) -> None:
        self._model, self._parameters = model, dict(model.named_parameters())
        self._starts = config.averages_from
        half_life = config.ema_half_life * config.total_steps
        self._least = {"ema": 1 - 2 ** (-1 / half_life), "mean": 0.0}
        self._held: dict[str, dict[str, Tensor]] = {}

    @property
    def names(self) -> list[str]:
        """The averages that have begun."""
        return list(self._held)

    @torch.no_grad()
    def step(self, t: int) -> None:
        """Take in the weights after optimizer step `t`."""
        for name, start in self._starts.items():
            if t > start:
                rate = max(1 / (t - start), self._least[name])
                held = [local(average) for average in self._begun(name).values()]
                move_towards_(held, [local(p) for p in self._parameters.values()], rate)

    @contextmanager
    def in_place(self, name: str, masks: Mapping[str, Tensor]) -> Iterator[None]:
        """The model with this average in place of its weights, zero where `masks` are zero."""
        last = {n: local(p).detach().clone() for n, p in self._parameters.items()}
        with torch.no_grad():
            for n, parameter in self._parameters.items():
                local(parameter).copy_(local(self._held[name][n]))
                if n in masks:
                    local(parameter).mul_(local(masks[n]))
        try:
            yield
        finally:
            with torch.no_grad():
                for n, parameter in self._parameters.items():
                    local(parameter).copy_(last[n])

    def state_dict(self) -> dict[str, Any]:
        """The averages so far, by name and parameter."""
        return self._held

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Continue from `state_dict()`; its tensors are whole, the averages may be sharded."""
        self._held = {}
        for name, saved in state.items():
            held = self._begun(name)
            for n, tensor in parts(saved, self._model).items():
                local(held[n]).copy_(local(tensor))

    def _begun(self, name: str) -> dict[str, Tensor]:
        if name not in self._held:
            zeros = {n: torch.zeros_like(p.detach()) for n, p in self._parameters.items()}
            self._held[name] = zeros
        return self._held[name]
