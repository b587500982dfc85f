"""Fit a law to runs: the global optimum of a Huber objective, with its uncertainty."""

from __future__ import annotations

import numpy as np

from simlib.errors import InputError
from simlib.fit.bootstrap import refit, resample_residuals, resample_runs
from simlib.fit.forms import DENSE, FORMS, JOINT, Form, Units
from simlib.fit.newton import Problem, minimise
from simlib.fit.objective import DEFAULT_OBJECTIVE, OBJECTIVES, Objective
from simlib.fit.observations import Columns, Observations, columns
from simlib.fit.profile import Interval, profile_interval, thresholds
from simlib.fit.result import FitResult, Residual, Status, ensemble_intervals, log_residuals
from simlib.law import Array

__all__ = [
    "DEFAULT_OBJECTIVE", "DENSE", "FORMS", "JOINT", "OBJECTIVES", "FitResult", "Form", "Interval",
    "Objective", "Observations", "ensemble_intervals", "fit", "log_residuals",
]  # fmt: skip

AGREE = 1e-3  # relative distance from the best objective at which a start agrees with it
NOTHING = 1e-16  # an objective this small is a residual of 1e-8: the runs lie on the law


def fit(
    runs: Observations,
    form: Form = JOINT,
    objective: Objective = DEFAULT_OBJECTIVE,
    *,
    starts: int = 25,
    resamples: int = 1000,
    profile_resamples: int = 200,
    level: float = 0.9,
    seed: int = 0,
) -> FitResult:
    """Fit `form` to a run table from a cold start, with ensembles and profile intervals.

    `resamples` is the size of each bootstrap ensemble, 0 for none; `profile_resamples` calibrates
    the profile intervals, 0 for none. Raises InputError for a table that cannot identify the form
    (see `observations.columns`). A fit that did not converge has status "not converged".
    """
    if starts < 1 or resamples < 0 or profile_resamples < 0 or not 0 < level < 1:
        raise InputError(
            f"starts must be at least 1, resamples at least 0 and level inside (0, 1); got "
            f"{starts}, {resamples}, {profile_resamples} and {level}"
        )
    data = columns(runs, form)
    units = Units.of(data.N, data.D)
    rng = np.random.default_rng(seed)
    problem = _problem(data, form, objective, units)
    ends, values, converged = minimise(problem, _starts(data, form, starts, rng))
    best = int(np.argmin(values))
    theta = ends[best]
    law = form.to_law(theta, units)
    residuals = log_residuals(law, data.S, data.N, data.D, data.L)
    worst = int(np.argmax(np.abs(residuals)))
    by_runs, by_residuals = _ensembles(problem, theta, resamples, rng)
    return FitResult(
        law=law,
        form=form,
        objective=objective,
        value=float(values[best]),
        status=_status(theta, bool(converged[best]), form),
        agreeing=float((values <= values[best] * (1 + AGREE) + NOTHING).mean()),
        starts=starts,
        runs=len(data),
        log_rmse=float(np.sqrt((residuals**2).mean())),
        worst=Residual(worst, float(residuals[worst])),
        condition_number=_condition_number(problem, theta),
        level=level,
        ensemble=None if by_runs is None else form.to_law(by_runs, units),
        residual_ensemble=None if by_residuals is None else form.to_law(by_residuals, units),
        profile_intervals=_profiles(problem, form, units, theta, profile_resamples, level, rng),
        seed=seed,
    )


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
        valley=form.valley,
    )


def _starts(data: Columns, form: Form, count: int, rng: np.random.Generator) -> Array:
    """Random starts, shape (count, k): amplitudes around the measured loss, exponents below 2."""
    exponent = np.array([name.startswith("b_") or name in ("alpha", "beta") for name in form.names])
    amplitude = np.log(rng.uniform(0.02, 0.7, (count, len(exponent))) * np.median(data.L))
    return np.where(exponent, rng.uniform(0.05, 1.5, amplitude.shape), amplitude)


def _status(theta: Array, converged: bool, form: Form) -> Status:
    if not converged:
        return "not converged"
    at_bound = (theta <= form.lower) | (theta >= form.upper)
    return "at bound" if at_bound.any() else "converged"


def _condition_number(problem: Problem, theta: Array) -> float:
    """Of the Jacobian of the residuals with its columns scaled to length 1."""
    _, parts = problem.residual(theta[None])
    share = parts / parts.sum(axis=-1, keepdims=True) if problem.objective.log else parts
    jacobian = np.einsum("rt,rtk->rk", share[0], problem.design)
    length = np.linalg.norm(jacobian, axis=0)
    if not (length > 0).all():
        return float("inf")
    return float(np.linalg.cond(jacobian / length))


def _ensembles(
    problem: Problem, theta: Array, members: int, rng: np.random.Generator
) -> tuple[Array | None, Array | None]:
    if members == 0:
        return None, None
    by_runs = refit(resample_runs(problem, members, rng), theta, members)[0]
    by_residuals = refit(resample_residuals(problem, theta, members, rng), theta, members)[0]
    return by_runs, by_residuals


def _profiles(
    problem: Problem, form: Form, units: Units, theta: Array, members: int, level: float,
    rng: np.random.Generator,
) -> dict[str, Interval]:  # fmt: skip
    if members == 0:
        return {}
    resampled = resample_residuals(problem, theta, members, rng)
    rises = thresholds(problem, form, units, theta, resampled, level)
    return {
        name: profile_interval(problem, form, units, theta, name, rises[name])
        for name in form.names
    }
