"""Forecasts held against runs that the law has not seen, and what they demand of the intervals."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from simlib.datasets.published import HeldOutRun
from simlib.errors import InputError
from simlib.fit import DEFAULT_OBJECTIVE, JOINT, AnyForm, Objective
from simlib.laws.law import Array, Indices
from simlib.laws.lawfile import LawFile
from simlib.runs.cells import curve_index
from simlib.runs.table import RunTable
from simlib.simulate.fitted import fit_law
from simlib.simulate.forecast import Forecast, allowed_misses, forecast


@dataclass(frozen=True)
class Score:
    """How forecasts fared against measurements of runs that were kept out of the fit.

    `coverage` is the share of measurements inside their intervals of `level`, `bias` the mean and
    `rmse` the root mean square of log(predicted / measured). `widen` is the factor by which
    intervals must be stretched about the forecast (on the log scale) to hold `level` of these
    runs, at least 1: the ceil((n + 1) level)-th smallest ratio of a run's miss to its half-interval
    on that side, or the largest where n is too small for that (split conformal prediction, Lei et
    al. 2018, arXiv 1604.04173, with the half-interval as the scale). It is exact for
    runs exchangeable with these; runs farther out are not, so it is a floor for them. `allowed` is
    how many misses chance allows, see `simlib.simulate.forecast.allowed_misses`; None in scores
    that were made before it was counted.
    """

    fitted_runs: int
    predicted_runs: int
    level: float
    coverage: float
    bias: float
    rmse: float
    widen: float
    allowed: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Calibration(Score):
    """A score with the forecasts and measurements behind it, arrays of shape (runs,)."""

    forecast: Forecast
    measured: Array

    @property
    def ratios(self) -> Array:
        """Each run's miss over its half-interval on that side; above 1 is outside."""
        return _ratios(self.forecast, self.measured)


def calibrate(
    law_file: LawFile,
    runs: RunTable,
    *,
    level: float = 0.9,
    noise: float | None = None,
    fitted_runs: int = 0,
) -> Calibration:
    """Hold a law's forecasts against runs it has not seen. Raises InputError without any run."""
    runs = runs.finished
    if len(runs) == 0:
        raise InputError("there is no run to hold the forecasts against")
    points = runs.sparsity, runs.nonzero_params, runs.data_seen
    found = forecast(law_file, *points, level=level, noise=noise)
    allowed = allowed_misses(law_file, *points, found.low, found.high, noise=noise)
    return _score(found, runs.loss, level, fitted_runs, allowed)


def calibrate_run(law_file: LawFile, run: HeldOutRun, level: float = 0.9) -> Calibration:
    """Hold a law's forecast against one measured run."""
    points = [run.sparsity], [run.nonzero_params], [run.data_seen]
    found = forecast(law_file, *points, level=level)
    allowed = allowed_misses(law_file, *points, found.low, found.high)
    fitted = int(law_file.record.get("runs", 0))
    return _score(found, np.array([run.loss]), level, fitted, allowed)


def smaller_half(runs: RunTable, share: float = 0.5) -> tuple[RunTable, RunTable]:
    """The runs of least N D, a `share` of the table, and the others."""
    if not 0 < share < 1:
        raise InputError(f"the share of runs to fit lies in (0, 1), got {share}")
    runs = runs.finished
    order: Indices = np.argsort(runs.nonzero_params * runs.data_seen, kind="stable")
    cut = round(share * len(runs))
    return (
        RunTable(runs.records[i] for i in order[:cut]),
        RunTable(runs.records[i] for i in order[cut:]),
    )


def fit_small_predict_large(
    runs: RunTable,
    form: AnyForm = JOINT,
    objective: Objective = DEFAULT_OBJECTIVE,
    *,
    share: float = 0.5,
    level: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
    name: str = "half",
    whole: bool = False,
) -> Calibration:
    """Fit the smaller part of a table, forecast the rest, and score it.

    With `whole` the ensemble draws curves of one sparsity and size whole. Raises InputError for a
    part that cannot identify the law.
    """
    small, large = smaller_half(runs, share)
    clusters = curve_index(small.sparsity, small.nonzero_params) if whole else None
    law_file = fit_law(
        small, form, objective, name=name, resamples=resamples, seed=seed, clusters=clusters
    )
    return calibrate(law_file, large, level=level, fitted_runs=len(small))


def _score(
    found: Forecast, measured: Array, level: float, fitted_runs: int, allowed: int
) -> Calibration:
    miss = np.log(found.loss / measured)
    ratios = np.sort(_ratios(found, measured))
    rank = min(int(np.ceil((len(ratios) + 1) * level)), len(ratios))
    return Calibration(
        fitted_runs,
        len(ratios),
        level,
        float((ratios <= 1).mean()),
        float(miss.mean()),
        float(np.sqrt((miss**2).mean())),
        max(float(ratios[rank - 1]), 1.0),
        found,
        measured,
        allowed=allowed,
    )


def _ratios(found: Forecast, measured: Array) -> Array:
    miss = np.log(measured / found.loss)
    above, below = np.log(found.high / found.loss), np.log(found.loss / found.low)
    return np.where(miss >= 0, miss / above, -miss / below)
