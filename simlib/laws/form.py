"""What a fit must know of a form of law: its terms, and how each coefficient stands in them.

A fit sees a law as a sum of terms `exp(x . theta)`, with `x` known for each run and one entry of
theta a coefficient: the logarithm of an amplitude, an exponent, or a product with an exponent that
makes the term linear. Amplitudes are therefore positive, exponents free within wide bounds, first
and second derivatives exact and cheap. A form states its terms in raw units; inside a fit N and D
are divided by their geometric means over the runs, so that amplitudes and exponents are nearly
uncorrelated, and `per_N`, `per_D` of an entry name the exponents that turn it back.

A new form is a law class and a `Form` beside it, listed in `simlib.laws.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from simlib.laws.base import Array, Bools, Law

Raw: TypeAlias = Mapping[str, Any]  # entries of theta in raw units, by coefficient
Row: TypeAlias = dict[str, Any]  # factors of the entries in the logarithm of one term

AMPLITUDE = (-25.0, 8.0)  # of the logarithm, in nats: a term below e^-25 is absent
EXPONENT = (1e-3, 6.0)
DENSITY_EXPONENT = (-12.0, 12.0)


class Units(NamedTuple):
    """Logarithms of the N and D that count as 1 inside a fit."""

    log_N: float
    log_D: float

    @classmethod
    def of(cls, N: Array, D: Array) -> Units:
        """The geometric means of a table's sizes and data."""
        return cls(float(np.log(N).mean()), float(np.log(D).mean()))


class Valley(NamedTuple):
    """Indices in theta of a term's log amplitude, its exponent, and the logarithm of a floor.

    Few values of D leave a curved valley: a smaller exponent with a larger amplitude and a lower
    floor fits nearly as well; few sparsities leave one of a_S, b_S and c_S. In the value `e + g`
    and the slope `e b` at the typical D, or for dense models, it is straight, so steps are taken
    there.
    """

    amplitude: int
    exponent: int
    floor: int


class Constraint(NamedTuple):
    """`theta[at] = row . theta + constant`: one coefficient held at a value (row[at] = 0)."""

    at: int
    row: Array
    constant: float


@dataclass(frozen=True)
class Entry:
    """How a coefficient stands in theta: as itself, between `bounds`.

    `by` names the coefficient that it is multiplied with, `per_N` and `per_D` those that a change
    of units adds to the entry. A `positive` coefficient is profiled on a logarithmic scale.
    """

    bounds: ClassVar[tuple[float, float]] = DENSITY_EXPONENT
    positive: ClassVar[bool] = False

    by: str = ""
    per_N: str = ""
    per_D: str = ""

    def value(self, name: str, raw: Raw, entries: Mapping[str, Entry], units: Units) -> Any:
        """The coefficient, from the raw entries."""
        return raw[name]

    def entry(self, name: str, coefficients: Raw, units: Units) -> Any:
        """The raw entry, from the coefficients."""
        return coefficients[name]

    def held(self, value: float, units: Units) -> tuple[dict[str, float], float] | None:
        """Factors of other raw entries, and a constant, whose sum the raw entry is at a value.

        None for a coefficient that no linear constraint of theta holds.
        """
        return {}, value


class Free(Entry):
    """An exponent of either sign."""


class Exponent(Entry):
    """A positive exponent of N, D or both."""

    bounds = EXPONENT
    positive = True


class Amplitude(Entry):
    """A positive factor of a term, by its logarithm."""

    bounds = AMPLITUDE
    positive = True

    def value(self, name: str, raw: Raw, entries: Mapping[str, Entry], units: Units) -> Any:
        return np.exp(raw[name])

    def entry(self, name: str, coefficients: Raw, units: Units) -> Any:
        return np.log(coefficients[name])

    def held(self, value: float, units: Units) -> tuple[dict[str, float], float]:
        return {}, float(np.log(value))


