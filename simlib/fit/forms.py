"""Forms of a law as sums of exponentials of linear terms, the shape that the solver works on.

With `theta` the vector of logarithms of amplitudes and of exponents, each term of the joint law is
`exp(x . theta)` with `x` known for each run. Amplitudes are therefore positive, exponents free
within wide bounds, first and second derivatives exact and cheap. Inside, N and D are divided by
their geometric means over the runs, so that amplitudes and exponents are nearly uncorrelated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from simlib.fit.problem import Constraint, Valley
from simlib.laws.law import Array, Bools, DenseLaw, JointLaw, Law


class Units(NamedTuple):
    """Logarithms of the N and D that count as 1 inside a fit."""

    log_N: float
    log_D: float

    @classmethod
    def of(cls, N: Array, D: Array) -> Units:
        """The geometric means of a table's sizes and data."""
        return cls(float(np.log(N).mean()), float(np.log(D).mean()))


@dataclass(frozen=True)
class Form:
    """A law's form, as the solver sees it.

    `names` are the raw coefficients, in order. `design(S, N, D, units)` has shape (runs, terms, k):
    the linear terms. `amplitudes` marks the entries of theta that are logarithms of amplitudes.
    `to_law` turns theta of shape (..., k) into a law in raw units; `from_law` is its inverse.
    `hold(name, value, units)` says what holding a raw coefficient at a value means for theta; a
    form without it has no profile intervals. `valleys` are its curved valleys. `distinct` counts
    the different values of S, N and D below which the coefficients cannot be told apart.
    """

    name: str
    names: tuple[str, ...]
    lower: Array
    upper: Array
    amplitudes: Bools
    valleys: tuple[Valley, ...]
    distinct: tuple[int, int, int]
    design: Callable[[Array, Array, Array, Units], Array]
    to_law: Callable[[Array, Units], Law]
    from_law: Callable[[Law, Units], Array]
    hold: Callable[[str, float, Units], Constraint] | None = None


@dataclass(frozen=True)
class ByLevel:
    """A form with coefficients for each sparsity of a table: `at(levels)` is the form itself."""

    name: str
    at: Callable[[tuple[float, ...]], Form]
    levels: Callable[[Array], tuple[float, ...]]


@dataclass(frozen=True)
class Outer:
    """A form with one coefficient that no linear term holds: `at(value)` is the form with it fixed.

    The fit searches that coefficient between `low` and `high`; for the form alone, `at` takes an
    array of one value a member of an ensemble, too.
    """

    name: str
    at: Callable[[Any], Form]
    low: float
    high: float


AnyForm: TypeAlias = Form | ByLevel | Outer


AMPLITUDE = (-25.0, 8.0)  # of the logarithm, in nats: a term below e^-25 is absent
EXPONENT = (1e-3, 6.0)
DENSITY_EXPONENT = (-12.0, 12.0)


def _bounds(*pairs: tuple[float, float]) -> tuple[Array, Array]:
    lower, upper = zip(*pairs, strict=True)
    return np.array(lower), np.array(upper)


def _joint_design(S: Array, N: Array, D: Array, units: Units) -> Array:
    """theta = (log a, b_S, log c_size, b_N, log e, b_D, log floor)."""
    x, d, n = np.log1p(-S), np.log(D) - units.log_D, np.log(N) - units.log_N
    one, zero = np.ones_like(n), np.zeros_like(n)
    terms = (
        (one, x, zero, -n, zero, zero, zero),
        (zero, zero, one, -n, zero, zero, zero),
        (zero, zero, zero, zero, one, -d, zero),
        (zero, zero, zero, zero, zero, zero, one),
    )
    return np.moveaxis(np.array(terms), -1, 0)


