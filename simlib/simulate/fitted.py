"""A run table fitted and kept as a law file in memory, ready for forecasts and plans."""

from __future__ import annotations

from simlib.fit import DEFAULT_OBJECTIVE, JOINT, AnyForm, Objective, fit
from simlib.lawfile import LawFile
from simlib.runs import RunTable
from simlib.simulate.virtual import simulated_warning


def fit_law(
    runs: RunTable, form: AnyForm = JOINT, objective: Objective = DEFAULT_OBJECTIVE, *,
    name: str = "yours", resamples: int = 400, profile_resamples: int = 0, seed: int = 0,
) -> LawFile:  # fmt: skip
    """The law of a run table with its ensemble, range, residual noise, intervals and warnings.

    Raises InputError for a table that cannot identify the form.
    """
    runs = runs.finished
    result = fit(runs, form, objective, resamples=resamples, profile_resamples=profile_resamples,
                 seed=seed)  # fmt: skip
    columns = {n: getattr(runs, n) for n in ("sparsity", "nonzero_params", "data_seen")}
    said = simulated_warning(runs)
    record = {
        "runs": len(runs),
        "range": {n: [float(v.min()), float(v.max())] for n, v in columns.items()},
        "objective": result.value,
        "status": result.status,
        "log_rmse": result.log_rmse,
        "level": result.level,
        "intervals": result.intervals,
        "profile_intervals": result.profile_intervals,
        "warnings": [*result.warnings, *([said] if said else [])],
        "seed": seed,
    }
    return LawFile(name, result.law, result.ensemble, record)
