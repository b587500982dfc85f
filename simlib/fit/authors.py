"""The fitting procedure of the paper's release, written from its description, for comparison.

25 starts drawn uniformly from the unit cube in release units, SciPy's BFGS with numerical gradients
and default tolerances on the mean Huber loss, the best start that reports success kept. The mean is
of the order of 1e-5 and BFGS stops where the gradient is below 1e-5, so it can report success far
from an optimum; `sum_runs` minimises the sum over runs instead, which is the same objective.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw, Range
from simlib.fit.objective import Objective
from simlib.fit.observations import Observations, columns
from simlib.laws.law import (
    JOINT,
    PUBLISHED,
    T5_DATA_UNIT,
    VIT_DATA_UNIT,
    Array,
    JointLaw,
    from_release,
)

DATA_UNITS = {"vit-jft": VIT_DATA_UNIT, "t5-c4": T5_DATA_UNIT}


@dataclass(frozen=True)
class AuthorsFit:
    """The kept law and, for each start, the objective reached (the mean) and BFGS's own verdict."""

    law: JointLaw
    value: float
    values: Array
    success: Array


def authors_procedure(
    runs: Observations,
    objective: Objective,
    data_unit: float,
    *,
    starts: int = 25,
    seed: int = 0,
    sum_runs: bool = False,
) -> AuthorsFit:
    """Fit the joint law as the release does. Raises InputError if no start reports success."""
    from scipy.optimize import minimize  # not at the top: it takes long to import

    data = columns(runs, JOINT)
    n, d = data.N / 1e6, data.D / data_unit
    target = objective.target(data.L)
    factor = len(data) if sum_runs else 1

    def loss(p: Array) -> float:
        size = (p[0] * (1 - data.S) ** p[1] + p[2]) * n ** -p[3]
        predicted = size + p[4] * d ** -p[5] + p[6]
        residual = objective.target(predicted) - target
        return float(factor * objective.rho(residual).mean())

    rng = np.random.RandomState(seed)
    with np.errstate(all="ignore"):
        ends = [minimize(loss, rng.uniform(size=7)) for _ in range(starts)]
    good = [end for end in ends if end.success]
    if not good:
        raise InputError(f"BFGS reports success from none of {starts} starts")
    best = min(good, key=lambda end: end.fun)
    values = np.array([end.fun / factor for end in ends])
    success = np.array([bool(end.success) for end in ends])
    law = from_release(best.x, data_unit)
    return AuthorsFit(law, float(best.fun / factor), values, success)


def release_fit(
    procedure: str,
    table: str,
    runs: Observations,
    objective: Objective,
    *,
    starts: int = 25,
    seed: int = 0,
) -> FittedLaw:
    """The published coefficients, or those that the release's procedure reaches on these runs.

    `procedure` is "published", "authors" (the mean over runs) or "authors-sum". Raises InputError
    for a table that the authors did not release.
    """
    if table not in PUBLISHED:
        known = ", ".join(PUBLISHED)
        raise InputError(f"--procedure {procedure} is for {known}, not {table}")
    law, values, success = PUBLISHED[table], (), ()
    if procedure != "published":
        found = authors_procedure(
            runs,
            objective,
            DATA_UNITS[table],
            starts=starts,
            seed=seed,
            sum_runs=procedure == "authors-sum",
        )
        law = found.law
        values, success = tuple(found.values.tolist()), tuple(found.success.tolist())
    predicted = law(runs.sparsity, runs.nonzero_params, runs.data_seen)
    residual = np.log(predicted / runs.loss)
    return FittedLaw(
        name=table,
        law=law,
        objective=objective,
        runs=len(runs.loss),
        range=Range.of(runs.sparsity, runs.nonzero_params, runs.data_seen),
        value=float(objective.value(predicted, runs.loss)),
        status="published" if procedure == "published" else "as the release reports it",
        log_rmse=float(np.sqrt((residual**2).mean())),
        seed=seed,
        start_values=values,
        start_success=success,
    )
