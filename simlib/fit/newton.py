"""A batched, damped Newton method for Huber fits of sums of exponentials of linear terms.

All members of a batch (starts, bootstrap resamples) share the design and differ in start, weights
or measured values, so one step for all is a few matrix products. The Hessian is exact; its
eigenvalues enter by magnitude (saddle-free Newton), which keeps every step a descent step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simlib.fit.objective import Objective
from simlib.law import Array, Bools, Indices

TOLERANCE = 1e-9  # relative fall of the objective that the next step still promises
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

    def members(self, keep: Indices) -> Problem:
        """The same problem for some members of the batch."""
        return Problem(
            self.design, self.offset, _rows(self.target, keep), _rows(self.weights, keep),
            self.objective, self.lower, self.upper, self.valley,
        )  # fmt: skip

    def residual(self, theta: Array) -> tuple[Array, Array]:
        """Residuals (members, runs) and terms (members, runs, terms) at theta (members, k)."""
        runs, terms, k = self.design.shape
        exponent = theta @ self.design.reshape(runs * terms, k).T + self.offset.reshape(-1)
        parts = np.exp(np.minimum(exponent, 600)).reshape(len(theta), runs, terms)
        total = parts.sum(axis=-1)
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
    new_b = np.clip(b + step_b, b / 4, 4 * b)
    slope_change = np.clip(step_e + step_b / b, -3, 3)
    value_change = np.clip((e * step_e + g * step_g) / (e + g), -3, 3)
    new_e = e * np.exp(slope_change) * b / new_b
    new_g = (e + g) * np.exp(value_change) - new_e
    inside = new_g > 0
    straight = np.stack([np.log(new_e), new_b, np.log(np.where(inside, new_g, 1))], axis=1)
    new[np.ix_(inside, valley)] = straight[inside]
    return new


def _derivatives(
    problem: Problem, residual: Array, parts: Array, delta: float
) -> tuple[Array, Array, Array]:
    """Gradient (members, k), Hessian and reweighted Gauss-Newton matrix (members, k, k)."""
    design, log = problem.design, problem.objective.log
    runs, terms, k = design.shape
    share = parts / parts.sum(axis=-1, keepdims=True) if log else parts
    slope = np.matmul(share.transpose(1, 0, 2), design).transpose(1, 0, 2)
    psi = problem.weights * np.clip(residual, -delta, delta)
    gradient = np.einsum("br,brk->bk", psi, slope)
    outer = (design[..., :, None] * design[..., None, :]).reshape(runs * terms, k * k)
    curved = ((psi[..., None] * share).reshape(len(psi), -1) @ outer).reshape(-1, k, k)
    quadratic = problem.weights * (np.abs(residual) <= delta)
    bend = quadratic - psi if log else quadratic
    reweighted = problem.weights * np.minimum(1, delta / np.maximum(np.abs(residual), 1e-300))
    return gradient, curved + _gram(bend, slope), _gram(reweighted, slope)


def _gram(weight: Array, slope: Array) -> Array:
    """`sum_i weight_i slope_i slope_i^T` of each member, shape (members, k, k)."""
    return np.matmul((weight[..., None] * slope).transpose(0, 2, 1), slope)


def _step(
    gradient: Array, hessian: Array, metric: Array, damping: Array, frozen: Bools
) -> tuple[Array, Array]:
    """A descent step in the metric's units and the fall of the objective that it promises.

    The reweighted Gauss-Newton matrix majorises the Huber objective, so damping by it shortens a
    step across the kinks of an objective close to absolute values, not along its valleys.
    """
    k = gradient.shape[1]
    free = ~frozen
    diagonal = np.einsum("bii->bi", metric)
    metric = metric * free[:, :, None] * free[:, None, :]
    index = np.arange(k)
    metric[:, index, index] += np.where(frozen, 1.0, RIDGE * diagonal + 1e-150)
    root = np.linalg.inv(np.linalg.cholesky(metric))
    whitened = root @ (hessian * free[:, :, None] * free[:, None, :]) @ root.transpose(0, 2, 1)
    values, vectors = np.linalg.eigh(whitened)
    basis = root.transpose(0, 2, 1) @ vectors
    inner = np.einsum("bki,bk->bi", basis, gradient * free)
    step = -np.einsum("bki,bi->bk", basis, inner / (np.abs(values) + damping[:, None])) * free
    return step, -(step * gradient).sum(axis=-1)


def minimise(
    problem: Problem, theta: Array, delta: float | None = None, max_steps: int = 200
) -> tuple[Array, Array, Array]:
    """Local minima from starts theta (members, k): theta, objective and converged, per member.

    A member has converged when its next step promises a relative fall below 1e-9 or no damping
    finds a lower point.
    """
    delta = problem.objective.delta if delta is None else delta
    theta = np.clip(theta, problem.lower, problem.upper)
    best, parts = problem.residual(theta)
    value = problem.value(best, delta)
    converged = np.zeros(len(theta), dtype=bool)
    damping = np.full(len(theta), 1e-2)
    live = np.arange(len(theta))
    for _ in range(max_steps):
        part = problem.members(live)
        now = theta[live]
        residual, parts = part.residual(now)
        gradient, hessian, metric = _derivatives(part, residual, parts, delta)
        frozen = ((now <= part.lower) & (gradient > 0)) | ((now >= part.upper) & (gradient < 0))
        step, promise = _step(gradient, hessian, metric, damping[live], frozen)
        trial = np.clip(_move(part.valley, now, step), part.lower, part.upper)
        new = part.value(part.residual(trial)[0], delta)
        better = new < value[live]
        theta[live[better]], value[live[better]] = trial[better], new[better]
        damping[live] = np.where(better, damping[live] * 0.2, damping[live] * 6)
        done = (promise <= TOLERANCE * value[live]) | (damping[live] > 1e10)
        converged[live[done]] = True
        live = live[~done]
        if not len(live):
            break
    return theta, value, converged
