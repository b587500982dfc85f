"""The joint law of sparsity, size and data, the dense law it contains, and published coefficients.

Everything outside is in raw units: parameters, tokens or images, nats. A coefficient may be a
float or an array; a law with array coefficients is an ensemble and broadcasts like any array.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.base import (
    Array,
    BaseLaw,
    Bools,
    Coefficient,
    Indices,
    Law,
    Terms,
    fraction,
    offender,
    positive,
)
from simlib.laws.form import Amplitude, Exponent, Form, Free, InnerScale, Row

__all__ = [
    "DENSE",
    "JOINT",
    "PUBLISHED",
    "T5_DATA_UNIT",
    "VIT_DATA_UNIT",
    "Array",
    "BaseLaw",
    "Bools",
    "Coefficient",
    "DenseLaw",
    "Indices",
    "JointLaw",
    "Law",
    "Terms",
    "fraction",
    "from_release",
    "positive",
]


@dataclass(frozen=True)
class JointLaw(BaseLaw):
    """`L(S, N, D) = (a_S (1-S)^b_S + c_S) N^-b_N + (a_D / D)^b_D + c`.

    Frantar et al. 2024 (arXiv 2309.08520), equation 1. S is the fraction of zero weights, N the
    non-zero parameters, D the training data in tokens or images, L the loss in nats.
    """

    a_S: Coefficient
    b_S: Coefficient
    c_S: Coefficient
    b_N: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    c: Coefficient

    def terms(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Terms:
        """The size, data and floor terms of the loss, broadcast to one shape."""
        N, D = positive("nonzero_params", N), positive("data_seen", D)
        size = self.sparsity_factor(S) * N ** (-self.b_N)
        data = (self.a_D / D) ** self.b_D
        return Terms(*np.broadcast_arrays(size, data, np.asarray(self.c, dtype=float)))

    def sparsity_factor(self, S: ArrayLike) -> Array:
        """`a_S (1-S)^b_S + c_S`: what sparsity multiplies `N^-b_N` with."""
        return np.asarray(self.a_S * (1 - fraction(S)) ** self.b_S + self.c_S)

    def jac(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Array:
        """Derivatives of the loss in the order of `names()`, shape (..., 7), in raw units."""
        density = 1 - fraction(S)
        N, D = positive("nonzero_params", N), positive("data_seen", D)
        power, ratio = N ** (-self.b_N), self.a_D / D
        saturating, data = density**self.b_S, ratio**self.b_D
        columns = (
            saturating * power,
            self.a_S * saturating * np.log(density) * power,
            power,
            -self.sparsity_factor(S) * power * np.log(N),
            self.b_D * data / self.a_D,
            data * np.log(ratio),
            np.ones_like(data),
        )
        return np.stack(np.broadcast_arrays(*columns), axis=-1)

    def multiplier(self, S: ArrayLike) -> Array:
        """Size of the dense model of equal loss, per non-zero parameter.

        `eff(S) = ((a_S (1-S)^b_S + c_S) / (a_S + c_S))^(-1/b_N)` (Frantar et al. 2024, sec. 4).
        """
        return (self.sparsity_factor(S) / (self.a_S + self.c_S)) ** (-1 / self.b_N)

    @property
    def multiplier_limit(self) -> Array:
        """`multiplier(S)` as S goes to 1: `(c_S / (a_S + c_S))^(-1/b_N)`.

        Infinite where nothing saturates, and where it is beyond any float.
        """
        with np.errstate(over="ignore", divide="ignore"):
            return np.asarray(self.c_S / (self.a_S + self.c_S)) ** (-1 / self.b_N)

    def solve_nonzero_params(self, S: ArrayLike, D: ArrayLike, loss: ArrayLike) -> Array:
        """The N that reaches `loss` with data D; infinite where no size does."""
        left = np.asarray(loss, float) - self.c - (self.a_D / positive("data_seen", D)) ** self.b_D
        return _inverse_power(left / self.sparsity_factor(S), 1 / self.b_N)

    def solve_data_seen(self, S: ArrayLike, N: ArrayLike, loss: ArrayLike) -> Array:
        """The D that reaches `loss` at size N; infinite where no amount of data does."""
        size = self.sparsity_factor(S) * positive("nonzero_params", N) ** (-self.b_N)
        return self.a_D * _inverse_power(np.asarray(loss, float) - self.c - size, 1 / self.b_D)

    @property
    def dense(self) -> DenseLaw:
        """The dense law that this law becomes at S = 0."""
        return DenseLaw(self.a_S + self.c_S, self.b_N, self.a_D**self.b_D, self.b_D, self.c)


def _joint_rows(S: Array, n: Array, d: Array) -> list[Row]:
    return [
        {"a_S": 1.0, "b_S": np.log1p(-S), "b_N": -n},
        {"c_S": 1.0, "b_N": -n},
        {"a_D": 1.0, "b_D": -d},
        {"c": 1.0},
    ]


JOINT = Form(
    "joint",
    JointLaw,
    {
        "a_S": Amplitude(per_N="b_N"),
        "b_S": Free(),
        "c_S": Amplitude(per_N="b_N"),
        "b_N": Exponent(),
        "a_D": InnerScale("b_D"),
        "b_D": Exponent(),
        "c": Amplitude(),
    },
    _joint_rows,
    curved=(("a_D", "b_D", "c"), ("a_S", "b_S", "c_S")),
)


@dataclass(frozen=True)
class DenseLaw(BaseLaw):
    """`L(N, D) = E + A / N^alpha + B / D^beta`, Hoffmann et al. 2022 (arXiv 2203.15556), eq. 2."""

    A: Coefficient
    alpha: Coefficient
    B: Coefficient
    beta: Coefficient
    E: Coefficient

    def terms(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Terms:
        """The terms of the loss. Raises InputError for any S but 0: the law knows no sparsity."""
        S = fraction(S)
        if np.any(S != 0):
            raise InputError(f"a dense law has no sparsity: S must be 0, got {offender(S, S != 0)}")
        size = self.A * positive("nonzero_params", N) ** (-self.alpha) + 0 * S
        data = self.B * positive("data_seen", D) ** (-self.beta)
        return Terms(*np.broadcast_arrays(size, data, np.asarray(self.E, dtype=float)))

    def jac(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Array:
        """Derivatives of the loss in the order of `names()`, shape (..., 5), in raw units."""
        size, data, _ = self.terms(S, N, D)
        log_N, log_D = np.log(np.asarray(N, float)), np.log(np.asarray(D, float))
        columns = (size / self.A, -size * log_N, data / self.B, -data * log_D, np.ones_like(data))
        return np.stack(np.broadcast_arrays(*columns), axis=-1)

    def solve_nonzero_params(self, D: ArrayLike, loss: ArrayLike) -> Array:
        """The N that reaches `loss` with data D; infinite where no size does."""
        data = self.B * positive("data_seen", D) ** (-self.beta)
        return _inverse_power((np.asarray(loss, float) - self.E - data) / self.A, 1 / self.alpha)

    def solve_data_seen(self, N: ArrayLike, loss: ArrayLike) -> Array:
        """The D that reaches `loss` at size N; infinite where no amount of data does."""
        size = self.A * positive("nonzero_params", N) ** (-self.alpha)
        return _inverse_power((np.asarray(loss, float) - self.E - size) / self.B, 1 / self.beta)


def _dense_rows(S: Array, n: Array, d: Array) -> list[Row]:
    return [{"A": 1.0, "alpha": -n}, {"B": 1.0, "beta": -d}, {"E": 1.0}]


DENSE = Form(
    "dense",
    DenseLaw,
    {
        "A": Amplitude(per_N="alpha"),
        "alpha": Exponent(),
        "B": Amplitude(per_D="beta"),
        "beta": Exponent(),
        "E": Amplitude(),
    },
    _dense_rows,
    curved=(("B", "beta", "E"),),
    distinct=(1, 3, 3),
)


def _inverse_power(value: Array, exponent: Coefficient) -> Array:
    """`value^-exponent`, infinite where value is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value > 0, np.maximum(value, 0) ** -exponent, np.inf)


