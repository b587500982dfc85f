"""A fit as the solver sees it: sums of exponentials of linear terms against measured losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol, Self

import numpy as np

from simlib.fit.objective import Objective
from simlib.laws.form import Constraint, Valley
from simlib.laws.law import Array, Indices

GONE, LIFTED = -7.0, -3.0  # log of an amplitude that tells nothing, and where it starts again
VECTOR = 8  # numbers that compiled steps take at a time


class Held(Protocol):
    """One coordinate of each member of a batch, `at` (members,), held by what the others are."""

    @property
    def at(self) -> Indices: ...
    def members(self, keep: Indices) -> Self: ...
    def place(self, theta: Array) -> None: ...
    def rows(self, theta: Array) -> Array: ...
    def bend(self, theta: Array, gradient: Array) -> Array: ...


class Hold(NamedTuple):
    """A constraint for each member: at (members,), row (members, k), constant (members,)."""

    at: Indices
    row: Array
    constant: Array

    @classmethod
    def of(cls, constraints: Sequence[Constraint]) -> Hold:
        """One constraint a member."""
        at, row, constant = zip(*constraints, strict=True)
        return cls(np.array(at, dtype=np.intp), np.array(row), np.array(constant, dtype=float))

    def members(self, keep: Indices) -> Hold:
        """The constraints of some members."""
        return Hold(self.at[keep], self.row[keep], self.constant[keep])

    def place(self, theta: Array) -> None:
        """Put what is held into theta (members, k)."""
        held = (self.row * theta).sum(axis=1) + self.constant
        theta[np.arange(len(theta)), self.at] = held

    def rows(self, theta: Array) -> Array:
        """Derivatives (members, k) of what is held by the other coordinates."""
        return self.row

    def bend(self, theta: Array, gradient: Array) -> Array:
        """What the Hessian of an objective with this gradient gains: nothing."""
        return np.zeros((1, 1, 1))


class Layout(NamedTuple):
    """A design as the solver reads it: which coordinates enter which term, and their products.

    `columns` (terms, k, runs) and `offset` (terms, 1, runs) give the exponents. `entries` lists the
    coordinates that a term has and their values (runs,). `products` lists for each term the
    products of two of its coordinates, (runs, pairs); `places` (all pairs, k * k) puts them into a
    matrix. Most entries of a design are zero, so these are far fewer than all.
    """

    columns: Array
    offset: Array
    entries: list[tuple[int, int, Array]]
    products: list[Array]
    places: Array

    @classmethod
    def of(cls, design: Array, offset: Array) -> Layout:
        """The layout of a design (runs, terms, k) with offset (runs, terms)."""
        columns = np.ascontiguousarray(design.transpose(1, 2, 0))
        products, places = [], []
        entries = entries_of(design)
        for t in range(len(columns)):
            own = [(j, values) for term, j, values in entries if term == t]
            pairs = [(first, second) for n, first in enumerate(own) for second in own[n:]]
            found = [x * y for (_, x), (_, y) in pairs]  # none where all are held
            products.append(np.array(found).reshape(len(pairs), len(design)).T)
            for (i, _), (j, _) in pairs:
                place = np.zeros((columns.shape[1], columns.shape[1]))
                place[i, j] = place[j, i] = 1
                places.append(place.ravel())
        return cls(columns, offset.T[:, None, :], entries, products, np.array(places))


def entries_of(design: Array) -> list[tuple[int, int, Array]]:
    """Term, coordinate and values (runs,) of what is not zero in a design, in that order."""
    present = design.any(axis=0)
    return [(t, j, design[:, t, j].copy()) for t, j in zip(*np.nonzero(present), strict=True)]


class Packed(NamedTuple):
    """A problem as compiled steps read it, with runs of weight 0 that fill up the last vector.

    `first` (terms + 1) says where each term's entries begin, `coordinate` (entries) which entry of
    theta each belongs to; values (entries, padded), offset (terms, padded); target and weights end
    in an axis of as many.
    """

    first: Indices
    coordinate: Indices
    values: Array
    offset: Array
    target: Array
    weights: Array


@dataclass(frozen=True)
class Problem:
    """Predictions `sum_k exp(offset[i, k] + design[i, k] . theta)` against `target`.

    Shapes: design (runs, terms, k), offset (runs, terms), target and weights (runs,) or
    (members, runs) on the residual scale, lower and upper (k,).
    """

    design: Array
    offset: Array
    target: Array
    weights: Array
    objective: Objective
    lower: Array
    upper: Array
    valleys: tuple[Valley, ...] = ()

    @cached_property
    def layout(self) -> Layout:
        """The design as the solver reads it."""
        return Layout.of(self.design, self.offset)

    @cached_property
    def packed(self) -> Packed:
        """The problem as compiled steps read it."""
        entries = entries_of(self.design)
        terms = np.array([t for t, _, _ in entries], dtype=np.intp)
        return Packed(
            np.searchsorted(terms, np.arange(self.design.shape[1] + 1)),
            np.array([j for _, j, _ in entries], dtype=np.intp),
            _padded(np.array([values for _, _, values in entries])),
            _padded(self.offset.T),
            _padded(self.target),
            _padded(self.weights),
        )

    def members(self, keep: Indices) -> Problem:
        """The same problem for some members of the batch."""
        if self.target.ndim == self.weights.ndim == 1:
            return self
        part = replace(self, target=_rows(self.target, keep), weights=_rows(self.weights, keep))
        if "layout" in self.__dict__:  # the design is the same: not laid out again
            part.__dict__["layout"] = self.layout
        return part

    def runs(self, keep: Indices) -> Problem:
        """The same problem on some of the runs, whose weights are made to add up to 1."""
        weights = self.weights[..., keep]
        return replace(
            self,
            design=self.design[keep],
            offset=self.offset[keep],
            target=self.target[..., keep],
            weights=weights / weights.sum(axis=-1, keepdims=True),
        )

    def lifted(self, theta: Array) -> tuple[Indices, Array]:
        """Members with amplitudes close to 0, and their theta with these raised, for a new start.

        Such an amplitude has no slope left in its logarithm, so no step would raise it again.
        """
        gone = (theta < GONE) & (self.lower < 2 * GONE)  # only amplitudes may fall so far
        members = np.flatnonzero(gone.any(axis=1))
        return members, np.where(gone[members], LIFTED, theta[members])

    def residual(self, theta: Array) -> tuple[Array, Array]:
        """Residuals (members, runs) and terms (terms, members, runs) at theta (members, k)."""
        with np.errstate(invalid="ignore"):  # a member may have lost what is held
            parts = np.matmul(theta, self.layout.columns)
        parts += self.layout.offset
        np.exp(np.minimum(parts, 600, out=parts), out=parts)
        total = parts.sum(axis=0)
        predicted = np.log(total) if self.objective.log else total
        return predicted - self.target, parts

    def value(self, residual: Array, delta: float) -> Array:
        """Weighted mean Huber loss of each member, shape (members,)."""
        return np.asarray((self.weights * self.objective.rho(residual, delta)).sum(axis=-1))


def _rows(values: Array, keep: Indices) -> Array:
    return values[keep] if values.ndim == 2 else values


def _padded(values: Array) -> Array:
    more = -values.shape[-1] % VECTOR
    return np.concatenate([values, np.zeros((*values.shape[:-1], more))], axis=-1)
