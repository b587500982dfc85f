"""The rivals of the joint law, and its extensions, as the solver sees them.

A form is a list of coordinates (the entries of theta) and, for each term of the loss, the factor
with which each coordinate enters the term's logarithm. Coordinates are stated for raw units; inside
a fit N and D are divided by their geometric means, and `Coordinate.per_N`, `per_D` say which
exponent turns an entry back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from simlib.fit.forms import (
    AMPLITUDE,
    DENSITY_EXPONENT,
    EXPONENT,
    AnyForm,
    ByLevel,
    Form,
    Outer,
    Units,
)
from simlib.fit.problem import Valley
from simlib.laws.law import Array, Law
from simlib.laws.rivals import (
    SCHEDULE,
    ActivationLaw,
    AverageParams,
    CapacityLaw,
    DensityPower,
    ExpertsLaw,
    FreeMultiplier,
    find_levels,
    level_index,
    precision,
)

Raw: TypeAlias = Mapping[str, Any]  # entries of theta in raw units, by name
Row: TypeAlias = dict[str, Any]  # factors of the entries in the logarithm of one term
MANY_BITS = 60.0  # stands for infinitely many


class Coordinate(NamedTuple):
    """An entry of theta: its bounds, and the entries that a change of units adds to it."""

    bounds: tuple[float, float]
    per_N: str = ""
    per_D: str = ""


POWER = Coordinate(EXPONENT)
FREE = Coordinate(DENSITY_EXPONENT)
SIZE = Coordinate(AMPLITUDE, per_N="b_N")
DATA: dict[str, Coordinate] = {
    "data": Coordinate(AMPLITUDE, per_D="b_D"),
    "b_D": POWER,
    "floor": Coordinate(AMPLITUDE),
}


def assemble(
    name: str,
    names: tuple[str, ...],
    coordinates: dict[str, Coordinate],
    rows: Callable[[Array, Array, Array], list[Row]],
    to_law: Callable[[Raw], Law],
    from_law: Callable[[Any], Raw],
    distinct: tuple[int, int, int] = (3, 2, 3),
    valleys: tuple[tuple[str, str, str], ...] = (),
) -> Form:
    """A form of the given coordinates and of the data term and the floor that all forms share.

    `rows(S, n, d)` gives the size terms in `n = log N` and the data term in `d = log D`; `to_law`
    and `from_law` translate between a law and the raw entries. `valleys` names the entries of
    curved valleys besides that of the data term and the floor.
    """
    entries = coordinates | DATA
    keys = list(entries)
    lower, upper = (np.array([entry.bounds[i] for entry in entries.values()]) for i in (0, 1))

    def shift(theta: Array, units: Units, sign: int) -> dict[str, Array]:
        columns = dict(zip(keys, np.moveaxis(np.asarray(theta, dtype=float), -1, 0), strict=True))
        return {
            key: columns[key]
            + sign * units.log_N * (columns[entry.per_N] if entry.per_N else 0.0)
            + sign * units.log_D * (columns[entry.per_D] if entry.per_D else 0.0)
            for key, entry in entries.items()
        }

    def design(S: Array, N: Array, D: Array, units: Units) -> Array:
        found = [*rows(S, np.log(N) - units.log_N, np.log(D) - units.log_D), {"floor": 1.0}]
        terms = [[np.broadcast_to(row.get(key, 0.0), S.shape) for key in keys] for row in found]
        return np.moveaxis(np.array(terms, dtype=float), -1, 0)

    def inverse(law: Law, units: Units) -> Array:
        raw = from_law(law)
        values = np.broadcast_arrays(*(np.asarray(raw[key], dtype=float) for key in keys))
        inside = shift(np.stack(values, axis=-1), units, -1)
        return np.stack([inside[key] for key in keys], axis=-1)

    return Form(
        name,
        names,
        lower,
        upper,
        amplitudes=np.array([entry.bounds == AMPLITUDE for entry in entries.values()]),
        valleys=tuple(Valley(*(keys.index(key) for key in of)) for of in (DATA, *valleys)),
        distinct=distinct,
        design=design,
        to_law=lambda theta, units: to_law(shift(theta, units, 1)),
        from_law=inverse,
    )


def data_row(d: Array) -> Row:
    """`(a_D / D)^b_D`."""
    return {"data": 1.0, "b_D": -d}


def data_law(raw: Raw) -> dict[str, Any]:
    """a_D, b_D and c of a law, from the raw entries."""
    a_D = np.exp(np.minimum(raw["data"] / raw["b_D"], 700))
    return {"a_D": a_D, "b_D": raw["b_D"], "c": np.exp(raw["floor"])}


def data_raw(law: Any) -> dict[str, Any]:
    """The raw entries of a law's data term and floor."""
    return {"data": law.b_D * np.log(law.a_D), "b_D": law.b_D, "floor": np.log(law.c)}


def density_power() -> Form:
    """Density power: the size term falls as a power of the density."""

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        return [{"size": 1.0, "q": np.log1p(-S), "b_N": -n}, data_row(d)]

    def to_law(raw: Raw) -> Law:
        k = raw["q"] / raw["b_N"]
        return DensityPower(np.exp(raw["size"]), k, raw["b_N"], **data_law(raw))

    def from_law(law: DensityPower) -> Raw:
        q = law.k * law.b_N
        return {"size": np.log(law.a_N), "q": q, "b_N": law.b_N, **data_raw(law)}

    entries = {"size": SIZE, "q": FREE, "b_N": POWER}
    return assemble(
        "density-power", DensityPower.names(), entries, rows, to_law, from_law, distinct=(2, 2, 3)
    )


