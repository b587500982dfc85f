"""Laws to hold beside the joint law, each from the paper that proposes it.

Units and symbols are those of `simlib.laws.law`: S the fraction of zero weights, N the non-zero and
`N / (1-S)` the dense parameters, D tokens or images, losses in nats. Forms that their authors
stated for another kind of sparsity are read here for pruned models; the docstrings say how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.base import Array, BaseLaw, Coefficient, Indices, Terms, fraction, positive
from simlib.laws.form import (
    Amplitude,
    ByLevel,
    Entry,
    Exponent,
    Form,
    Free,
    Multiplier,
    Outer,
    Ratio,
    Row,
    Scale,
)
from simlib.laws.optimum import COSTS, CostModel

SCHEDULE: CostModel = COSTS["sparse"]  # 25% dense, 50% cubic ramp, 25% final
MANY_BITS = 60.0  # stands for infinitely many

# the data term and the floor that all these forms share
DATA: dict[str, Entry] = {"a_D": Scale("b_D", per_D="b_D"), "b_D": Exponent(), "c": Amplitude()}
FLOOR: Row = {"c": 1.0}


def data_row(d: Array) -> Row:
    """`(a_D / D)^b_D`."""
    return {"a_D": 1.0, "b_D": -d}


class AdditiveLaw(BaseLaw):
    """Laws of a size term that each defines, a data term `(a_D / D)^b_D` and a floor c."""

    a_D: Coefficient
    b_D: Coefficient
    c: Coefficient

    def terms(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Terms:
        """The size, data and floor terms of the loss, broadcast to one shape."""
        S, N, D = fraction(S), positive("nonzero_params", N), positive("data_seen", D)
        return Terms(*np.broadcast_arrays(self.size(S, N), self.data(S, D), self.floor(S)))

    def size(self, S: Array, N: Array) -> Array:
        """The size term."""
        raise NotImplementedError

    def data(self, S: Array, D: Array) -> Array:
        """The data term."""
        return np.asarray((self.a_D / D) ** self.b_D)

    def floor(self, S: Array) -> Array:
        """What neither size nor data removes."""
        return np.asarray(self.c, dtype=float)


@dataclass(frozen=True)
class DensityPower(AdditiveLaw):
    """`L = a_N (N (1-S)^-k)^-b_N + (a_D / D)^b_D + c`: a sparse parameter is worth `(1-S)^-k`.

    The joint law without saturation: c_S = 0 and b_S = k b_N.
    """

    a_N: Coefficient
    k: Coefficient
    b_N: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    c: Coefficient

    def size(self, S: Array, N: Array) -> Array:
        """`a_N (N (1-S)^-k)^-b_N`."""
        return np.asarray(self.a_N * (N * (1 - S) ** -self.k) ** -self.b_N)


def _density_power_rows(S: Array, n: Array, d: Array) -> list[Row]:
    return [{"a_N": 1.0, "k": np.log1p(-S), "b_N": -n}, data_row(d), FLOOR]


DENSITY_POWER = Form(
    "density-power",
    DensityPower,
    {"a_N": Amplitude(per_N="b_N"), "k": Ratio("b_N"), "b_N": Exponent(), **DATA},
    _density_power_rows,
    distinct=(2, 2, 3),
)


@dataclass(frozen=True)
class AverageParams(AdditiveLaw):
    """`L = a_N Nbar^-b_N + (a_D / D)^b_D + c`, Nbar the mean non-zero parameters over training.

    Jin et al. 2025 (arXiv 2501.12486). Under the schedule of Frantar et al. 2024 (dense for 25%
    of training, cubic to the final sparsity at 75%) `Nbar = N (0.375 / (1-S) + 0.625)`; runs with
    another schedule have another Nbar, which this law does not know.
    """

    a_N: Coefficient
    b_N: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    c: Coefficient

    def size(self, S: Array, N: Array) -> Array:
        """`a_N Nbar^-b_N`."""
        return np.asarray(self.a_N * (N * SCHEDULE.multiplier(S)) ** -self.b_N)


def _average_params_rows(S: Array, n: Array, d: Array) -> list[Row]:
    return [{"a_N": 1.0, "b_N": -n - np.log(SCHEDULE.multiplier(S))}, data_row(d), FLOOR]


AVERAGE_PARAMS = Form(
    "average-params",
    AverageParams,
    {"a_N": Amplitude(per_N="b_N"), "b_N": Exponent(), **DATA},
    _average_params_rows,
    distinct=(1, 2, 3),
)


@dataclass(frozen=True)
class CapacityLaw(AdditiveLaw):
    """`L = a_N (N rho / (1-S))^-b_N + (a_D / D)^b_D + c`, `rho = tanh(F log_1/4 GMSE(S))^C`.

    Panferov et al. 2025 (arXiv 2506.01863): the dense parameters times a capacity that depends on
    the error with which the format represents N(0, 1), here magnitude pruning; F and C are refitted
    for it. Their factor L before tanh is 1, since a dense model has capacity 1.
    """

    a_N: Coefficient
    b_N: Coefficient
    F: Coefficient
    C: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    c: Coefficient

    def capacity(self, S: ArrayLike) -> Array:
        """`rho(S)`: 1 for a dense model."""
        return np.asarray(np.tanh(self.F * precision(S)) ** self.C)

    def size(self, S: Array, N: Array) -> Array:
        """`a_N (N rho / (1-S))^-b_N`."""
        return np.asarray(self.a_N * (N / (1 - S) * self.capacity(S)) ** -self.b_N)


def pruning_error(S: ArrayLike) -> Array:
    """GMSE of magnitude pruning: the mean square of N(0, 1) below its S-quantile of magnitude.

    `S - 2 t phi(t)` with `P(|z| < t) = S`.
    """
    from scipy.special import ndtri  # scipy takes longer to import than most commands to run

    S = fraction(S)
    t = ndtri((1 + S) / 2)
    density = np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray(S - 2 * t * density)


def precision(S: ArrayLike) -> Array:
    """`log_1/4 GMSE(S)`: the bits of a uniform code with pruning's error; infinite at S = 0."""
    error = np.maximum(pruning_error(S), 1e-300)
    return np.where(np.asarray(S) > 0, np.log(error) / np.log(0.25), np.inf)