class Ratio(Entry):
    """A coefficient k that stands as `k b` with the exponent b, its `by`."""

    def value(self, name: str, raw: Raw, entries: Mapping[str, Entry], units: Units) -> Any:
        return raw[name] / raw[self.by]

    def entry(self, name: str, coefficients: Raw, units: Units) -> Any:
        return coefficients[name] * coefficients[self.by]

    def held(self, value: float, units: Units) -> tuple[dict[str, float], float]:
        return {self.by: value}, 0.0


class Multiplier(Entry):
    """A multiplier of N: the positive m of `(N m)^-b`, that stands as `-b log m`."""

    positive = True

    def value(self, name: str, raw: Raw, entries: Mapping[str, Entry], units: Units) -> Any:
        return np.exp(-raw[name] / raw[self.by])

    def entry(self, name: str, coefficients: Raw, units: Units) -> Any:
        return -coefficients[self.by] * np.log(coefficients[name])

    def held(self, value: float, units: Units) -> tuple[dict[str, float], float]:
        return {self.by: -float(np.log(value))}, 0.0


class Scale(Entry):
    """A scale of data: the positive a of `(a / D)^b`, that stands as `b log a`."""

    bounds = AMPLITUDE
    positive = True

    def value(self, name: str, raw: Raw, entries: Mapping[str, Entry], units: Units) -> Any:
        return np.exp(np.minimum(raw[name] / raw[self.by], 700))

    def entry(self, name: str, coefficients: Raw, units: Units) -> Any:
        return coefficients[self.by] * np.log(coefficients[name])

    def held(self, value: float, units: Units) -> tuple[dict[str, float], float]:
        return {self.by: float(np.log(value))}, 0.0


class InnerScale(Scale):
    """The same, put into raw units after the division: the last bits of every joint fit."""

    def value(self, name: str, raw: Raw, entries: Mapping[str, Entry], units: Units) -> Any:
        return np.exp(np.minimum(raw[name] / raw[self.by] + units.log_D, 700))

    def entry(self, name: str, coefficients: Raw, units: Units) -> Any:
        return coefficients[self.by] * (np.log(coefficients[name]) - units.log_D)

    def held(self, value: float, units: Units) -> tuple[dict[str, float], float]:
        return {self.by: float(np.log(value) - units.log_D)}, 0.0


@dataclass(frozen=True)
class Shifted(Entry):
    """An exponent q that stands as `q + v log a`, v its `by` and a the coefficient `scale`."""

    scale: str = ""

    def value(self, name: str, raw: Raw, entries: Mapping[str, Entry], units: Units) -> Any:
        a = entries[self.scale].value(self.scale, raw, entries, units)
        return raw[name] - raw[self.by] * np.log(a)

    def entry(self, name: str, coefficients: Raw, units: Units) -> Any:
        return coefficients[name] + coefficients[self.by] * np.log(coefficients[self.scale])

    def held(self, value: float, units: Units) -> None:
        return None


