"""Fit a law to runs: the global optimum of a Huber objective, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from simlib.errors import InputError
from simlib.fit.bootstrap import AGREE, LONG, NOTHING, resample_residuals, resample_runs
from simlib.fit.extensionforms import EXTENSION_FORMS
from simlib.fit.forms import DENSE, JOINT, AnyForm, Form
from simlib.fit.newton import minimise
from simlib.fit.objective import DEFAULT_OBJECTIVE, OBJECTIVES, Objective
from simlib.fit.observations import Observations
from simlib.fit.preparation import Refits, Settled, prepare
from simlib.fit.problem import Problem
from simlib.fit.profile import Interval, profile_intervals, thresholds
from simlib.fit.quantity import QUANTITIES, Quantity, coefficient_axis, quantity_axis
from simlib.fit.result import (
    FitResult,
    Residual,
    Status,
    derived,
    ensemble_intervals,
    log_residuals,
)
from simlib.fit.rivalforms import RIVAL_FORMS
from simlib.laws.law import Array, Indices

__all__ = [
    "DEFAULT_OBJECTIVE",
    "DENSE",
    "FORMS",
    "JOINT",
    "OBJECTIVES",
    "QUANTITIES",
    "AnyForm",
    "FitResult",
    "Form",
    "Interval",
    "Objective",
    "Observations",
    "Quantity",
    "ensemble_intervals",
    "fit",
    "log_residuals",
    "stages",
]

FORMS: dict[str, AnyForm] = {"joint": JOINT, "dense": DENSE, **RIVAL_FORMS, **EXTENSION_FORMS}

ABSENT = -12.0  # log of an amplitude in nats: it is on its way to its bound, ever more slowly
MANY = 5000  # runs above which a sample of so many tells the starts apart


def fit(
    runs: Observations,
    form: AnyForm = JOINT,
    objective: Objective = DEFAULT_OBJECTIVE,
    *,
    starts: int = 25,
    resamples: int = 1000,
    profile_resamples: int = 200,
    level: float = 0.9,
    seed: int = 0,
    quantities: Mapping[str, Quantity] | None = None,
    clusters: Indices | None = None,
    by_residuals: bool = True,
    stage: Callable[[str], None] = lambda _: None,
) -> FitResult:
    """Fit `form` to a run table from a cold start, with ensembles and profile intervals.

    `resamples` is the size of each bootstrap ensemble, 0 for none; `profile_resamples` calibrates
    the profile intervals, 0 for none; only the joint and the dense form have these. Raises
    InputError for a table that cannot identify the form (see `observations.columns`). A fit that
    did not converge has status "not converged". `quantities` get a profile interval, too, such as
    `QUANTITIES` of the joint law. `clusters` (runs,) numbers the groups of runs that the ensemble
    draws whole, such as `simlib.runs.cells.curve_index`; without `by_residuals` there is no
    ensemble of resampled residuals. `stage` is told what begins; see `stages`.
    """
    if starts < 1 or resamples < 0 or profile_resamples < 0 or not 0 < level < 1:
        raise InputError(
            f"starts must be at least 1, resamples at least 0 and level inside (0, 1); got "
            f"{starts}, {resamples}, {profile_resamples} and {level}"
        )
    rng = np.random.default_rng(seed)
    settled, data, begin = prepare(runs, form, objective, starts, rng)
    form, units, problem = settled.form, settled.units, settled.problem
    stage("starts")
    theta, value, converged, agreeing = _optimum(problem, begin)
    law = form.to_law(theta, units)
    residuals = log_residuals(law, data.S, data.N, data.D, data.L)
    worst = int(np.argmax(np.abs(residuals)))
    by_runs, residual = _ensembles(settled, theta, resamples, rng, clusters, by_residuals, stage)
    ensemble, wanted = None if by_runs is None else by_runs.law, dict(quantities or {})
    profiles = _profiles(settled, theta, profile_resamples, level, rng, wanted, stage)
    return FitResult(
        law=law,
        form=form,
        objective=objective,
        value=value,
        status=_status(theta, converged, form),
        agreeing=agreeing,
        starts=starts,
        runs=len(data),
        log_rmse=float(np.sqrt((residuals**2).mean())),
        worst=Residual(worst, float(residuals[worst])),
        condition_number=_condition_number(problem, theta),
        level=level,
        ensemble=ensemble,
        residual_ensemble=None if residual is None else residual.law,
        converged_members=0 if by_runs is None else int(by_runs.converged.sum()),
        converged_residual_members=0 if residual is None else int(residual.converged.sum()),
        profile_intervals={name: profiles[name] for name in form.names if name in profiles},
        quantities={
            name: derived(wanted[name], law, ensemble, level, profiles[name])
            for name in wanted
            if name in profiles
        },
        seed=seed,
    )


def _optimum(problem: Problem, begin: Array) -> tuple[Array, float, bool, float]:
    """The best end of the starts, its objective, whether it converged, the share that agrees.

    Where there are many runs, a sample of them decides which end is best, and only that end is
    brought to the optimum of all. Runs that cannot tell a term from none leave a valley that falls
    ever more slowly towards a bound: there, too, only the best end goes on.
    """
    runs = len(problem.design)
    sample = problem.runs(np.linspace(0, runs - 1, MANY).astype(int)) if runs > MANY else problem
    ends, values, converged = minimise(sample, begin)
    best = int(np.argmin(values))
    agreeing = float((values <= values[best] * (1 + AGREE) + NOTHING).mean())
    if runs > MANY or not converged[best]:
        ends, values, converged = minimise(problem, ends[best : best + 1], max_steps=LONG)
        best = 0
    return ends[best], float(values[best]), bool(converged[best]), agreeing


def _status(theta: Array, converged: bool, form: Form) -> Status:
    if not converged:
        return "not converged"
    at_bound = (theta <= form.lower) | (theta >= form.upper)
    absent = form.amplitudes & (theta < ABSENT)
    return "at bound" if (at_bound | absent).any() else "converged"


def _jacobian(problem: Problem, theta: Array) -> Array:
    """Derivatives of the residuals, (runs, k)."""
    _, parts = problem.residual(theta[None])
    share = parts / parts.sum(axis=0) if problem.objective.log else parts
    return np.asarray(np.einsum("tr,rtk->rk", share[:, 0], problem.design))


def _condition_number(problem: Problem, theta: Array) -> float:
    """Of the Jacobian of the residuals with its columns scaled to length 1."""
    jacobian = _jacobian(problem, theta)
    length = np.linalg.norm(jacobian, axis=0)
    if not (length > 0).all():
        return float("inf")
    return float(np.linalg.cond(jacobian / length))


def _ensembles(
    settled: Settled,
    theta: Array,
    members: int,
    rng: np.random.Generator,
    clusters: Indices | None,
    both: bool,
    stage: Callable[[str], None],
) -> tuple[Refits | None, Refits | None]:
    if members == 0:
        return None, None
    stage("resampled runs")
    by_runs = settled.refit(resample_runs(settled.problem, members, rng, clusters), theta, members)
    if not both:
        return by_runs, None
    stage("resampled residuals")
    drawn = resample_residuals(settled.problem, theta, members, rng)
    return by_runs, settled.refit(drawn, theta, members)


def _profiles(
    settled: Settled,
    theta: Array,
    members: int,
    level: float,
    rng: np.random.Generator,
    quantities: Mapping[str, Quantity],
    stage: Callable[[str], None],
) -> dict[str, Interval]:
    form, units, problem = settled.form, settled.units, settled.problem
    if members == 0 or form.hold is None:
        return {}
    axes = [coefficient_axis(name, form, units, theta) for name in form.names]
    grip = np.linalg.norm(_jacobian(problem, theta), axis=0)
    axes += [quantity_axis(name, q, form, units, theta, grip) for name, q in quantities.items()]
    stage("profile thresholds")
    resampled = resample_residuals(problem, theta, members, rng)
    rises = thresholds(axes, theta, resampled, settled.cold, level)
    stage("profiles")
    found = profile_intervals(problem, axes, theta, rises)
    return {axis.name: interval for axis, interval in zip(axes, found, strict=True)}


def stages(resamples: int, profile_resamples: int) -> int:
    """How many stages a fit names at most, for a progress bar."""
    return 1 + 2 * (resamples > 0) + 2 * (profile_resamples > 0)
