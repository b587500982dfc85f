"""Refits of resampled tables, all at once, each at its own optimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simlib.fit.newton import Problem, minimise
from simlib.law import Array, Indices

LEAST_SQUARES = 1e3  # a delta so large that the Huber loss is a square


def refit(problem: Problem, theta: Array, members: int) -> tuple[Array, Array, Array]:
    """Optimum of each member of a batch problem: theta (members, k), objective, converged.

    Each member starts twice, from the fit of the whole table and from its own least-squares
    optimum, and keeps the better end.
    """
    start = np.tile(theta, (members, 1))
    near = minimise(problem, start.copy())
    own, _, _ = minimise(problem, start, delta=LEAST_SQUARES)
    far = minimise(problem, own)
    better = far[1] < near[1]
    return (
        np.where(better[:, None], far[0], near[0]),
        np.where(better, far[1], near[1]),
        np.where(better, far[2], near[2]),
    )


def resample_runs(
    problem: Problem, members: int, rng: np.random.Generator, clusters: Indices | None = None
) -> Problem:
    """The runs drawn with replacement, as weights of shape (members, runs).

    `clusters` (runs,) numbers the groups, from 0, whose runs err together: a group is drawn whole.
    """
    group = np.arange(len(problem.target)) if clusters is None else clusters
    count = int(group.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=members)[:, group]
    return replace(problem, weights=drawn / drawn.sum(axis=1, keepdims=True))


def resample_residuals(
    problem: Problem, theta: Array, members: int, rng: np.random.Generator
) -> Problem:
    """The fitted losses plus residuals drawn with replacement, target of shape (members, runs).

    Residuals are centred and widened by `sqrt(n / (n - k))`, since a fit with k coefficients
    leaves them too small.
    """
    residual = problem.residual(theta[None])[0][0]
    runs, k = len(residual), len(theta)
    fitted = problem.target + residual
    spread = (residual - residual.mean()) * np.sqrt(runs / (runs - k))
    return replace(problem, target=fitted - rng.choice(spread, size=(members, runs)))