def capacity_form(F: Any) -> Form:
    """The form at a given F, a number or one for each member of an ensemble."""

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        used = np.log(np.tanh(F * np.minimum(precision(S), MANY_BITS / F)))
        return [{"a_N": 1.0, "b_N": np.log1p(-S) - n, "C": -used}, data_row(d), FLOOR]

    return Form(
        "capacity",
        CapacityLaw,
        {"a_N": Amplitude(per_N="b_N"), "b_N": Exponent(), "C": Ratio("b_N"), **DATA},
        rows,
        build=partial(CapacityLaw, F=F),
    )


CAPACITY = Outer("capacity", CapacityLaw, capacity_form, "F", 0.05, 20.0)


@dataclass(frozen=True)
class ExpertsLaw(AdditiveLaw):
    """`L = a P^-alpha + (a_D/D)^b_D + g (1-S)^-lam + d (1-S)^-delta P^-gamma + c`, P total params.

    Abnar et al. 2025 (arXiv 2501.12370), stated for mixtures of experts with P all parameters and
    S the share of idle experts. For pruned models P = N / (1-S), the dense parameters. Their
    b / D^beta is (a_D / D)^b_D, their c and e are g and c here.
    """

    a: Coefficient
    alpha: Coefficient
    g: Coefficient
    lam: Coefficient
    d: Coefficient
    delta: Coefficient
    gamma: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    c: Coefficient

    def size(self, S: Array, N: Array) -> Array:
        """`a P^-alpha + d (1-S)^-delta P^-gamma`."""
        P, density = N / (1 - S), 1 - S
        return np.asarray(self.a * P**-self.alpha + self.d * density**-self.delta * P**-self.gamma)

    def floor(self, S: Array) -> Array:
        """`g (1-S)^-lam + c`."""
        return np.asarray(self.g * (1 - S) ** -self.lam + self.c)


