"""What a plan may spend, and what the model must fit into."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.law import Array, fraction
from simlib.laws.repeated import PUBLISHED_REPEATED, Repetition
from simlib.simulate.footprint import STORAGE, Storage
from simlib.simulate.hardware import Cluster

FLOP_PER_SERVED_TOKEN = 2.0  # a token and non-zero parameter: the forward pass only
# outside these a budget is more likely in another unit; GPT-4 class training is near 1e25 FLOP
PLAUSIBLE_FLOPS = (1e9, 1e32)
PLAUSIBLE_HOURS = (1e-3, 1e12)
PLAUSIBLE_MONEY = (1e-3, 1e15)
SMALLEST_WEIGHTS = 1e3  # bytes, below which no model is stored


@dataclass(frozen=True)
class Limits:
    """Ceilings on size, data and sparsity, and the serving that the budget has to pay for too.

    `nonzero_params`, `data_seen`: ceilings on N and D, None for none. `sparsity`: ceiling on S.
    `weight_bytes`: ceiling on the bytes of the stored weights; `kept` says how they are stored.
    `serve_tokens`: tokens to be served after training, at 2 FLOP a token and non-zero parameter,
    or a token and place under the mask where `serve_zeros` (zeros are not skipped at inference).
    `unique_data`: distinct tokens or images there are, None for no end of them; past them D counts
    as what `repetition` says, by default as published for language models (Wu et al. 2026).
    `fixed_params`: the N of every run, None where it is free.
    """

    nonzero_params: float | None = None
    data_seen: float | None = None
    sparsity: float = 0.99
    weight_bytes: float | None = None
    kept: Storage = field(default_factory=lambda: STORAGE["bitmask"])
    serve_tokens: float = 0.0
    serve_zeros: bool = False
    unique_data: float | None = None
    repetition: Repetition = PUBLISHED_REPEATED.data
    fixed_params: float | None = None

    def __post_init__(self) -> None:
        numbers = ("nonzero_params", "data_seen", "weight_bytes", "unique_data", "fixed_params")
        for name in numbers:
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= 1):
                raise InputError(
                    f"the ceiling on {name} must be at least 1, got {value}: leave it out for none"
                )
        if self.fixed_params is not None and (self.nonzero_params or self.weight_bytes):
            raise InputError(
                "a fixed number of non-zero parameters leaves nothing to a ceiling on it: give one"
            )
        if not 0 <= self.sparsity < 1:
            raise InputError(f"the ceiling on sparsity lies in [0, 1), got {self.sparsity}")
        if not (np.isfinite(self.serve_tokens) and self.serve_tokens >= 0):
            raise InputError(f"tokens to serve must be at least 0, got {self.serve_tokens}")

    def largest_params(self, S: ArrayLike) -> Array:
        """Most non-zero parameters allowed at sparsity S, infinite without a ceiling."""
        most = np.full(np.shape(S), np.inf if self.nonzero_params is None else self.nonzero_params)
        if self.weight_bytes is None:
            return most
        return np.minimum(most, self.weight_bytes / self.kept.bytes_per_nonzero(S))

    def serving_flops(self, S: ArrayLike) -> Array:
        """FLOP of all serving, for each non-zero parameter."""
        places = 1 / (1 - fraction(S)) if self.serve_zeros else np.ones(np.shape(S))
        return np.asarray(FLOP_PER_SERVED_TOKEN * self.serve_tokens * places)

    def effective_data(self, S: ArrayLike, D: ArrayLike) -> Array:
        """Fresh tokens or images that D are worth; D itself where data does not run out."""
        if self.unique_data is None:
            return np.asarray(D, dtype=float)
        return self.repetition.effective(S, D, self.unique_data)


def weight_ceiling(
    memory: float | None, seconds_per_token: float | None, cluster: Cluster | None
) -> float | None:
    """Most bytes of weights that fit the memory and are read within the latency of a token.

    At batch 1 a decoded token takes at least the time to read the weights once, so a latency is a
    ceiling of `seconds_per_token x bandwidth x devices` bytes. Raises InputError for a latency
    without hardware and for a ceiling that is not positive.
    """
    said = {"a memory of {:g} bytes": memory, "a latency of {:g} s a token": seconds_per_token}
    ceilings = {}
    for words, value in said.items():
        if value is None:
            continue
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"a ceiling must be positive and finite, got {words.format(value)}")
        ceilings[words.format(value)] = value
    if seconds_per_token is not None:
        words = list(ceilings)[-1]
        if cluster is None:
            raise InputError(
                f"{words} limits the model only on given hardware: name an accelerator too"
            )
        ceilings[words] *= cluster.device.bandwidth * cluster.devices
    for words, ceiling in ceilings.items():
        if ceiling < SMALLEST_WEIGHTS:
            raise InputError(
                f"no model meets {words}: that is {ceiling:.3g} bytes of weights; is it in another "
                "unit?"
            )
    return min(ceilings.values(), default=None)


def budget_in_flops(
    flops: float | None = None,
    hours: float | None = None,
    money: float | None = None,
    cluster: Cluster | None = None,
) -> float:
    """A budget in FLOP, device-hours or money as FLOP. Exactly one of the three is given.

    Raises InputError for none or several of them, for hours or money without what converts them,
    and for a value so small or large that its unit must be wrong.
    """
    given = {"FLOP": flops, "GPU-hours": hours, "money": money}
    named = {k: v for k, v in given.items() if v is not None}
    if len(named) != 1:
        raise InputError(
            f"give one budget, in FLOP, GPU-hours or money; got {' and '.join(named) or 'none'}"
        )
    if flops is not None:
        return _plausible("FLOP", flops, PLAUSIBLE_FLOPS)
    if cluster is None:
        raise InputError(f"a budget in {next(iter(named))} needs hardware: name an accelerator")
    if hours is not None:
        _plausible("GPU-hours", hours, PLAUSIBLE_HOURS)
        return hours * cluster.flops_per_device_hour
    assert money is not None
    if cluster.price is None:
        raise InputError(f"a budget of {money:g} in money needs the price of a device-hour")
    _plausible("money", money, PLAUSIBLE_MONEY)
    return money / cluster.price * cluster.flops_per_device_hour


def _plausible(unit: str, value: float, ends: tuple[float, float]) -> float:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"a budget must be positive and finite, got {value} {unit}")
    if not ends[0] <= value <= ends[1]:
        raise InputError(
            f"a budget of {value:g} {unit} is not plausible (expected {ends[0]:g} to {ends[1]:g}): "
            "is it in another unit?"
        )
    return float(value)
