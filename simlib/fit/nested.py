"""Tests of a law against a wider one that contains it, calibrated by resampled residuals.

The wider form always fits no worse. How much better it must fit before the smaller one is doubted
is read from tables on which the smaller one is true: its own predictions plus residuals, drawn in
two ways. No chi-squared law is assumed, which a Huber objective and a coefficient at the edge of
its range would break.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simlib.fit.bootstrap import refit, resample_residuals
from simlib.fit.newton import minimise
from simlib.fit.objective import DEFAULT_OBJECTIVE, Objective
from simlib.fit.observations import Observations
from simlib.fit.preparation import PreparedForm, prepare
from simlib.fit.problem import Problem
from simlib.laws.extensions import (
    DATA_EXPONENT,
    DATA_FACTOR,
    SIZE_EXPONENT,
    DataExponentLaw,
    DataFactorLaw,
    SizeExponentLaw,
)
from simlib.laws.form import AnyForm, Form
from simlib.laws.law import JOINT, Array, JointLaw, Law
from simlib.laws.rivals import (
    DENSITY_POWER,
    FREE_MULTIPLIER,
    DensityPower,
    FreeMultiplier,
    find_levels,
)
from simlib.runs.cells import curve_index

ABSENT = 1e-10  # share of the size term below which its saturating part is not there


@dataclass(frozen=True)
class Nesting:
    """A form inside a wider one; `widen(law, S)` writes the smaller law as one of the wider form.

    `question` is what a small p-value answers with yes.
    """

    name: str
    question: str
    small: Form
    large: AnyForm
    widen: Callable[[Law, Array], Law]


@dataclass(frozen=True)
class NestedTest:
    """The outcome of one test.

    `gain` is the fall of the objective, relative to the wider form's value; a p-value is the share
    of tables drawn from the smaller law whose gain is at least as large. `p_runs` draws residuals
    run by run, as if each erred alone; `p_curves` flips the signs of whole curves of one sparsity
    and size, which may err together. `largest_change` is the largest relative change of a
    predicted loss over the table: significance is not size.
    """

    name: str
    question: str
    small: str
    large: str
    extra: int
    objective_small: float
    objective_large: float
    gain: float
    p_runs: float
    p_curves: float
    largest_change: float
    resamples: int

    @property
    def p_value(self) -> float:
        """The larger of the two p-values."""
        return max(self.p_runs, self.p_curves)


def nested_test(
    runs: Observations,
    nesting: Nesting,
    objective: Objective = DEFAULT_OBJECTIVE,
    *,
    starts: int = 25,
    resamples: int = 999,
    seed: int = 0,
) -> NestedTest:
    """Test `nesting.small` against `nesting.large` on a run table.

    Raises InputError for a table that cannot identify the wider form.
    """
    rng = np.random.default_rng(seed)
    small, data, begin = prepare(runs, nesting.small, objective, starts, rng)
    large, _, begin_large = prepare(runs, nesting.large, objective, starts, rng)
    theta, value = _least(small.problem, begin)
    inside = large.form.from_law(
        nesting.widen(small.form.to_law(theta, small.units), data.S), large.units
    )
    wide, wide_value = _least(large.problem, np.vstack([begin_large, inside]))
    gain = value / wide_value - 1

    def p_value(drawn: Problem) -> float:
        least = refit(drawn, theta, resamples)[1]
        batch = replace(large.problem, target=drawn.target)
        wide_least = np.minimum(*(refit(batch, at, resamples)[1] for at in (inside, wide)))
        gains = least / wide_least - 1
        return float((1 + (gains >= gain).sum()) / (1 + resamples))

    return NestedTest(
        name=nesting.name,
        question=nesting.question,
        small=small.form.name,
        large=large.form.name,
        extra=len(large.form.names) - len(small.form.names),
        objective_small=value,
        objective_large=wide_value,
        gain=gain,
        p_runs=p_value(resample_residuals(small.problem, theta, resamples, rng)),
        p_curves=p_value(flip_curves(small, theta, resamples, rng)),
        largest_change=_largest_change(small, theta, large, wide),
        resamples=resamples,
    )


def flip_curves(
    prepared: PreparedForm, theta: Array, members: int, rng: np.random.Generator
) -> Problem:
    """The fitted losses plus residuals whose sign is drawn once for each curve.

    A curve is the runs of one sparsity and size. The wild cluster bootstrap of Cameron, Gelbach &
    Miller 2008 (doi 10.1162/rest.90.3.414), with residuals widened by `sqrt(n / (n - k))`.
    """
    problem, data = prepared.problem, prepared.data
    residual = problem.residual(theta[None])[0][0]
    curve = curve_index(data.S, data.N)
    sign = rng.choice([-1.0, 1.0], size=(members, curve.max() + 1))[:, curve]
    spread = residual * np.sqrt(len(residual) / (len(residual) - len(theta)))
    return replace(problem, target=problem.target + residual - sign * spread)


def _least(problem: Problem, starts: Array) -> tuple[Array, float]:
    ends, values, _ = minimise(problem, starts)
    best = int(np.argmin(values))
    return ends[best], float(values[best])


def _largest_change(small: PreparedForm, theta: Array, large: PreparedForm, wide: Array) -> float:
    data = small.data
    laws = small.form.to_law(theta, small.units), large.form.to_law(wide, large.units)
    first, second = (law(data.S, data.N, data.D) for law in laws)
    return float(np.abs(second / first - 1).max())


def _joint(law: Law) -> JointLaw:
    assert isinstance(law, JointLaw)
    return law


def _saturating(law: Law, S: Array) -> JointLaw:
    assert isinstance(law, DensityPower)
    return JointLaw(law.a_N, law.k * law.b_N, law.a_N * ABSENT, law.b_N, law.a_D, law.b_D, law.c)


def _free(law: Law, S: Array) -> FreeMultiplier:
    joint, levels = _joint(law), find_levels(S)
    eff = tuple(joint.multiplier(level) for level in levels)
    dense = joint.a_S + joint.c_S
    return FreeMultiplier(dense, joint.b_N, joint.a_D, joint.b_D, joint.c, eff, levels)


NESTINGS = (
    Nesting(
        "saturation",
        "does the worth of sparsity saturate?",
        DENSITY_POWER,
        JOINT,
        _saturating,
    ),
    Nesting(
        "power of density",
        "does the multiplier leave the saturating power of the density?",
        JOINT,
        FREE_MULTIPLIER,
        _free,
    ),
    Nesting(
        "exponent of size",
        "does the exponent of N depend on sparsity?",
        JOINT,
        SIZE_EXPONENT,
        lambda law, S: SizeExponentLaw.of(_joint(law)),
    ),
    Nesting(
        "amount of data",
        "does sparsity change how much data is worth?",
        JOINT,
        DATA_FACTOR,
        lambda law, S: DataFactorLaw.of(_joint(law)),
    ),
    Nesting(
        "exponent of data",
        "does sparsity change the data term in amount or exponent?",
        JOINT,
        DATA_EXPONENT,
        lambda law, S: DataExponentLaw.of(_joint(law)),
    ),
)