def _experts_rows(S: Array, n: Array, d: Array) -> list[Row]:
    x = np.log1p(-S)
    return [
        {"a": 1.0, "alpha": x - n},
        {"d": 1.0, "delta": -x, "gamma": x - n},
        {"g": 1.0, "lam": -x},
        data_row(d),
        FLOOR,
    ]


EXPERTS = Form(
    "experts",
    ExpertsLaw,
    {
        "a": Amplitude(per_N="alpha"),
        "alpha": Exponent(),
        "g": Amplitude(),
        "lam": Free(),
        "d": Amplitude(per_N="gamma"),
        "delta": Free(),
        "gamma": Exponent(),
        **DATA,
    },
    _experts_rows,
)


@dataclass(frozen=True)
class ActivationLaw(AdditiveLaw):
    """`L = (B + C exp(beta / (1-S))) P^-alpha + (a_D / D)^b_D + c`, P total parameters.

    Q-Sparse (arXiv 2407.10969), stated for sparse activations at one amount of data, hence without
    the data term, which is added here. For pruned models P = N / (1-S), the dense parameters.
    """

    B: Coefficient
    C: Coefficient
    beta: Coefficient
    alpha: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    c: Coefficient

    def size(self, S: Array, N: Array) -> Array:
        """`(B + C exp(beta / (1-S))) P^-alpha`."""
        factor = self.B + self.C * np.exp(np.minimum(self.beta / (1 - S), 600))
        return np.asarray(factor * (N / (1 - S)) ** -self.alpha)


def _activation_rows(S: Array, n: Array, d: Array) -> list[Row]:
    alpha = np.log1p(-S) - n
    return [
        {"B": 1.0, "alpha": alpha},
        {"C": 1.0, "beta": 1 / (1 - S), "alpha": alpha},
        data_row(d),
        FLOOR,
    ]


ACTIVATION = Form(
    "activation",
    ActivationLaw,
    {
        "B": Amplitude(per_N="alpha"),
        "C": Amplitude(per_N="alpha"),
        "beta": Free(),
        "alpha": Exponent(),
        **DATA,
    },
    _activation_rows,
)


