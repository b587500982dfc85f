"""Refits of resampled tables, all at once, each at its own optimum."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from simlib.fit.newton import minimise
from simlib.fit.problem import Held, Problem
from simlib.laws.law import Array, Bools, Indices

LEAST_SQUARES = 1e3  # a delta so large that the Huber loss is a square
LONG = 5000  # steps, many times what a bounded optimum takes
AGREE = 1e-3  # relative distance from the best objective at which a start agrees with it
NOTHING = 1e-16  # an objective this small is a residual of 1e-8: the runs lie on the law
PROBES, ROUNDS = 64, 3  # members that try a cold start first; how often all of them take one
SOME = 0.02  # share of probes that a cold start must lower before all members take one


class Ends(NamedTuple):
    """Where the members of a batch end: theta (members, k), objective and converged (members,)."""

    theta: Array
    value: Array
    converged: Bools

    def or_better(self, other: Ends, members: Indices | slice = slice(None)) -> Ends:
        """These ends, but of some members the others where those are no higher."""
        mine = Ends(self.theta.copy(), self.value.copy(), self.converged.copy())
        lower = other.value <= self.value[members]
        where = np.arange(len(self.value))[members][lower]
        mine.theta[where], mine.value[where] = other.theta[lower], other.value[lower]
        mine.converged[where] = other.converged[lower]
        return mine


def refit(problem: Problem, theta: Array, members: int, cold: Array | None = None) -> Ends:
    """Optimum of each member of a batch problem, the best of several starts.

    Each member starts from the fit of the whole table, from its own least-squares optimum, from
    there with amplitudes raised that came close to 0 and, as long as that lowers some of a few,
    from one of the random starts `cold` (starts, k). Where the best end has not converged it goes
    on.
    """
    start = np.tile(theta, (members, 1))
    near = Ends(*minimise(problem, start))
    own, _, _ = minimise(problem, start, delta=LEAST_SQUARES)
    ends = from_lifted(problem, near.or_better(Ends(*minimise(problem, own))))
    if cold is not None:
        ends = _from_cold(problem, ends, cold)
    late = np.flatnonzero(~ends.converged)
    if len(late):
        found = minimise(problem.members(late), ends.theta[late], max_steps=LONG)
        ends = ends.or_better(Ends(*found), late)
    return ends


def from_lifted(problem: Problem, ends: Ends, hold: Held | None = None) -> Ends:
    """The better of these ends and those of a start with amplitudes raised that came close to 0."""
    members, start = problem.lifted(ends.theta)
    if not len(members):
        return ends
    own = None if hold is None else hold.members(members)
    return ends.or_better(Ends(*minimise(problem.members(members), start, hold=own)), members)


def _from_cold(problem: Problem, ends: Ends, cold: Array) -> Ends:
    """The better of these ends and those of cold starts.

    Some members try first: on most tables no cold start ends lower, and none is needed.
    """
    members = len(ends.value)
    for number in range(ROUNDS):
        start = cold[(np.arange(members) + number) % len(cold)]
        few = np.unique(np.linspace(min(number, members - 1), members - 1, PROBES).astype(int))
        tried = minimise(problem.members(few), start[few], max_steps=LONG)[1]
        if (tried < ends.value[few] * (1 - AGREE) - NOTHING).mean() <= SOME:
            break
        ends = ends.or_better(Ends(*minimise(problem, start, max_steps=LONG)))
    return ends


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
