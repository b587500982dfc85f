"""A batched, damped Newton method for Huber fits of sums of exponentials of linear terms.

All members of a batch (starts, bootstrap resamples) share the design and differ in start, weights
or measured values, so one step for all is a few matrix products. The Hessian is exact; its
eigenvalues enter by magnitude (saddle-free Newton), which keeps every step a descent step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from simlib.fit.objective import Objective
from simlib.law import Array, Indices

TOLERANCE = 1e-9  # relative fall of the objective that the next step still promises
BLOCK = 128  # members whose derivatives are taken together: their arrays stay in the cache
RIDGE = 1e-9  # keeps the metric invertible along directions that the runs do not see


class Valley(NamedTuple):
    """Indices in theta of a term's log amplitude, its exponent, and the logarithm of the floor.

    Few values of D leave a curved valley: a smaller exponent with a larger amplitude and a lower
    floor fits nearly as well. In the value `e + g` and the slope `e b` at the typical D it is
    straight, so steps are taken there.
    """

    amplitude: int
    exponent: int
    floor: int


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
        entries, products, places = [], [], []
        for t, term in enumerate(columns):
            present = np.flatnonzero(term.any(axis=1))
            entries += [(t, int(j), term[j]) for j in present]
            pairs = [(i, j) for n, i in enumerate(present) for j in present[n:]]
            found = [term[i] * term[j] for i, j in pairs]  # none where all are held
            products.append(np.array(found).reshape(len(pairs), len(design)).T)
            for i, j in pairs:
                place = np.zeros((len(term), len(term)))
                place[i, j] = place[j, i] = 1
                places.append(place.ravel())
        return cls(columns, offset.T[:, None, :], entries, products, np.array(places))


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
    valley: Valley | None = None

    @cached_property
    def layout(self) -> Layout:
        """The design as the solver reads it."""
        return Layout.of(self.design, self.offset)

    def members(self, keep: Indices) -> Problem:
        """The same problem for some members of the batch."""
        if self.target.ndim == self.weights.ndim == 1:
            return self
        part = replace(self, target=_rows(self.target, keep), weights=_rows(self.weights, keep))
        part.__dict__["layout"] = self.layout  # the design is the same: not laid out again
        return part

    def runs(self, keep: Indices) -> Problem:
        """The same problem on some of the runs, whose weights are made to add up to 1."""
        weights = self.weights[..., keep]
        return replace(
            self, design=self.design[keep], offset=self.offset[keep],
            target=self.target[..., keep], weights=weights / weights.sum(axis=-1, keepdims=True),
        )  # fmt: skip

    def residual(self, theta: Array) -> tuple[Array, Array]:
        """Residuals (members, runs) and terms (terms, members, runs) at theta (members, k)."""
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


def _move(valley: Valley | None, theta: Array, step: Array) -> Array:
    """`theta + step`, taken along the straightened valley where there is one."""
    new = theta + step
    if valley is None:
        return new
    (log_e, b, log_g), (step_e, step_b, step_g) = theta[:, valley].T, step[:, valley].T
    e, g = np.exp(log_e), np.exp(log_g)
    new_b = np.minimum(np.maximum(b + step_b, b / 4), 4 * b)
    slope_change = np.minimum(np.maximum(step_e + step_b / b, -3), 3)
    value_change = np.minimum(np.maximum((e * step_e + g * step_g) / (e + g), -3), 3)
    new_e = e * np.exp(slope_change) * b / new_b
    new_g = (e + g) * np.exp(value_change) - new_e
    inside = new_g > 0
    straight = np.stack([np.log(new_e), new_b, np.log(np.where(inside, new_g, 1))], axis=1)
    new[:, valley] = np.where(inside[:, None], straight, new[:, valley])
    return new


class Model(NamedTuple):
    """What a step needs to know of the objective around each member's point.

    `gradient` (members, k) without the coordinates held at a bound; in the columns of `basis`
    (members, k, k) the metric is the identity and the Hessian the diagonal `bend` (members, k).
    """

    gradient: Array
    basis: Array
    bend: Array

    @classmethod
    def blank(cls, members: int, k: int) -> Model:
        """Room for the models of so many members."""
        return cls(np.zeros((members, k)), np.zeros((members, k, k)), np.zeros((members, k)))

    def renew(self, members: Indices, found: Model) -> None:
        """Put the models of some members in their places."""
        for mine, new in zip(self, found, strict=True):
            mine[members] = new

    def step(self, members: Indices, damping: Array) -> tuple[Array, Array]:
        """A descent step of some members and the fall of the objective that it promises."""
        gradient, basis, bend = (values[members] for values in self)
        inner = np.einsum("bki,bk->bi", basis, gradient) / (np.abs(bend) + damping[:, None])
        step = -np.einsum("bki,bi->bk", basis, inner)
        return step, -(step * gradient).sum(axis=-1)


def _derivatives(
    problem: Problem, residual: Array, parts: Array, delta: float
) -> tuple[Array, Array, Array]:
    """Gradient (members, k), Hessian and reweighted Gauss-Newton matrix (members, k, k)."""
    layout, log, weights = problem.layout, problem.objective.log, problem.weights
    members, runs, k = *residual.shape, layout.columns.shape[1]
    share = parts / parts.sum(axis=0) if log else parts
    slope = np.zeros((members, k, runs))
    for term, coordinate, values in layout.entries:
        slope[:, coordinate] += share[term] * values
    size = np.abs(residual)
    psi = weights * np.minimum(np.maximum(residual, -delta), delta)
    gradient = np.matmul(slope, psi[:, :, None])[:, :, 0]
    weighed = psi * share
    found = [part @ products for part, products in zip(weighed, layout.products, strict=True)]
    curved = (np.concatenate(found, axis=1) @ layout.places).reshape(-1, k, k)
    both = np.empty((2, members, 1, runs))
    bend, reweighted = both[:, :, 0]
    np.multiply(weights, size <= delta, out=bend)
    if log:
        bend -= psi
    np.multiply(weights, np.minimum(1, delta / np.maximum(size, 1e-300)), out=reweighted)
    hessian, metric = np.matmul(both * slope, slope.transpose(0, 2, 1))
    hessian += curved
    return gradient, hessian, metric


def _model(problem: Problem, theta: Array, residual: Array, parts: Array, delta: float) -> Model:
    """The models at theta, whose residuals and terms are known.

    The reweighted Gauss-Newton matrix majorises the Huber objective, so damping by it shortens a
    step across the kinks of an objective close to absolute values, not along its valleys.
    """
    gradient, hessian, metric = _derivatives(problem, residual, parts, delta)
    lowest, highest = theta <= problem.lower, theta >= problem.upper
    frozen = (lowest & (gradient > 0)) | (highest & (gradient < 0))
    diagonal = np.einsum("bii->bi", metric)
    diagonal += RIDGE * diagonal + 1e-150
    if at_bound := bool(frozen.any()):
        free = ~frozen
        for matrix in (hessian, metric):
            matrix *= free[:, :, None]
            matrix *= free[:, None, :]
        gradient *= free
        diagonal[frozen] = 1.0
    root = np.linalg.inv(np.linalg.cholesky(metric))
    turned = root.transpose(0, 2, 1)
    bend, vectors = np.linalg.eigh(root @ hessian @ turned)
    basis = turned @ vectors
    if at_bound:
        basis *= free[:, :, None]
    return Model(gradient, basis, bend)


def minimise(
    problem: Problem, theta: Array, delta: float | None = None, max_steps: int = 200
) -> tuple[Array, Array, Array]:
    """Local minima from starts theta (members, k): theta, objective and converged, per member.

    A member has converged when its next step promises a relative fall below 1e-9 or no damping
    finds a lower point.
    """
    delta = problem.objective.delta if delta is None else delta
    theta = np.clip(theta, problem.lower, problem.upper)
    residual, parts = problem.residual(theta)
    value = problem.value(residual, delta)
    converged = np.zeros(len(theta), dtype=bool)
    damping = np.full(len(theta), 1e-2)
    live = moved = np.arange(len(theta))
    model = Model.blank(*theta.shape)
    for _ in range(max_steps):
        # a member whose step was refused keeps its model: only the damping has changed
        for first in range(0, len(moved), BLOCK):
            block = slice(first, first + BLOCK)
            part, at = problem.members(moved[block]), theta[moved[block]]
            found = _model(part, at, residual[block], parts[:, block], delta)
            model.renew(moved[block], found)
        step, promise = model.step(live, damping[live])
        part = problem.members(live)
        trial = np.clip(_move(part.valley, theta[live], step), part.lower, part.upper)
        residual, parts = part.residual(trial)
        new = part.value(residual, delta)
        better = new < value[live]
        theta[live[better]], value[live[better]] = trial[better], new[better]
        damping[live] = np.where(better, damping[live] * 0.2, damping[live] * 6)
        done = (promise <= TOLERANCE * value[live]) | (damping[live] > 1e10)
        converged[live[done]] = True
        again = better & ~done
        residual, parts, moved, live = residual[again], parts[:, again], live[again], live[~done]
        if not len(live):
            break
    return theta, value, converged