@dataclass(frozen=True)
class Form:
    """A form of law as a fit sees it.

    `law` is its class; `entries` say how each coefficient stands in theta, in theta's order.
    `rows(S, n, d)` lists the terms: for each, the factor of every entry in its logarithm, with
    `n = log N` and `d = log D`, arrays of shape (runs,). `curved` names the entries of curved
    valleys, see `Valley`. `distinct` counts the different values of S, N and D below which the
    coefficients cannot be told apart. `build` makes a law of coefficients by name where the class
    itself does not, and `order` lists them where that is not the order of the class. `more` are
    columns of the runs that the form is made for, which its law takes after S, N and D.
    """

    name: str
    law: Any
    entries: Mapping[str, Entry]
    rows: Callable[[Array, Array, Array], list[Row]]
    curved: tuple[tuple[str, str, str], ...] = (("a_D", "b_D", "c"),)
    distinct: tuple[int, int, int] = (3, 2, 3)
    build: Callable[..., Law] | None = None
    order: tuple[str, ...] | None = None
    more: tuple[Array, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The coefficients, in the order of the law's."""
        return self.order or tuple(self.law.names())

    @cached_property
    def lower(self) -> Array:
        """The least value of each entry of theta."""
        return np.array([entry.bounds[0] for entry in self.entries.values()])

    @cached_property
    def upper(self) -> Array:
        """The greatest value of each entry of theta."""
        return np.array([entry.bounds[1] for entry in self.entries.values()])

    @cached_property
    def amplitudes(self) -> Bools:
        """Which entries of theta are logarithms of what a term is multiplied with."""
        return np.array([entry.bounds == AMPLITUDE for entry in self.entries.values()])

    @cached_property
    def valleys(self) -> tuple[Valley, ...]:
        """The curved valleys, by their places in theta."""
        keys = list(self.entries)
        return tuple(Valley(*map(keys.index, names)) for names in self.curved)

    def design(self, S: Array, N: Array, D: Array, units: Units) -> Array:
        """The linear terms, shape (runs, terms, k)."""
        rows = self.rows(S, np.log(N) - units.log_N, np.log(D) - units.log_D)
        terms = [
            [np.broadcast_to(row.get(key, 0.0), S.shape) for key in self.entries] for row in rows
        ]
        return np.moveaxis(np.array(terms, dtype=float), -1, 0)

    def to_law(self, theta: Array, units: Units) -> Law:
        """The law of theta (..., k), in raw units."""
        columns = dict(zip(self.entries, np.moveaxis(np.asarray(theta), -1, 0), strict=True))
        raw = self._shifted(columns, units, 1)
        values = {
            name: entry.value(name, raw, self.entries, units)
            for name, entry in self.entries.items()
        }
        law: Law = (self.build or self.law)(**values)
        return law

    def from_law(self, law: Law, units: Units) -> Array:
        """theta (..., k) of a law."""
        own = dict(zip(law.names(), np.moveaxis(law.vector(), -1, 0), strict=True))
        raw = {name: entry.entry(name, own, units) for name, entry in self.entries.items()}
        inside = self._shifted(raw, units, -1)
        return np.stack(np.broadcast_arrays(*inside.values()), axis=-1)

    def _shifted(self, entries: Raw, units: Units, sign: int) -> dict[str, Any]:
        """Entries in other units: raw for sign 1, those inside a fit for -1."""
        return {
            name: entries[name]
            + sign * units.log_N * (entries[kind.per_N] if kind.per_N else 0.0)
            + sign * units.log_D * (entries[kind.per_D] if kind.per_D else 0.0)
            for name, kind in self.entries.items()
        }

    def hold(self, name: str, value: float, units: Units) -> Constraint | None:
        """What holding a coefficient at a value means for theta; None where that is not linear."""
        keys, entry = list(self.entries), self.entries[name]
        found = entry.held(value, units)
        if found is None:
            return None
        factors, constant = found
        row = np.zeros(len(keys))
        for key, factor in factors.items():
            row[keys.index(key)] += factor
        for key, unit in ((entry.per_N, units.log_N), (entry.per_D, units.log_D)):
            if key:
                row[keys.index(key)] -= unit
        return Constraint(keys.index(name), row, constant)


@dataclass(frozen=True)
class ByLevel:
    """A form with coefficients for each sparsity of a table: `at(levels)` is the form itself."""

    name: str
    law: Any
    at: Callable[[tuple[float, ...]], Form]
    levels: Callable[[Array], tuple[float, ...]]


@dataclass(frozen=True)
class ByBits:
    """A form with a coefficient for each number of bits of a table's weights.

    `at(P, sparse)` is the form for runs of P bits (runs,), some of which are sparse or none.
    """

    name: str
    law: Any
    at: Callable[[Array, bool], Form]


@dataclass(frozen=True)
class Outer:
    """A form with one coefficient that no linear term holds: `at(value)` is the form with it fixed.

    The fit searches that coefficient, `searched`, between `low` and `high`; for the form alone,
    `at` takes an array of one value a member of an ensemble, too.
    """

    name: str
    law: Any
    at: Callable[[Any], Form]
    searched: str
    low: float
    high: float


AnyForm: TypeAlias = Form | ByLevel | ByBits | Outer