def from_release(coefficients: ArrayLike, data_unit: float) -> JointLaw:
    """The law `(a(1-S)^b + c) n^-d + e x^-f + g` of the release, in raw units.

    `coefficients` are (a, ..., g) with n in 1e6 parameters and x in `data_unit` tokens or images.
    """
    a, b, c, d, e, f, g = np.asarray(coefficients, dtype=float)
    return JointLaw(a * 1e6**d, b, c * 1e6**d, d, e ** (1 / f) * data_unit, f, g)


VIT_DATA_UNIT = 1e9  # images
T5_DATA_UNIT = 1e5 * 128 * 512  # 1e5 steps of 128 sequences of 512 tokens

# The authors' fits at the precision of their release (google-research/jaxpruner at f133ee50,
# jaxpruner/projects/bigsparse); rounded, they are the coefficients of the paper's table of fits.
VIT_RELEASE = (1.30485411, 0.82101251, 2.07506343, 0.39222675, 0.27818217, 0.88979104, 4.51669257)
T5_RELEASE = (0.56778512, 0.72161276, 1.52265016, 0.24513173, 0.63361517, 0.20270772, 0.65074219)
PUBLISHED: MappingProxyType[str, JointLaw] = MappingProxyType(
    {
        "vit-jft": from_release(VIT_RELEASE, VIT_DATA_UNIT),
        "t5-c4": from_release(T5_RELEASE, T5_DATA_UNIT),
    }
)