def average_params() -> Form:
    """Average parameters: a dense law of the mean non-zero parameters over training."""

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        return [{"size": 1.0, "b_N": -n - np.log(SCHEDULE.multiplier(S))}, data_row(d)]

    def to_law(raw: Raw) -> Law:
        return AverageParams(np.exp(raw["size"]), raw["b_N"], **data_law(raw))

    def from_law(law: AverageParams) -> Raw:
        return {"size": np.log(law.a_N), "b_N": law.b_N, **data_raw(law)}

    entries = {"size": SIZE, "b_N": POWER}
    return assemble(
        "average-params", AverageParams.names(), entries, rows, to_law, from_law, distinct=(1, 2, 3)
    )


def free_multiplier(levels: tuple[float, ...]) -> Form:
    """A free multiplier for each of the given sparsities."""
    u = [f"u{i}" for i in range(1, len(levels) + 1)]

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        index = level_index(levels, S)
        own = {key: np.where(index == i, 1.0, 0.0) for i, key in enumerate(u, start=1)}
        return [{"size": 1.0, "b_N": -n, **own}, data_row(d)]

    def to_law(raw: Raw) -> Law:
        eff = tuple(np.exp(-raw[key] / raw["b_N"]) for key in u)
        size = np.exp(raw["size"])
        return FreeMultiplier(size, raw["b_N"], **data_law(raw), eff=eff, levels=levels)

    def from_law(law: FreeMultiplier) -> Raw:
        own = {key: -law.b_N * np.log(e) for key, e in zip(u, law.eff, strict=True)}
        return {"size": np.log(law.a_N), "b_N": law.b_N, **own, **data_raw(law)}

    names = ("a_N", "b_N", "a_D", "b_D", "c", *(f"eff({level:g})" for level in levels))
    entries = {"size": SIZE, "b_N": POWER, **dict.fromkeys(u, FREE)}
    return assemble("free-multiplier", names, entries, rows, to_law, from_law, distinct=(2, 2, 3))


def capacity(F: Any) -> Form:
    """Capacity at a given F, a number or one for each member of an ensemble."""

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        used = np.log(np.tanh(F * np.minimum(precision(S), MANY_BITS / F)))
        return [{"size": 1.0, "b_N": np.log1p(-S) - n, "q": -used}, data_row(d)]

    def to_law(raw: Raw) -> Law:
        C = raw["q"] / raw["b_N"]
        return CapacityLaw(np.exp(raw["size"]), raw["b_N"], F, C, **data_law(raw))

    def from_law(law: CapacityLaw) -> Raw:
        q = law.C * law.b_N
        return {"size": np.log(law.a_N), "b_N": law.b_N, "q": q, **data_raw(law)}

    entries = {"size": SIZE, "b_N": POWER, "q": FREE}
    return assemble("capacity", CapacityLaw.names(), entries, rows, to_law, from_law)


def experts() -> Form:
    """The law of mixtures of experts, on dense parameters."""

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        x = np.log1p(-S)
        return [
            {"size": 1.0, "b_N": x - n},
            {"d": 1.0, "delta": -x, "gamma": x - n},
            {"g": 1.0, "lam": -x},
            data_row(d),
        ]

    def to_law(raw: Raw) -> Law:
        return ExpertsLaw(
            np.exp(raw["size"]),
            raw["b_N"],
            np.exp(raw["g"]),
            raw["lam"],
            np.exp(raw["d"]),
            raw["delta"],
            raw["gamma"],
            **data_law(raw),
        )

    def from_law(law: ExpertsLaw) -> Raw:
        size = {"size": np.log(law.a), "b_N": law.alpha, "g": np.log(law.g), "lam": law.lam}
        mixed = {"d": np.log(law.d), "delta": law.delta, "gamma": law.gamma}
        return {**size, **mixed, **data_raw(law)}

    entries = {
        "size": SIZE,
        "b_N": POWER,
        "g": Coordinate(AMPLITUDE),
        "lam": FREE,
        "d": Coordinate(AMPLITUDE, per_N="gamma"),
        "delta": FREE,
        "gamma": POWER,
    }
    return assemble("experts", ExpertsLaw.names(), entries, rows, to_law, from_law)


def activation() -> Form:
    """The law of sparse activations, on dense parameters."""

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        common = {"b_N": np.log1p(-S) - n}
        return [{"B": 1.0, **common}, {"C": 1.0, "beta": 1 / (1 - S), **common}, data_row(d)]

    def to_law(raw: Raw) -> Law:
        B, C = np.exp(raw["B"]), np.exp(raw["C"])
        return ActivationLaw(B, C, raw["beta"], raw["b_N"], **data_law(raw))

    def from_law(law: ActivationLaw) -> Raw:
        size = {"B": np.log(law.B), "C": np.log(law.C), "beta": law.beta, "b_N": law.alpha}
        return {**size, **data_raw(law)}

    entries = {"B": SIZE, "C": SIZE, "beta": FREE, "b_N": POWER}
    return assemble("activation", ActivationLaw.names(), entries, rows, to_law, from_law)


RIVAL_FORMS: dict[str, AnyForm] = {
    "density-power": density_power(),
    "average-params": average_params(),
    "free-multiplier": ByLevel("free-multiplier", free_multiplier, find_levels),
    "capacity": Outer("capacity", capacity, 0.05, 20.0),
    "experts": experts(),
    "activation": activation(),
}
