"""A batched, damped Newton method for Huber fits of sums of exponentials of linear terms.

All members of a batch (starts, bootstrap resamples) share the design and differ in start, weights
or measured values, so one step for all is a few matrix products. The Hessian is exact; the pivots
of its factors enter by magnitude (as eigenvalues do in saddle-free Newton, at a fraction of the
cost), which keeps every step a descent step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simlib.errors import InputError
from simlib.fit import compiled
from simlib.fit.problem import Held, Hold, Problem
from simlib.laws.law import Array, Bools, Indices

TOLERANCE = 1e-9  # relative fall of the objective that the next step still promises
STEPS = 200  # at most, from one start
BLOCK = 128  # members whose derivatives are taken together: their arrays stay in the cache
DAMPING, LESS, MORE = 0.1, 0.3, 8.0  # at first, after a step taken, after a step refused
RIDGE = 1e-9  # keeps the metric invertible along directions that the runs do not see
LEAST = 1e-8  # of the metric, below which a pivot of the Hessian says nothing


def _move(problem: Problem, theta: Array, step: Array, hold: Held | None) -> Array:
    """`theta + step`, taken along the straightened valleys, between the bounds, as it is held."""
    new = theta + step
    for valley in problem.valleys:
        (log_e, b, log_g), (step_e, step_b, step_g) = theta[:, valley].T, step[:, valley].T
        e, g = np.exp(log_e), np.exp(log_g)
        with np.errstate(divide="ignore", invalid="ignore"):  # where b is 0
            ratio = np.minimum(np.maximum((b + step_b) / b, 1 / 4), 4)
            slope_change = np.minimum(np.maximum(step_e + step_b / b, -3), 3)
        value_change = np.minimum(np.maximum((e * step_e + g * step_g) / (e + g), -3), 3)
        new_e = e * np.exp(slope_change) / ratio
        new_g = (e + g) * np.exp(value_change) - new_e
        inside = new_g > 0
        if problem.lower[valley.exponent] < 0:
            inside &= (b + step_b) * b > 0  # not where the exponent changes its sign
        if hold is not None:
            inside &= ~np.isin(hold.at, valley)
        straight = np.log(new_e[inside]), ratio[inside] * b[inside], np.log(new_g[inside])
        new[np.ix_(inside, valley)] = np.stack(straight, axis=1)
    new = np.clip(new, problem.lower, problem.upper)
    if hold is not None:
        hold.place(new)
    return new


class LocalModel(NamedTuple):
    """What a step needs to know of the objective around each member's point.

    `gradient` (members, k) without the coordinates held at a bound; `bowl` and `metric` (members,
    k, k) are the Hessian, made positive definite, and what damping multiplies.
    """

    gradient: Array
    bowl: Array
    metric: Array

    @classmethod
    def blank(cls, members: int, k: int) -> LocalModel:
        """Room for the models of so many members."""
        return cls(*(np.zeros((members, *shape)) for shape in ((k,), (k, k), (k, k))))

    def renew(self, members: Indices, found: LocalModel) -> None:
        """Put the models of some members in their places."""
        for mine, new in zip(self, found, strict=True):
            mine[members] = new

    def step(self, members: Indices, damping: Array) -> tuple[Array, Array]:
        """A descent step of some members and the fall of the objective that it promises."""
        gradient, bowl, metric = (values[members] for values in self)
        matrix = bowl + damping[:, None, None] * metric
        try:
            step = np.asarray(np.linalg.solve(matrix, -gradient[:, :, None])[:, :, 0], dtype=float)
        except np.linalg.LinAlgError as error:
            raise InputError(
                "these runs do not tell the coefficients of the law apart (equations are singular):"
                " vary sparsity, size and data each by itself"
            ) from error
        return step, -(step * gradient).sum(axis=-1)


def _straighten(hessian: Array, metric: Array) -> Array:
    """Each Hessian made positive definite: `l d l'` with its pivots d taken by magnitude.

    A pivot below a share LEAST of the metric's is moved to that.
    """
    k = hessian.shape[-1]
    low, pivot = np.zeros_like(hessian), np.zeros(hessian.shape[:-1])
    for i in range(k):
        for j in range(i + 1):
            left = hessian[:, i, j] - (low[:, i, :j] * low[:, j, :j] * pivot[:, :j]).sum(axis=1)
            if j < i:
                low[:, i, j] = left / pivot[:, j]
            else:
                size = np.maximum(np.abs(left), LEAST * metric[:, i, i])
                low[:, i, i], pivot[:, i] = 1, np.copysign(size, left)
    return np.asarray((low * np.abs(pivot)[:, None, :]) @ low.transpose(0, 2, 1))


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


def _free(
    hold: Held, theta: Array, gradient: Array, hessian: Array, metric: Array
) -> tuple[Array, Array, Array]:
    """Derivatives by the free coordinates, which move what is held; those by the latter are 0."""
    members, k = gradient.shape
    turn = np.broadcast_to(np.eye(k), (members, k, k)).copy()
    turn[np.arange(members), hold.at] = hold.rows(theta)
    back = turn.transpose(0, 2, 1)
    hessian = back @ (hessian + hold.bend(theta, gradient)) @ turn
    return np.matmul(back, gradient[:, :, None])[:, :, 0], hessian, back @ metric @ turn


def _model(
    problem: Problem, theta: Array, residual: Array, parts: Array, delta: float, hold: Held | None
) -> LocalModel:
    """The models at theta, whose residuals and terms are known.

    The reweighted Gauss-Newton matrix majorises the Huber objective, so damping by it shortens a
    step across the kinks of an objective close to absolute values, not along its valleys.
    """
    gradient, hessian, metric = _derivatives(problem, residual, parts, delta)
    lowest, highest = theta <= problem.lower, theta >= problem.upper
    if hold is not None:
        gradient, hessian, metric = _free(hold, theta, gradient, hessian, metric)
    frozen = (lowest & (gradient > 0)) | (highest & (gradient < 0))
    if hold is not None:
        frozen[np.arange(len(theta)), hold.at] = True
    diagonal = np.einsum("bii->bi", metric)
    diagonal += RIDGE * diagonal + 1e-150
    if frozen.any():
        free = ~frozen
        for matrix in (hessian, metric):
            matrix *= free[:, :, None]
            matrix *= free[:, None, :]
        gradient *= free
        diagonal[frozen] = 1.0
        np.einsum("bii->bi", hessian)[frozen] = 1.0
    return LocalModel(gradient, _straighten(hessian, metric), metric)


def minimise(
    problem: Problem,
    theta: Array,
    delta: float | None = None,
    max_steps: int = STEPS,
    hold: Held | None = None,
) -> tuple[Array, Array, Bools]:
    """Local minima from starts theta (members, k): theta, objective and converged, per member.

    A member has converged when its next step promises a relative fall below 1e-9 or no damping
    finds a lower point. With `hold` one coordinate of each member is held. The steps are compiled
    where the machine has a C compiler, unless what is held is curved.
    """
    delta = problem.objective.delta if delta is None else delta
    if compiled.usable(problem) and (hold is None or isinstance(hold, Hold)):
        return compiled.minimise(problem, theta, max_steps, hold, _numbers(delta))
    return _minimise(problem, theta, delta, max_steps, hold)


def _numbers(delta: float) -> tuple[float, ...]:
    """What compiled steps must know, in the order of `compiled.NUMBERS`."""
    return delta, TOLERANCE, RIDGE, LEAST, DAMPING, LESS, MORE


def _minimise(
    problem: Problem, theta: Array, delta: float, max_steps: int, hold: Held | None
) -> tuple[Array, Array, Bools]:
    """`minimise` in numpy, a step of all members at a time."""
    theta = np.clip(theta, problem.lower, problem.upper)
    if hold is not None:
        hold.place(theta)
    residual, parts = problem.residual(theta)
    value = problem.value(residual, delta)
    converged = np.zeros(len(theta), dtype=bool)
    damping = np.full(len(theta), DAMPING)
    live = moved = np.arange(len(theta))
    model = LocalModel.blank(*theta.shape)
    for _ in range(max_steps):
        # a member whose step was refused keeps its model: only the damping has changed
        for first in range(0, len(moved), BLOCK):
            block = slice(first, first + BLOCK)
            these = moved[block]
            part, own = problem.members(these), None if hold is None else hold.members(these)
            found = _model(part, theta[these], residual[block], parts[:, block], delta, own)
            model.renew(these, found)
        step, promise = model.step(live, damping[live])
        part, own = problem.members(live), None if hold is None else hold.members(live)
        trial = _move(part, theta[live], step, own)
        residual, parts = part.residual(trial)
        new = part.value(residual, delta)
        better = new < value[live]
        theta[live[better]], value[live[better]] = trial[better], new[better]
        damping[live] = damping[live] * np.where(better, LESS, MORE)
        done = (promise <= TOLERANCE * value[live]) | (damping[live] > 1e10)
        converged[live[done]] = True
        again = better & ~done
        residual, parts, moved, live = residual[again], parts[:, again], live[again], live[~done]
        if not len(live):
            break
    return theta, value, converged
