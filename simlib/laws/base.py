"""What every form of law shares: arrays, the domain of S, N and D, coefficients as a vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, fields, replace
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simlib.errors import InputError

Array: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.intp]
Coefficient: TypeAlias = Any  # a float, or an array of shape (members,) in an ensemble


class Terms(NamedTuple):
    """The three additive parts of a predicted loss, in nats."""

    size: Array
    data: Array
    floor: Array


def fraction(S: ArrayLike) -> Array:
    """Sparsities as an array. Raises InputError for one outside [0, 1)."""
    S = np.asarray(S, dtype=float)
    if not np.all((S >= 0) & (S < 1)):
        raise InputError(f"sparsity must lie in [0, 1), got {offender(S, ~((S >= 0) & (S < 1)))}")
    return S


def positive(name: str, value: ArrayLike) -> Array:
    """Values as an array. Raises InputError for one that is not positive and finite."""
    value = np.asarray(value, dtype=float)
    if not np.all((value > 0) & np.isfinite(value)):
        bad = offender(value, ~((value > 0) & np.isfinite(value)))
        raise InputError(f"{name} must be positive and finite, got {bad}")
    return value


def offender(values: Array, bad: Bools) -> float:
    """The first of the values that are marked bad."""
    return float(np.ravel(values)[np.argmax(np.ravel(bad))])


class Law(Protocol):
    """Any law: it predicts losses, and its coefficients are read by name or as a vector."""

    def __call__(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Array: ...
    def names(self) -> tuple[str, ...]: ...
    def from_vector(self, values: ArrayLike) -> Self: ...
    def vector(self) -> Array: ...
    def expand(self, dims: int) -> Self: ...


class Coefficients:
    """A fixed list of coefficients, read and replaced by name or as a vector."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Coefficient names in their fixed order."""
        return tuple(f.name for f in fields(cls))  # type: ignore[arg-type]

    @classmethod
    def from_coefficients(cls, coefficients: Mapping[str, float]) -> Self:
        """A law from its coefficients by name."""
        return cls(**{name: float(coefficients[name]) for name in cls.names()})

    @classmethod
    def from_vector(cls, values: ArrayLike) -> Self:
        """A law from coefficients stacked along the last axis, shape (..., k)."""
        return cls(*np.moveaxis(np.asarray(values, dtype=float), -1, 0))

    def vector(self) -> Array:
        """Coefficients stacked along a new last axis, shape (..., k)."""
        values = np.broadcast_arrays(*astuple(self))  # type: ignore[call-overload]
        return np.stack(values, axis=-1).astype(float)

    def expand(self, dims: int) -> Self:
        """The same law with `dims` trailing axes of length 1 added to every coefficient.

        An ensemble with coefficients of shape (members,), expanded by the number of axes of the
        points it is evaluated at, predicts with shape (members, *points).
        """
        shape = (...,) + (None,) * dims
        new = {n: np.asarray(getattr(self, n), dtype=float)[shape] for n in self.names()}
        return replace(self, **new)  # type: ignore[type-var]


class BaseLaw(Coefficients):
    """What laws of additive terms share: the loss is the sum of its terms."""

    def __call__(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Array:
        """Predicted loss in nats; S, N, D broadcast. Raises InputError outside their domain."""
        size, data, floor = self.terms(S, N, D)
        return size + data + floor

    def terms(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Terms:
        """The size, data and floor terms of the loss, broadcast to one shape."""
        raise NotImplementedError
