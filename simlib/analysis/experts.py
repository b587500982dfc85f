"""Experts on the axis of sparsity: what idle parameters are worth, and how many are best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.law import Array


@dataclass(frozen=True)
class System:
    """A large mixture of experts as its report states it: parameters and tokens."""

    name: str
    source: str  # key of book/references.bib
    total: float
    active: float
    data_seen: float

    @property
    def sparsity(self) -> float:
        """Share of the parameters that a token does not pass."""
        return 1 - self.active / self.total

    @property
    def flops(self) -> float:
        """Training compute `6 N D`, N the active parameters."""
        return FLOP_PER_PARAMETER_AND_DATUM * self.active * self.data_seen


SYSTEMS = (
    System("DeepSeek-V3", "deepseek2024v3", 671e9, 37e9, 14.8e12),
    System("Kimi K2", "kimi2025k2", 1.04e12, 32e9, 15.5e12),
)


def left_share(law: Any) -> Array:
    """`c_S / (a_S + c_S)`: the part of a dense model's size term that no sparsity removes."""
    return np.asarray(law.c_S / (law.a_S + law.c_S))


def worth(law: Any, S: ArrayLike) -> Array:
    """Size of the dense model of equal loss, per active parameter; as `JointLaw.multiplier`.

    For any law whose size term is `(a_S (1-S)^b_S + c_S) N^-b_N`.
    """
    factor = law.a_S * (1 - np.asarray(S, dtype=float)) ** law.b_S + law.c_S
    return np.asarray((factor / (law.a_S + law.c_S)) ** (-1 / law.b_N))


def idle_worth(law: Any, S: ArrayLike) -> Array:
    """Dense parameters that an idle one stands for, on average: `(worth - 1) (1-S) / S`."""
    S = np.asarray(S, dtype=float)
    return (worth(law, S) - 1) * (1 - S) / S


def with_ends(
    law_file: FittedLaw, quantity: Callable[[Any], Array]
) -> tuple[float, tuple[float, float] | None]:
    """A number of a law with its central interval over the ensemble, None without one."""
    value = float(quantity(law_file.law))
    if law_file.ensemble is None:
        return value, None
    tails = [(1 - law_file.level) / 2, (1 + law_file.level) / 2]
    low, high = np.quantile(quantity(law_file.ensemble), tails)
    return value, (float(low), float(high))
