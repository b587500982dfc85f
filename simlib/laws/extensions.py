"""The joint law with one thing more, for tests of what it leaves out, and without its data term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from simlib.laws.base import Array, Coefficient
from simlib.laws.form import Amplitude, Exponent, Form, Free, Ratio, Row, Shifted
from simlib.laws.law import JointLaw
from simlib.laws.rivals import DATA, FLOOR, AdditiveLaw, data_row

SIZE = {
    "a_S": Amplitude(per_N="b_N"),
    "b_S": Free(),
    "c_S": Amplitude(per_N="b_N"),
    "b_N": Exponent(),
}
VALLEYS = (("a_D", "b_D", "c"), ("a_S", "b_S", "c_S"))


def _size_rows(S: Array, n: Array) -> list[Row]:
    """The two terms of the joint law's size term."""
    return [{"a_S": 1.0, "b_S": np.log1p(-S), "b_N": -n}, {"c_S": 1.0, "b_N": -n}]


@dataclass(frozen=True)
class SizeExponentLaw(AdditiveLaw):
    """`L = a_S (1-S)^b_S N^-b_SN + c_S N^-b_N + (a_D / D)^b_D + c`: sparsity bends the exponent.

    The joint law with an exponent of its own for the part that sparsity removes, so that curves
    of loss against N at different S are no longer parallel. b_SN = b_N is the joint law.
    """

    a_S: Coefficient
    b_S: Coefficient
    b_SN: Coefficient
    c_S: Coefficient
    b_N: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    c: Coefficient

    @classmethod
    def of(cls, law: JointLaw) -> Self:
        """The joint law as a member of this family."""
        a_S, b_S, c_S, b_N, a_D, b_D, c = np.moveaxis(law.vector(), -1, 0)
        return cls(a_S, b_S, b_N, c_S, b_N, a_D, b_D, c)

    def size(self, S: Array, N: Array) -> Array:
        """`a_S (1-S)^b_S N^-b_SN + c_S N^-b_N`."""
        sparse = self.a_S * (1 - S) ** self.b_S * N**-self.b_SN
        return np.asarray(sparse + self.c_S * N**-self.b_N)


def _size_exponent_rows(S: Array, n: Array, d: Array) -> list[Row]:
    sparse = {"a_S": 1.0, "b_S": np.log1p(-S), "b_SN": -n}
    return [sparse, {"c_S": 1.0, "b_N": -n}, data_row(d), FLOOR]


SIZE_EXPONENT = Form(
    "size-exponent",
    SizeExponentLaw,
    {**SIZE, "a_S": Amplitude(per_N="b_SN"), "b_SN": Exponent(), **DATA},
    _size_exponent_rows,
    curved=VALLEYS,
    distinct=(3, 3, 3),
)


@dataclass(frozen=True)
class DataFactorLaw(AdditiveLaw):
    """The joint law with the data term `(a_D (1-S)^h / D)^b_D`: sparsity acts on data as a factor.

    h = 0 is the joint law; below 0 a sparse model needs more data.
    """

    a_S: Coefficient
    b_S: Coefficient
    c_S: Coefficient
    b_N: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    h: Coefficient
    c: Coefficient

    @classmethod
    def of(cls, law: JointLaw) -> Self:
        """The joint law as a member of this family."""
        a_S, b_S, c_S, b_N, a_D, b_D, c = np.moveaxis(law.vector(), -1, 0)
        return cls(a_S, b_S, c_S, b_N, a_D, b_D, 0.0, c)

    def size(self, S: Array, N: Array) -> Array:
        """`(a_S (1-S)^b_S + c_S) N^-b_N`."""
        return np.asarray((self.a_S * (1 - S) ** self.b_S + self.c_S) * N**-self.b_N)

    def data(self, S: Array, D: Array) -> Array:
        """`(a_D (1-S)^h / D)^b_D`."""
        return np.asarray((self.a_D * (1 - S) ** self.h / D) ** self.b_D)


def _data_factor_rows(S: Array, n: Array, d: Array) -> list[Row]:
    return [*_size_rows(S, n), {**data_row(d), "h": np.log1p(-S)}, FLOOR]


DATA_FACTOR = Form(
    "data-factor",
    DataFactorLaw,
    {**SIZE, "h": Ratio("b_D"), **DATA},
    _data_factor_rows,
    curved=VALLEYS,
)


@dataclass(frozen=True)
class DataExponentLaw(AdditiveLaw):
    """The joint law with the data term `(1-S)^q (a_D / D)^(b_D + v ln(1-S))`.

    Both the amount and the exponent of the data term depend on sparsity; q = v = 0 is the joint
    law. q moves with v, so that the family is the same in every unit of D.
    """

    a_S: Coefficient
    b_S: Coefficient
    c_S: Coefficient
    b_N: Coefficient
    a_D: Coefficient
    b_D: Coefficient
    q: Coefficient
    v: Coefficient
    c: Coefficient

    @classmethod
    def of(cls, law: JointLaw) -> Self:
        """The joint law as a member of this family."""
        a_S, b_S, c_S, b_N, a_D, b_D, c = np.moveaxis(law.vector(), -1, 0)
        return cls(a_S, b_S, c_S, b_N, a_D, b_D, 0.0, 0.0, c)

    def size(self, S: Array, N: Array) -> Array:
        """`(a_S (1-S)^b_S + c_S) N^-b_N`."""
        return np.asarray((self.a_S * (1 - S) ** self.b_S + self.c_S) * N**-self.b_N)

    def data(self, S: Array, D: Array) -> Array:
        """`(1-S)^q (a_D / D)^(b_D + v ln(1-S))`."""
        exponent = self.b_D + self.v * np.log1p(-S)
        return np.asarray((1 - S) ** self.q * (self.a_D / D) ** exponent)


def _data_exponent_rows(S: Array, n: Array, d: Array) -> list[Row]:
    x = np.log1p(-S)
    return [*_size_rows(S, n), {**data_row(d), "q": x, "v": -x * d}, FLOOR]


DATA_EXPONENT = Form(
    "data-exponent",
    DataExponentLaw,
    {**SIZE, "q": Shifted("v", per_D="v", scale="a_D"), "v": Free(), **DATA},
    _data_exponent_rows,
    curved=VALLEYS,
)


@dataclass(frozen=True)
class FixedDataLaw(AdditiveLaw):
    """`L = (a_S (1-S)^b_S + c_S) N^-b_N + c`: the joint law for runs on one amount of data.

    What the data term is at that amount is part of c, so that c is no floor.
    """

    a_S: Coefficient
    b_S: Coefficient
    c_S: Coefficient
    b_N: Coefficient
    c: Coefficient

    def size(self, S: Array, N: Array) -> Array:
        """`(a_S (1-S)^b_S + c_S) N^-b_N`."""
        return np.asarray((self.a_S * (1 - S) ** self.b_S + self.c_S) * N**-self.b_N)

    def data(self, S: Array, D: Array) -> Array:
        """Nothing."""
        return np.zeros_like(D)


def _fixed_data_rows(S: Array, n: Array, d: Array) -> list[Row]:
    return [*_size_rows(S, n), FLOOR]


FIXED_DATA = Form(
    "fixed-data",
    FixedDataLaw,
    {**SIZE, "c": DATA["c"]},
    _fixed_data_rows,
    curved=VALLEYS[1:],
    distinct=(3, 3, 1),
)