def _joint_to_law(theta: Array, units: Units) -> JointLaw:
    log_a, b_S, log_c, b_N, log_e, b_D, log_floor = np.moveaxis(theta, -1, 0)
    raise_N = b_N * units.log_N
    return JointLaw(
        np.exp(log_a + raise_N),
        b_S,
        np.exp(log_c + raise_N),
        b_N,
        np.exp(np.minimum(log_e / b_D + units.log_D, 700)),
        b_D,
        np.exp(log_floor),
    )


def _joint_from_law(law: Law, units: Units) -> Array:
    assert isinstance(law, JointLaw)
    a_S, b_S, c_S, b_N, a_D, b_D, c = np.moveaxis(law.vector(), -1, 0)
    lower_N = b_N * units.log_N
    values = (
        np.log(a_S) - lower_N,
        b_S,
        np.log(c_S) - lower_N,
        b_N,
        b_D * (np.log(a_D) - units.log_D),
        b_D,
        np.log(c),
    )
    return np.stack(np.broadcast_arrays(*values), axis=-1)


def _joint_hold(name: str, value: float, units: Units) -> Constraint:
    index, row = JointLaw.names().index(name), np.zeros(7)
    if name in ("a_S", "c_S"):
        row[3] = -units.log_N
        return Constraint(index, row, float(np.log(value)))
    if name == "a_D":
        row[5] = np.log(value) - units.log_D
        return Constraint(index, row, 0.0)
    return Constraint(index, row, float(np.log(value)) if name == "c" else value)


def _dense_design(S: Array, N: Array, D: Array, units: Units) -> Array:
    """theta = (log A, alpha, log B, beta, log E)."""
    d, n = np.log(D) - units.log_D, np.log(N) - units.log_N
    one, zero = np.ones_like(n), np.zeros_like(n)
    terms = (
        (one, -n, zero, zero, zero),
        (zero, zero, one, -d, zero),
        (zero, zero, zero, zero, one),
    )
    return np.moveaxis(np.array(terms), -1, 0)


def _dense_to_law(theta: Array, units: Units) -> DenseLaw:
    log_A, alpha, log_B, beta, log_E = np.moveaxis(theta, -1, 0)
    A, B = np.exp(log_A + alpha * units.log_N), np.exp(log_B + beta * units.log_D)
    return DenseLaw(A, alpha, B, beta, np.exp(log_E))


def _dense_from_law(law: Law, units: Units) -> Array:
    assert isinstance(law, DenseLaw)
    A, alpha, B, beta, E = np.moveaxis(law.vector(), -1, 0)
    values = (
        np.log(A) - alpha * units.log_N,
        alpha,
        np.log(B) - beta * units.log_D,
        beta,
        np.log(E),
    )
    return np.stack(np.broadcast_arrays(*values), axis=-1)


def _dense_hold(name: str, value: float, units: Units) -> Constraint:
    index, row = DenseLaw.names().index(name), np.zeros(5)
    if name == "A":
        row[1] = -units.log_N
    if name == "B":
        row[3] = -units.log_D
    return Constraint(index, row, value if name in ("alpha", "beta") else float(np.log(value)))


JOINT = Form(
    "joint",
    JointLaw.names(),
    *_bounds(AMPLITUDE, DENSITY_EXPONENT, AMPLITUDE, EXPONENT, AMPLITUDE, EXPONENT, AMPLITUDE),
    amplitudes=np.array([True, False, True, False, True, False, True]),
    valleys=(Valley(4, 5, 6), Valley(0, 1, 2)),
    distinct=(3, 2, 3),
    design=_joint_design,
    to_law=_joint_to_law,
    from_law=_joint_from_law,
    hold=_joint_hold,
)
DENSE = Form(
    "dense",
    DenseLaw.names(),
    *_bounds(AMPLITUDE, EXPONENT, AMPLITUDE, EXPONENT, AMPLITUDE),
    amplitudes=np.array([True, False, True, False, True]),
    valleys=(Valley(2, 3, 4),),
    distinct=(1, 3, 3),
    design=_dense_design,
    to_law=_dense_to_law,
    from_law=_dense_from_law,
    hold=_dense_hold,
)
