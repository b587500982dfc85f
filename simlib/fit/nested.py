"""Tests of a law against a wider one that contains it, calibrated by resampled residuals.

The wider form always fits no worse. How much better it must fit before the smaller one is doubted
is read from tables on which the smaller one is true: its own predictions plus its resampled
residuals. No chi-squared law is assumed, which a Huber objective and a coefficient at the edge of
its range would break.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simlib.extensions import DataExponentLaw, DataFactorLaw, SizeExponentLaw
from simlib.fit.bootstrap import refit, resample_residuals
from simlib.fit.extensionforms import EXTENSION_FORMS
from simlib.fit.forms import JOINT, AnyForm, Form
from simlib.fit.newton import Problem, minimise
from simlib.fit.objective import DEFAULT_OBJECTIVE, Objective
from simlib.fit.observations import Observations
from simlib.fit.preparation import Settled, prepare
from simlib.fit.rivalforms import RIVAL_FORMS
from simlib.law import Array, JointLaw, Law
from simlib.rivals import DensityPower, FreeMultiplier, find_levels

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

    `gain` is the fall of the objective, relative to the wider form's value; `p_value` the share of
    tables drawn from the smaller law whose gain is at least as large. `largest_change` is the
    largest relative change of a predicted loss over the table: significance is not size.
    """

    name: str
    question: str
    small: str
    large: str
    extra: int
    objective_small: float
    objective_large: float
    gain: float
    p_value: float
    largest_change: float
    resamples: int


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
    inside = large.form.from_law(nesting.widen(small.form.to_law(theta, small.units), data.S),
                                 large.units)  # fmt: skip
    wide, wide_value = _least(large.problem, np.vstack([begin_large, inside]))
    drawn = resample_residuals(small.problem, theta, resamples, rng)
    least = refit(drawn, theta, resamples)[1]
    wide_drawn = replace(large.problem, target=drawn.target)
    wide_least = np.minimum(*(refit(wide_drawn, at, resamples)[1] for at in (inside, wide)))
    gain = value / wide_value - 1
    gains = least / wide_least - 1
    return NestedTest(
        name=nesting.name,
        question=nesting.question,
        small=small.form.name,
        large=large.form.name,
        extra=len(large.form.names) - len(small.form.names),
        objective_small=value,
        objective_large=wide_value,
        gain=gain,
        p_value=float((1 + (gains >= gain).sum()) / (1 + resamples)),
        largest_change=_largest_change(small, theta, large, wide),
        resamples=resamples,
    )


def _least(problem: Problem, starts: Array) -> tuple[Array, float]:
    ends, values, _ = minimise(problem, starts)
    best = int(np.argmin(values))
    return ends[best], float(values[best])


def _largest_change(small: Settled, theta: Array, large: Settled, wide: Array) -> float:
    data = small.data
    laws = small.form.to_law(theta, small.units), large.form.to_law(wide, large.units)
    first, second = (law(data.S, data.N, data.D) for law in laws)
    return float(np.abs(second / first - 1).max())


def _joint(law: Law) -> JointLaw:
    assert isinstance(law, JointLaw)
    return law


def _saturating(law: Law, S: Array) -> JointLaw:
    assert isinstance(law, DensityPower)
    return JointLaw(
        law.a_N, law.k * law.b_N, law.a_N * ABSENT, law.b_N, law.a_D, law.b_D, law.c
    )  # fmt: skip


def _free(law: Law, S: Array) -> FreeMultiplier:
    joint, levels = _joint(law), find_levels(S)
    eff = tuple(joint.multiplier(level) for level in levels)
    dense = joint.a_S + joint.c_S
    return FreeMultiplier(dense, joint.b_N, joint.a_D, joint.b_D, joint.c, eff, levels)


NESTINGS = (
    Nesting(
        "saturation", "does the worth of sparsity saturate?",
        RIVAL_FORMS["density-power"], JOINT, _saturating,  # type: ignore[arg-type]
    ),
    Nesting(
        "power of density", "does the multiplier leave the saturating power of the density?",
        JOINT, RIVAL_FORMS["free-multiplier"], _free,
    ),
    Nesting(
        "exponent of size", "does the exponent of N depend on sparsity?",
        JOINT, EXTENSION_FORMS["size-exponent"], lambda law, S: SizeExponentLaw.of(_joint(law)),
    ),
    Nesting(
        "amount of data", "does sparsity change how much data is worth?",
        JOINT, EXTENSION_FORMS["data-factor"], lambda law, S: DataFactorLaw.of(_joint(law)),
    ),
    Nesting(
        "exponent of data", "does sparsity change the data term in amount or exponent?",
        JOINT, EXTENSION_FORMS["data-exponent"], lambda law, S: DataExponentLaw.of(_joint(law)),
    ),
)  # fmt: skip