@dataclass(frozen=True)
class FreeMultiplier:
    """`L = a_N (N eff(S))^-b_N + (a_D / D)^b_D + c` with one free number eff for each sparsity.

    Frantar et al. 2025 (arXiv 2502.16440), whose N are the dense parameters; here eff is the worth
    of one non-zero parameter, so `eff(0) = 1`. The law knows the sparsities in `levels` only: a
    sparsity belongs to a level if its density is within 5% of the level's.
    """

    a_N: Coefficient
    b_N: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    c: Coefficient
    eff: tuple[Coefficient, ...]
    levels: tuple[float, ...]

    def names(self) -> tuple[str, ...]:
        """Coefficient names in their fixed order."""
        return (*_COMMON, *(f"eff({level:g})" for level in self.levels))

    @classmethod
    def from_coefficients(cls, coefficients: Mapping[str, float]) -> Self:
        """A law from its coefficients by name; the names `eff(0.5)` tell the levels."""
        eff = {float(n[4:-1]): float(v) for n, v in coefficients.items() if n.startswith("eff(")}
        common: dict[str, Any] = {name: float(coefficients[name]) for name in _COMMON}
        return cls(**common, eff=tuple(eff.values()), levels=tuple(eff))

    def from_vector(self, values: ArrayLike) -> Self:
        """A law with the same levels from coefficients stacked along the last axis."""
        columns = tuple(np.moveaxis(np.asarray(values, dtype=float), -1, 0))
        common: dict[str, Any] = dict(zip(_COMMON, columns, strict=False))
        return replace(self, **common, eff=columns[len(_COMMON) :])

    def vector(self) -> Array:
        """Coefficients stacked along a new last axis, shape (..., k)."""
        values = (self.a_N, self.b_N, self.a_D, self.b_D, self.c, *self.eff)
        return np.stack(np.broadcast_arrays(*values), axis=-1).astype(float)

    def expand(self, dims: int) -> Self:
        """The same law with `dims` trailing axes of length 1 added to every coefficient."""
        vector = self.vector()
        return self.from_vector(vector.reshape(*vector.shape[:-1], *(1,) * dims, vector.shape[-1]))

    def multiplier(self, S: ArrayLike) -> Array:
        """`eff(S)`. Raises InputError for a sparsity that is not one of the levels."""
        index = level_index(self.levels, S)
        return np.asarray(sum(np.where(index == i, e, 0.0) for i, e in enumerate((1.0, *self.eff))))

    def __call__(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Array:
        """Predicted loss in nats; raises InputError outside the law's domain."""
        effective = positive("nonzero_params", N) * self.multiplier(S)
        data = (self.a_D / positive("data_seen", D)) ** self.b_D
        return np.asarray(self.a_N * effective**-self.b_N + data + self.c)


_COMMON = ("a_N", "b_N", "a_D", "b_D", "c")
SAME_LEVEL = 0.05  # relative difference of density within which two sparsities are one level


def find_levels(S: ArrayLike) -> tuple[float, ...]:
    """The distinct sparsities above 0, counting those within 5% in density as one: its median."""
    S = np.sort(fraction(S).ravel())
    S = S[S > SAME_LEVEL]
    if not len(S):
        return ()
    new = np.diff(np.log1p(-S)) < np.log1p(-SAME_LEVEL)
    groups = np.split(S, np.flatnonzero(new) + 1)
    return tuple(round(float(np.median(group)), 4) for group in groups)


def level_index(levels: Sequence[float], S: ArrayLike) -> Indices:
    """0 for dense, i for `levels[i - 1]`. Raises InputError for a sparsity far from all of them."""
    known = np.log1p(-np.array([0.0, *levels]))
    distance = np.abs(np.log1p(-fraction(S))[..., None] - known)
    far = distance.min(axis=-1) > -np.log1p(-SAME_LEVEL)
    if far.any():
        stranger = float(np.ravel(S)[np.argmax(np.ravel(far))])
        have = ", ".join(f"{level:g}" for level in (0, *levels))
        raise InputError(f"sparsity {stranger:g} is none of the law's own, which are {have}")
    return np.asarray(distance.argmin(axis=-1))


def free_multiplier_form(levels: tuple[float, ...]) -> Form:
    """The form with a free multiplier for each of the given sparsities."""
    eff = [f"eff({level:g})" for level in levels]

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        index = level_index(levels, S)
        own = {key: np.where(index == i, 1.0, 0.0) for i, key in enumerate(eff, start=1)}
        return [{"a_N": 1.0, "b_N": -n, **own}, data_row(d), FLOOR]

    def build(**values: Coefficient) -> FreeMultiplier:
        common = {name: values[name] for name in _COMMON}
        return FreeMultiplier(**common, eff=tuple(values[key] for key in eff), levels=levels)

    return Form(
        "free-multiplier",
        FreeMultiplier,
        {
            "a_N": Amplitude(per_N="b_N"),
            "b_N": Exponent(),
            **dict.fromkeys(eff, Multiplier("b_N")),
            **DATA,
        },
        rows,
        distinct=(2, 2, 3),
        build=build,
        order=(*_COMMON, *eff),
    )


FREE_MULTIPLIER = ByLevel("free-multiplier", FreeMultiplier, free_multiplier_form, find_levels)


# for mixtures of experts (Abnar et al. 2025) and sparse activations (Q-Sparse), in raw units; the
# latter hold for one amount of data, so that the data term is 0. Rounded as they are listed, beta
# and alpha have no best sparsity inside (0, 1), though Q-Sparse reports one of 45.6%; exchanged
# they would have it at 50%. Fits here use the form alone.
PUBLISHED_EXPERTS = ExpertsLaw(
    a=16612.5,
    alpha=0.5962,
    g=0.4598,
    lam=-0.1666,
    d=17.26,
    delta=0.1603,
    gamma=0.1595,
    a_D=5455.67 ** (1 / 0.3954),
    b_D=0.3954,
    c=0.94,
)
PUBLISHED_ACTIVATION = ActivationLaw(
    B=0.01, C=1.89, beta=0.10, alpha=0.05, a_D=0.0, b_D=1.0, c=1.86
)
