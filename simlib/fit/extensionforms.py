"""The joint law with one thing more, as the solver sees it; see `rivalforms.assemble`."""

from __future__ import annotations

import numpy as np

from simlib.fit.forms import AMPLITUDE, Form
from simlib.fit.rivalforms import (
    FREE,
    POWER,
    SIZE,
    Coordinate,
    Raw,
    Row,
    assemble,
    data_law,
    data_raw,
    data_row,
)
from simlib.laws.extensions import DataExponentLaw, DataFactorLaw, SizeExponentLaw
from simlib.laws.law import Array, Law

JOINT_SIZE = {"a": SIZE, "b_S": FREE, "c_S": SIZE, "b_N": POWER}
VALLEYS = (("a", "b_S", "c_S"),)


def _size_rows(S: Array, n: Array) -> list[Row]:
    return [{"a": 1.0, "b_S": np.log1p(-S), "b_N": -n}, {"c_S": 1.0, "b_N": -n}]


def _size_law(raw: Raw) -> Raw:
    return {
        "a_S": np.exp(raw["a"]),
        "b_S": raw["b_S"],
        "c_S": np.exp(raw["c_S"]),
        "b_N": raw["b_N"],
    }


def _size_raw(law: DataFactorLaw | DataExponentLaw) -> Raw:
    return {"a": np.log(law.a_S), "b_S": law.b_S, "c_S": np.log(law.c_S), "b_N": law.b_N}


def size_exponent() -> Form:
    """The joint law with an exponent of N that depends on sparsity."""

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        first, second = _size_rows(S, n)
        return [{**first, "b_N": 0.0, "b_SN": -n}, second, data_row(d)]

    def to_law(raw: Raw) -> Law:
        return SizeExponentLaw(**_size_law(raw), b_SN=raw["b_SN"], **data_law(raw))

    def from_law(law: SizeExponentLaw) -> Raw:
        sparse = {"a": np.log(law.a_S), "b_S": law.b_S, "b_SN": law.b_SN}
        return {**sparse, "c_S": np.log(law.c_S), "b_N": law.b_N, **data_raw(law)}

    entries = {**JOINT_SIZE, "a": Coordinate(AMPLITUDE, per_N="b_SN"), "b_SN": POWER}
    return assemble(
        "size-exponent",
        SizeExponentLaw.names(),
        entries,
        rows,
        to_law,
        from_law,
        distinct=(3, 3, 3),
        valleys=VALLEYS,
    )


def data_factor() -> Form:
    """The joint law with an amount of data that depends on sparsity."""

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        return [*_size_rows(S, n), {**data_row(d), "q": np.log1p(-S)}]

    def to_law(raw: Raw) -> Law:
        return DataFactorLaw(**_size_law(raw), **data_law(raw), h=raw["q"] / raw["b_D"])

    def from_law(law: DataFactorLaw) -> Raw:
        return {**_size_raw(law), **data_raw(law), "q": law.h * law.b_D}

    entries = {**JOINT_SIZE, "q": FREE}
    names = DataFactorLaw.names()
    return assemble("data-factor", names, entries, rows, to_law, from_law, valleys=VALLEYS)


def data_exponent() -> Form:
    """The joint law with amount and exponent of data that depend on sparsity."""

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        x = np.log1p(-S)
        return [*_size_rows(S, n), {**data_row(d), "q": x, "v": -x * d}]

    def to_law(raw: Raw) -> Law:
        data = data_law(raw)
        q = raw["q"] - raw["v"] * np.log(data["a_D"])
        return DataExponentLaw(**_size_law(raw), **data, q=q, v=raw["v"])

    def from_law(law: DataExponentLaw) -> Raw:
        q = law.q + law.v * np.log(law.a_D)
        return {**_size_raw(law), **data_raw(law), "q": q, "v": law.v}

    entries = {**JOINT_SIZE, "q": Coordinate(FREE.bounds, per_D="v"), "v": FREE}
    names = DataExponentLaw.names()
    return assemble("data-exponent", names, entries, rows, to_law, from_law, valleys=VALLEYS)


EXTENSION_FORMS = {form.name: form for form in (size_exponent(), data_factor(), data_exponent())}
