"""From a run table and a form to the solver's problem: levels found, outer coefficient searched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from simlib.errors import InputError
from simlib.fit.bootstrap import refit
from simlib.fit.objective import Objective
from simlib.fit.observations import Observations, bits, columns
from simlib.fit.outer import refit_with_search, search
from simlib.fit.problem import Problem
from simlib.laws.form import AnyForm, ByBits, ByLevel, Form, Outer, Units
from simlib.laws.law import Array, Bools, Law
from simlib.runs.cells import Columns

OUTER_STARTS = 5


class Refits(NamedTuple):
    """Laws of resampled tables, coefficients (members,), and which of them converged."""

    law: Law
    converged: Bools


@dataclass(frozen=True)
class PreparedForm:
    """A form whose every coefficient is an entry of theta or fixed at the table's best value.

    `cold` (starts, k) are the random starts. `outer` and `value` are the form's outer coefficient,
    if it has one, and what was found for it.
    """

    form: Form
    units: Units
    data: Columns
    problem: Problem
    cold: Array
    outer: Outer | None = None
    value: float = 1.0

    def refit(self, batch: Problem, theta: Array, members: int) -> Refits:
        """The laws of the resampled tables of a batch, each the best of several starts."""
        if self.outer is None:
            ends = refit(batch, theta, members, self.cold)
            return Refits(self.form.to_law(ends.theta, self.units), ends.converged)
        ends, values = refit_with_search(batch, self._design, self.value, theta, members)
        return Refits(self.outer.at(values).to_law(ends.theta, self.units), ends.converged)

    def wide_starts(self, count: int, rng: np.random.Generator) -> Array:
        """Random starts (count, k) from a far wider range than `cold`: absent terms, any slope."""
        begin = _starts(self.data, self.form, count, rng)
        steep = np.exp(rng.uniform(np.log(0.02), np.log(5), begin.shape))
        free = np.where(self.form.lower < 0, rng.uniform(-6, 6, begin.shape), steep)
        fallen = begin - rng.exponential(2, begin.shape)
        return np.where(self.form.amplitudes, fallen, free)

    def _design(self, value: float) -> Array:
        assert self.outer is not None
        return self.outer.at(value).design(self.data.S, self.data.N, self.data.D, self.units)


def prepare(
    runs: Observations, form: AnyForm, objective: Objective, starts: int, rng: np.random.Generator
) -> tuple[PreparedForm, Columns, Array]:
    """The problem of a form on a table, its checked columns, and random starts (starts, k).

    Raises InputError for a table that cannot identify the form.
    """
    plain = _plain(form, runs)
    data = columns(runs, plain)
    units = Units.of(data.N, data.D)
    begin = _starts(data, plain, starts, rng)
    prepared = PreparedForm(plain, units, data, _problem(data, plain, objective, units), begin)
    if isinstance(form, Outer):
        prepared = _searched(replace(prepared, outer=form), begin[:OUTER_STARTS])
    return prepared, data, begin


def _plain(form: AnyForm, runs: Observations) -> Form:
    widths = bits(runs)
    if isinstance(form, ByBits):
        return form.at(widths, bool(np.any(runs.sparsity)))
    if len(known := np.unique(widths)) > 1:
        raise InputError(
            f"the runs have weights of {', '.join(f'{p:g}' for p in known)} bits, and the "
            f"{form.name} law knows none: fit the form bits, or runs of one number of bits"
        )
    if isinstance(form, ByLevel):
        return form.at(form.levels(runs.sparsity))
    return form.at(1.0) if isinstance(form, Outer) else form


def _searched(prepared: PreparedForm, begin: Array) -> PreparedForm:
    outer = prepared.outer
    assert outer is not None
    value, _ = search(prepared.problem, prepared._design, outer.low, outer.high, begin)
    problem = replace(prepared.problem, design=prepared._design(value))
    return replace(prepared, form=outer.at(value), problem=problem, value=value)


def _problem(data: Columns, form: Form, objective: Objective, units: Units) -> Problem:
    design = form.design(data.S, data.N, data.D, units)
    return Problem(
        design=design,
        offset=np.zeros(design.shape[:2]),
        target=objective.target(data.L),
        weights=np.full(len(data), 1 / len(data)),
        objective=objective,
        lower=form.lower,
        upper=form.upper,
        valleys=form.valleys,
    )


def _starts(data: Columns, form: Form, count: int, rng: np.random.Generator) -> Array:
    """Random starts, shape (count, k): amplitudes around the measured loss, exponents below 2."""
    shape = (count, len(form.lower))
    amplitude = np.log(rng.uniform(0.02, 0.7, shape) * np.median(data.L))
    return np.where(form.amplitudes, amplitude, rng.uniform(0.05, 1.5, shape))
