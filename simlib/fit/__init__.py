"""Fit a law to runs: the global optimum of a Huber objective, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.fit.bootstrap import AGREE, LONG, NOTHING, resample_runs
from simlib.fit.diagnosis import AGREEMENT, derived, ensemble_intervals, log_residuals, warnings_of
from simlib.fit.fittedlaw import FittedLaw, Range, Residual, Status
from simlib.fit.newton import minimise
from simlib.fit.objective import DEFAULT_OBJECTIVE, OBJECTIVES, Objective
from simlib.fit.observations import Observations
from simlib.fit.preparation import PreparedForm, Refits, prepare
from simlib.fit.problem import Problem
from simlib.fit.profile import Interval, profile_intervals, thresholds
from simlib.fit.quantity import QUANTITIES, Quantity, coefficient_axis, quantity_axis
from simlib.laws.form import AnyForm, Form
from simlib.laws.law import DENSE, JOINT, Array, Indices
from simlib.laws.registry import FORMS, form_named
from simlib.runs.cells import Columns
from simlib.runs.simulated import simulated_warning
from simlib.runs.table import RunTable

__all__ = [
    "DEFAULT_OBJECTIVE",
    "DENSE",
    "FORMS",
    "JOINT",
    "OBJECTIVES",
    "QUANTITIES",
    "AnyForm",
    "FittedLaw",
    "Form",
    "Interval",
    "Objective",
    "Observations",
    "Quantity",
    "ensemble_intervals",
    "fit",
    "fit_law",
    "fit_table",
    "log_residuals",
    "stages",
]

ABSENT = -12.0  # log of an amplitude in nats: it is on its way to its bound, ever more slowly
EQUAL = 1e-6  # relative distance within which two starts have one end
MORE_STARTS, SMOOTH = 8, 10.0  # times as many where the first ones differ; times the delta
MANY = 5000  # runs above which a sample of so many tells the starts apart


def fit(
    runs: Observations,
    form: AnyForm = JOINT,
    objective: Objective = DEFAULT_OBJECTIVE,
    *,
    name: str = "law",
    starts: int = 25,
    resamples: int = 1000,
    profile_resamples: int = 200,
    level: float = 0.9,
    seed: int = 0,
    quantities: Mapping[str, Quantity] | None = None,
    clusters: Indices | None = None,
    stage: Callable[[str], None] = lambda _: None,
) -> FittedLaw:
    """Fit `form` to a run table from a cold start, with ensembles and profile intervals.

    `resamples` is the size of the bootstrap ensemble, 0 for none; `profile_resamples` calibrates
    the profile intervals, 0 for none; a form with a coefficient that is searched outside the solver
    (`Outer`) has none and says so among its warnings. Raises
    InputError for a table that cannot identify the form (see `observations.columns`). A fit that
    did not converge has status "not converged". `quantities` get a profile interval, too, such as
    `QUANTITIES` of the joint law. `clusters` (runs,) numbers the groups of runs that the ensemble
    draws whole, such as `simlib.runs.cells.curve_index`. `stage` is told what begins; see `stages`.
    Where the fit ends at a bound, the ensemble gives its coefficients no interval: only the profile
    intervals, one-sided there, hold their share (`benchmarks/coverage.py`).
    """
    if starts < 1 or resamples < 0 or profile_resamples < 0 or not 0 < level < 1:
        raise InputError(
            f"starts must be at least 1, resamples at least 0 and level inside (0, 1); got "
            f"{starts}, {resamples}, {profile_resamples} and {level}"
        )
    rng = np.random.default_rng(seed)
    prepared, data, begin = prepare(runs, form, objective, starts, rng)
    form, units, problem = prepared.form, prepared.units, prepared.problem
    stage("starts")
    wide = prepared.wide_starts(MORE_STARTS * starts, np.random.default_rng([seed, MORE_STARTS]))
    theta, value, converged, agreeing = _optimum(problem, begin, wide)
    law = form.to_law(theta, units)
    residuals = log_residuals(law, data.S, data.N, data.D, data.L, *form.more)
    worst = int(np.argmax(np.abs(residuals)))
    status = _status(theta, converged, form)
    refits = _refits(prepared, theta, resamples, rng, clusters, stage)
    ensemble = None if refits is None else refits.law
    wanted = dict(quantities or {})
    if profile_resamples and prepared.outer is None:
        resampled = resample_runs(problem, profile_resamples, rng, clusters)
        profiles = _profiles(prepared, theta, resampled, level, status, wanted, stage)
    else:
        profiles = {}
    found = FittedLaw(
        name=name,
        law=law,
        ensemble=ensemble,
        objective=objective,
        runs=len(data),
        range=Range.of(data.S, data.N, data.D),
        value=value,
        status=status,
        converged_members=0 if refits is None else int(refits.converged.sum()),
        agreeing=agreeing,
        starts=starts,
        log_rmse=float(np.sqrt((residuals**2).mean())),
        worst=Residual(worst, float(residuals[worst])),
        condition_number=_condition_number(problem, theta),
        level=level,
        intervals={} if status == "at bound" else ensemble_intervals(ensemble, level),
        profile_intervals={key: profiles[key] for key in form.names if key in profiles},
        quantities={
            key: derived(wanted[key], law, ensemble, level, profiles[key])
            for key in wanted
            if key in profiles
        },
        seed=seed,
    )
    said = warnings_of(found)
    if prepared.outer and profile_resamples:
        said.append(
            f"no coefficient has a profile interval: {prepared.outer.searched} of the "
            f"{form.name} law is searched outside the solver"
        )
    if isinstance(runs, RunTable) and (simulated := simulated_warning(runs)):
        said.append(simulated)
    return replace(found, warnings=tuple(said))


def fit_table(
    runs: RunTable,
    form: AnyForm | None = None,
    objective: Objective = DEFAULT_OBJECTIVE,
    *,
    name: str = "yours",
    resamples: int = 400,
    profile_resamples: int = 0,
    seed: int = 0,
    starts: int = 25,
    clusters: Indices | None = None,
) -> FittedLaw:
    """The law of the finished runs of a table, with what forecasts and plans need: see `fit`.

    Without a form it is the joint law, or the dense law where no run is sparse.
    """
    runs = runs.finished
    return fit(
        runs,
        form or _form_of(runs.sparsity),
        objective,
        name=name,
        starts=starts,
        resamples=resamples,
        profile_resamples=profile_resamples,
        seed=seed,
        clusters=clusters,
    )


def fit_law(
    S: ArrayLike,
    N: ArrayLike,
    D: ArrayLike,
    loss: ArrayLike,
    form: str | None = None,
    **options: Any,
) -> FittedLaw:
    """A law fitted to plain columns of shape (runs,): sparsity, non-zero parameters, data, loss.

    `form` is a name in `FORMS`; without one it is the joint law, or the dense law where no run is
    sparse. `options` are those of `fit`, such as `resamples`, `level` and `seed`. Raises InputError
    for an unknown form and for columns that cannot identify it.
    """
    runs = Columns(*(np.asarray(column, dtype=float) for column in (S, N, D, loss)))
    return fit(runs, form_named(form) if form else _form_of(runs.sparsity), **options)


def _form_of(sparsity: Array) -> Form:
    return JOINT if sparsity.any() else DENSE


def _optimum(problem: Problem, begin: Array, wide: Array) -> tuple[Array, float, bool, float]:
    """The best end of the starts, its objective, whether it converged, the share that agrees.

    Starts that do not all end at one point may all have missed the best. Then more are taken, from
    a `wide` range (starts, k), each of them also by way of the optimum of an objective with a delta
    so large that it has fewer bottoms.
    Where there are many runs, a sample of them decides which end is best, and only that end is
    brought to the optimum of all. Runs that cannot tell a term from none leave a valley that falls
    ever more slowly towards a bound: there, too, only the best end goes on.
    """
    runs = len(problem.design)
    sample = problem.runs(np.linspace(0, runs - 1, MANY).astype(int)) if runs > MANY else problem
    ends, values, converged = minimise(sample, begin)
    if _agreeing(values, EQUAL) < AGREEMENT:
        smooth = minimise(sample, wide, delta=SMOOTH * problem.objective.delta)[0]
        more = minimise(sample, np.vstack([wide, smooth]))
        ends, values = np.vstack([ends, more[0]]), np.concatenate([values, more[1]])
        converged = np.concatenate([converged, more[2]])
    best = int(np.argmin(values))
    agreeing = _agreeing(values[: len(begin)], AGREE, values[best])
    if runs > MANY or not converged[best]:
        ends, values, converged = minimise(problem, ends[best : best + 1], max_steps=LONG)
        best = 0
    return ends[best], float(values[best]), bool(converged[best]), agreeing


def _agreeing(values: Array, near: float, best: float | None = None) -> float:
    """The share of objectives (starts,) within a relative distance of the best, or of `best`."""
    best = float(values.min()) if best is None else best
    return float((values <= best * (1 + near) + NOTHING).mean())


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


def _refits(
    prepared: PreparedForm,
    theta: Array,
    members: int,
    rng: np.random.Generator,
    clusters: Indices | None,
    stage: Callable[[str], None],
) -> Refits | None:
    if members == 0:
        return None
    stage("resampled runs")
    drawn = resample_runs(prepared.problem, members, rng, clusters)
    return prepared.refit(drawn, theta, members)


def _profiles(
    prepared: PreparedForm,
    theta: Array,
    resampled: Problem,
    level: float,
    status: Status,
    quantities: Mapping[str, Quantity],
    stage: Callable[[str], None],
) -> dict[str, Interval]:
    """Profile intervals by coefficient and quantity, calibrated by a batch of resampled tables.

    Beside a bound a table drawn from the fit can err to one side only, so its thresholds are too
    low for a law that does not lie there; all rise alike where none is bound, so each takes the
    largest.
    """
    form, units, problem = prepared.form, prepared.units, prepared.problem
    grip = np.linalg.norm(_jacobian(problem, theta), axis=0)
    found = [coefficient_axis(name, form, units, theta, grip) for name in form.names]
    axes = [axis for axis in found if axis is not None]
    axes += [quantity_axis(name, q, form, units, theta, grip) for name, q in quantities.items()]
    stage("profile thresholds")
    rises = thresholds(axes, theta, resampled, prepared.cold, level)
    if status == "at bound":
        rises = np.full_like(rises, rises.max())
    stage("profiles")
    ends = profile_intervals(problem, axes, theta, rises)
    return {axis.name: interval for axis, interval in zip(axes, ends, strict=True)}


def stages(resamples: int, profile_resamples: int) -> int:
    """How many stages a fit names at most, for a progress bar."""
    return 1 + (resamples > 0) + 2 * (profile_resamples > 0)
