"""Forecasts of a part of a table by a law of the rest, what they demand, and the shipped scores."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache

import numpy as np

from simlib.analysis.predictions import Evaluation
from simlib.catalog import Catalog
from simlib.datasets.published import HeldOutRun
from simlib.errors import InputError
from simlib.fit import DEFAULT_OBJECTIVE, JOINT, AnyForm, Objective, fit_table
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import LEVEL
from simlib.laws.law import Array, Indices
from simlib.runs.cells import curve_index
from simlib.runs.expression import Expression
from simlib.runs.foreign import ESSENTIAL
from simlib.runs.table import RunTable
from simlib.simulate.forecast import Distance, allowed_misses, forecast


@dataclass(frozen=True)
class Score:
    """How forecasts fared against measurements of runs that were held out of the fit, as a record.

    All but the first are as in `Calibration`. `allowed` is None in scores that were made before it
    was counted.
    """

    fitted_runs: int
    predicted_runs: int
    level: float
    coverage: float
    bias: float
    rmse: float
    widen: float
    allowed: int | None = field(default=None, kw_only=True)

    @property
    def missed(self) -> int:
        """How many measurements lie outside their intervals."""
        return round((1 - self.coverage) * self.predicted_runs)


@dataclass(frozen=True)
class Calibration(Evaluation):
    """Forecasts of runs that were held out of a fit to `fitted_runs`, against measurements.

    `distance` is how far the runs lie outside the fitted ones, `allowed` how many misses chance
    allows; see `simlib.simulate.forecast`.
    """

    distance: Distance
    fitted_runs: int
    allowed: int

    @property
    def predicted_runs(self) -> int:
        """How many runs were held out."""
        return len(self)

    @property
    def score(self) -> Score:
        """The record of it."""
        own = {f.name: getattr(self, f.name) for f in fields(Score)}
        return Score(**own)


def calibrate(
    law_file: FittedLaw,
    runs: RunTable | HeldOutRun,
    *,
    level: float = LEVEL,
    noise: float | None = None,
    fitted_runs: int | None = None,
) -> Calibration:
    """Hold a law's forecasts against runs, or one run, that it has not seen.

    `fitted_runs` is what the law file records unless given. Raises InputError without any run.
    """
    S, N, D, measured = _columns(runs)
    if len(measured) == 0:
        raise InputError("there is no run to hold the forecasts against")
    found = forecast(law_file, S, N, D, level=level, noise=noise)
    fitted = law_file.runs if fitted_runs is None else fitted_runs
    return Calibration(
        found.loss,
        found.low,
        found.high,
        measured,
        level,
        found.distance,
        int(fitted),
        allowed_misses(law_file, S, N, D, found.low, found.high, noise=noise),
    )


def _columns(runs: RunTable | HeldOutRun) -> tuple[Array, Array, Array, Array]:
    if isinstance(runs, RunTable):
        runs = runs.finished
    columns = (runs.sparsity, runs.nonzero_params, runs.data_seen, runs.loss)
    S, N, D, L = (np.atleast_1d(np.asarray(column, dtype=float)) for column in columns)
    return S, N, D, L


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


def fit_some_predict_others(
    some: RunTable,
    others: RunTable,
    form: AnyForm = JOINT,
    objective: Objective = DEFAULT_OBJECTIVE,
    *,
    level: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
    name: str = "some",
    whole: bool = False,
) -> Calibration:
    """Fit some runs, forecast others, such as the `smaller_half` of a table the rest, and score it.

    With `whole` the ensemble draws curves of one sparsity and size whole. Raises InputError for
    runs that cannot identify the law.
    """
    clusters = curve_index(some.sparsity, some.nonzero_params) if whole else None
    law_file = fit_table(
        some, form, objective, name=name, resamples=resamples, seed=seed, clusters=clusters
    )
    return calibrate(law_file, others, level=level, fitted_runs=len(some.finished))


def parted(runs: RunTable, fitted: str) -> tuple[RunTable, RunTable]:
    """The runs for which an expression over the four columns of a fit is true, and the others.

    Raises InputError for what is no such expression, and where either part is empty.
    """
    runs = runs.finished
    columns = {name: list(map(str, getattr(runs, name).tolist())) for name in ESSENTIAL}
    true = Expression(fitted).values(columns, len(runs))
    if true.dtype != bool or true.all() or not true.any():
        raise InputError(
            f"{fitted!r:.80} has to be true for some runs and false for others, such as "
            "nonzero_params<1e9"
        )
    chosen = [
        [r for r, t in zip(runs, true, strict=True) if bool(t) is part] for part in (True, False)
    ]
    return RunTable(chosen[0]), RunTable(chosen[1])


@dataclass(frozen=True)
class ScoreFile:
    """A score with the name of its table, what of it was fitted, and how it was made.

    `share` is None where an expression, or another table, parts what is fitted from the rest.
    """

    name: str
    share: float | None
    made: dict[str, str]
    score: Score


CATALOG = Catalog(ScoreFile, "calibrations", "score")


@cache
def load_score(name: str) -> ScoreFile:
    """A shipped score by the name of its table, or one of the reader's own by path."""
    return CATALOG.load(name)


def demanded_widening(law_file: FittedLaw) -> float:
    """What the shipped score of a law's table demands of its intervals; 1 without a score."""
    table = law_file.table or ""
    if table not in CATALOG.names():
        return 1.0
    return load_score(table).score.widen
