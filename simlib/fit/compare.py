"""Forms of a law side by side on one table: in sample, out of sample, and against wider forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from simlib.errors import InputError
from simlib.fit import FORMS, fit
from simlib.fit.diagnosis import FittedLaw
from simlib.fit.holdout import Holdout, residuals, splits, summarise
from simlib.fit.nested import NESTINGS, NestedTest, Nesting, nested_test
from simlib.fit.objective import DEFAULT_OBJECTIVE, Objective
from simlib.fit.observations import Observations
from simlib.fit.profile import Interval
from simlib.laws.form import AnyForm
from simlib.laws.intervals import quantile_ends
from simlib.laws.law import Array, Bools
from simlib.runs.cells import Columns

COMPARED = tuple(name for name in FORMS if name not in ("dense", "fixed-data", "bits"))


@dataclass(frozen=True)
class TargetForecast:
    """A form's prediction of a run beyond the table, and the measured loss.

    `interval` is the confidence interval of the law's mean: it holds what resampled runs say of the
    coefficients, and knows nothing of a run's own noise or of errors of the form. `loss` is None
    where the law refuses to predict.
    """

    name: str
    sparsity: float
    nonzero_params: float
    data_seen: float
    loss: float | None
    interval: Interval | None
    measured: float | None


@dataclass(frozen=True)
class Assessment:
    """One form on one table.

    `aicc` and `bic` take the log residuals for Laplace distributed around the fitted law, whose
    scale is their mean size and counts as one more parameter.
    """

    form: str
    parameters: int
    objective: float
    status: str
    agreeing: float
    log_rmse: float
    aicc: float | None
    bic: float
    coefficients: dict[str, float]
    intervals: dict[str, Interval]
    holdouts: tuple[Holdout, ...]
    forecasts: tuple[TargetForecast, ...]
    warnings: tuple[str, ...]

    def holdout(self, name: str) -> Holdout:
        """The held-out errors of one kind."""
        return next(h for h in self.holdouts if h.name == name)


@dataclass(frozen=True)
class Comparison:
    """All forms on one table, and the tests of the joint law and its wider forms.

    `refused` says of each form that the table cannot identify why.
    """

    runs: int
    objective: Objective
    level: float
    resamples: int
    seed: int
    assessments: tuple[Assessment, ...]
    tests: tuple[NestedTest, ...]
    untested: dict[str, str]
    refused: dict[str, str] = field(default_factory=dict)

    def assessment(self, form: str) -> Assessment:
        """One form's row. Raises InputError for a form that was not compared."""
        for found in self.assessments:
            if found.form == form:
                return found
        known = ", ".join(a.form for a in self.assessments)
        raise InputError(f"the form {form!r} was not compared; there are {known}")


@dataclass(frozen=True)
class Target:
    """A run beyond the table to be predicted; `measured` is its loss, if it is known."""

    name: str
    sparsity: float
    nonzero_params: float
    data_seen: float
    measured: float | None = None


def compare(
    runs: Observations,
    forms: Sequence[str] = COMPARED,
    objective: Objective = DEFAULT_OBJECTIVE,
    *,
    targets: Sequence[Target] = (),
    nestings: Sequence[Nesting] = NESTINGS,
    resamples: int = 1000,
    starts: int = 25,
    level: float = 0.9,
    seed: int = 0,
) -> Comparison:
    """Fit every form to one table, predict what is held out of it, and test the wider forms.

    `forms` are names in `simlib.fit.FORMS`. `resamples` is the size of the ensembles and the number
    of tables behind each p-value; 0 leaves out both. Raises InputError for an unknown form or a
    table that can identify none of the forms. A form that it cannot identify is named in
    `refused`, a wider form that cannot be tested in `untested`.
    """
    unknown = [name for name in forms if name not in FORMS]
    if unknown:
        raise InputError(f"unknown form {unknown[0]!r}: choose from {', '.join(COMPARED)}")
    columns = Columns.of(runs)
    assessments, refused = [], {}
    for name in tqdm(forms, desc="forms", disable=None, leave=False):
        try:
            assessments.append(
                _assess(columns, FORMS[name], objective, targets, resamples, starts, level, seed)
            )
        except InputError as refusal:
            refused[name] = str(refusal)
    if not assessments:
        raise InputError("; ".join(dict.fromkeys(refused.values())) or "no form to compare")
    tests, untested = [], {}
    for nesting in tqdm(nestings if resamples else (), desc="tests", disable=None, leave=False):
        try:
            tests.append(
                nested_test(
                    columns, nesting, objective, starts=starts, resamples=resamples, seed=seed
                )
            )
        except InputError as refusal:
            untested[nesting.name] = str(refusal)
    return Comparison(
        len(columns.loss),
        objective,
        level,
        resamples,
        seed,
        tuple(assessments),
        tuple(tests),
        untested,
        refused,
    )


def _assess(
    runs: Columns,
    form: AnyForm,
    objective: Objective,
    targets: Sequence[Target],
    resamples: int,
    starts: int,
    level: float,
    seed: int,
) -> Assessment:
    result = fit(
        runs,
        form,
        objective,
        starts=starts,
        resamples=resamples,
        profile_resamples=0,
        level=level,
        seed=seed,
    )

    def errors(held_out: list[Bools]) -> Iterator[Array]:
        for out in held_out:
            found = fit(
                runs.where(~out),
                form,
                objective,
                starts=starts,
                resamples=0,
                profile_resamples=0,
                seed=seed,
            )
            yield residuals(found.law, runs.where(out))

    aicc, bic = criteria(residuals(result.law, runs), len(result.law.names()))
    return Assessment(
        form=form.name,
        parameters=len(result.law.names()),
        objective=result.value,
        status=str(result.status),
        agreeing=result.agreeing,
        log_rmse=result.log_rmse,
        aicc=aicc,
        bic=bic,
        coefficients=result.coefficients,
        intervals=result.intervals,
        holdouts=tuple(
            summarise(name, errors(masks), int(sum(mask.sum() for mask in masks)))
            for name, masks in splits(runs).items()
        ),
        forecasts=tuple(_forecast(result, target) for target in targets),
        warnings=tuple(result.warnings),
    )


def criteria(residual: Array, parameters: int) -> tuple[float | None, float]:
    """AICc and BIC of log residuals under a Laplace distribution with its scale fitted, too.

    `-2 ln L = 2 n (1 + ln(2 mean|r|))` at the given residuals; AICc as in Hurvich & Tsai 1989
    (doi 10.1093/biomet/76.2.297), None where there are too few runs for it.
    """
    n, k = len(residual), parameters + 1
    deviance = 2 * n * (1 + np.log(2 * np.maximum(np.abs(residual).mean(), 1e-300)))
    bic = float(deviance + k * np.log(n))
    if n <= k + 1:
        return None, bic
    return float(deviance + 2 * k + 2 * k * (k + 1) / (n - k - 1)), bic


def _forecast(result: FittedLaw, target: Target) -> TargetForecast:
    point = (target.sparsity, target.nonzero_params, target.data_seen)
    try:
        loss: float | None = float(result.law(*point))
    except InputError:
        loss = None
    interval: Interval | None = None
    if result.ensemble is not None and loss is not None:
        interval = quantile_ends(result.ensemble(*point), result.level)
    return TargetForecast(target.name, *point, loss, interval, target.measured)
