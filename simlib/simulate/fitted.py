"""A run table fitted and kept as a law file in memory, ready for forecasts and plans."""

from __future__ import annotations

from simlib.errors import InputError
from simlib.fit import DEFAULT_OBJECTIVE, DENSE, JOINT, AnyForm, Objective, fit
from simlib.laws.law import DenseLaw, Indices, JointLaw
from simlib.laws.lawfile import LawFile
from simlib.runs.table import RunTable
from simlib.simulate.virtual import simulated_warning


def fit_law(
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
) -> LawFile:
    """The law of a run table with its ensemble, range, residual noise, intervals and warnings.

    Without a form it is the joint law, or the dense law where no run is sparse. Raises InputError
    for a table that cannot identify the form. `starts` and `clusters` are those of `fit`.
    """
    runs = runs.finished
    form = form or (JOINT if runs.sparsity.any() else DENSE)
    result = fit(
        runs,
        form,
        objective,
        starts=starts,
        resamples=resamples,
        profile_resamples=profile_resamples,
        seed=seed,
        clusters=clusters,
        by_residuals=False,
    )
    columns = {n: getattr(runs, n) for n in ("sparsity", "nonzero_params", "data_seen")}
    said = simulated_warning(runs)
    record = {
        "runs": len(runs),
        "range": {n: [float(v.min()), float(v.max())] for n, v in columns.items()},
        "objective": result.value,
        "status": result.status,
        **result.counts,
        "log_rmse": result.log_rmse,
        "level": result.level,
        "intervals": result.intervals,
        "profile_intervals": result.profile_intervals,
        "warnings": [*result.warnings, *([said] if said else [])],
        "seed": seed,
    }
    return LawFile(name, result.law, result.ensemble, record)


def dense_part(law_file: LawFile) -> LawFile:
    """A dense law as a joint law that sparsity neither helps nor harms, for dense plans.

    Nothing that it says of a sparse run means anything. Raises InputError for another form.
    """
    law, members = law_file.law, law_file.ensemble
    if not isinstance(law, DenseLaw):
        raise InputError(f"the law {law_file.name!r} is not a dense law")
    ensemble = _dense_joint(members) if isinstance(members, DenseLaw) else None
    return LawFile(law_file.name, _dense_joint(law), ensemble, law_file.record)


def _dense_joint(law: DenseLaw) -> JointLaw:
    zero = 0.0 * law.A
    return JointLaw(zero, zero + 1, law.A, law.alpha, law.B ** (1 / law.beta), law.beta, law.E)
