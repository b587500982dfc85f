"""Predictions of runs before they are trained: by each form of a law, with intervals, as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

import numpy as np
from tqdm import tqdm

from simlib.errors import InputError
from simlib.fit import FORMS, Objective
from simlib.fit.compare import Target
from simlib.laws.lawfile import LawFile, coefficients, law_name
from simlib.runs.cells import curve_index
from simlib.runs.config import RunConfig
from simlib.runs.table import RunTable
from simlib.shelf import Shelf
from simlib.simulate.fitted import fit_law
from simlib.simulate.forecast import allowed_misses, forecast


@dataclass(frozen=True)
class FormInterval:
    """A form's loss of one run, in nats, and the interval that the run should fall in."""

    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class PredictedRun:
    """A run and what each form says of it; None where the form refuses to predict.

    `measured` is its loss where it was known when the file was made, but not used.
    """

    run_id: str
    sparsity: float
    nonzero_params: float
    data_seen: float
    forecasts: dict[str, FormInterval | None]
    measured: float | None = None


@dataclass(frozen=True)
class FittedForm:
    """A form's coefficients in raw units, the runs behind them, and its error on those runs."""

    runs: int
    log_rmse: float
    coefficients: dict[str, float]


@dataclass(frozen=True)
class Predictions:
    """Predictions of several runs, how they were made, and the forms that made them.

    `allowed` says for each form how many of the runs may miss their interval by chance; see
    `simlib.simulate.forecast.allowed_misses`.
    """

    name: str
    made: dict[str, str]
    level: float
    forms: dict[str, FittedForm]
    runs: tuple[PredictedRun, ...]
    allowed: dict[str, int] = field(default_factory=dict)


SHELF = Shelf(Predictions, "predictions", "file of predictions")
Laws: TypeAlias = Mapping[str, LawFile]


@cache
def load_predictions(name: str) -> Predictions:
    """Shipped predictions by the name of their grid, or the reader's own by path."""
    return SHELF.load(name)


def planned(configs: Sequence[RunConfig]) -> list[Target]:
    """The runs of a grid at the size that is built, which may miss the size asked for a little."""
    return [
        Target(
            c.run_id,
            c.sparsity,
            c.shape.dense_params * (1 - c.sparsity),
            c.total_steps * c.data_per_step,
        )
        for c in configs
    ]


def recorded(runs: RunTable) -> list[Target]:
    """The runs of a table, with the losses to hold the predictions against."""
    return [
        Target(r.run_id or f"run {i}", r.sparsity, r.nonzero_params, r.data_seen, r.loss)
        for i, r in enumerate(runs, start=1)
    ]


def fit_forms(
    runs: RunTable,
    forms: Sequence[str],
    objective: Objective,
    *,
    resamples: int,
    seed: int,
    whole: bool = False,
) -> dict[str, LawFile]:
    """Each form fitted to one table, with its ensemble, by name.

    With `whole` ensembles draw curves of one sparsity and size whole. Raises InputError for an
    unknown form or a table that cannot identify one of them.
    """
    runs = runs.finished
    clusters = curve_index(runs.sparsity, runs.nonzero_params) if whole else None

    def fitted(name: str) -> LawFile:
        return fit_law(
            runs,
            FORMS[name],
            objective,
            name=name,
            resamples=resamples,
            seed=seed,
            clusters=clusters,
        )

    unknown = [name for name in forms if name not in FORMS]
    if unknown:
        raise InputError(f"unknown form {unknown[0]!r}: choose from {', '.join(FORMS)}")
    bar = tqdm(forms, desc="forms", disable=None, leave=False)
    return {name: fitted(name) for name in bar}


def by_form(law_file: LawFile) -> dict[str, LawFile]:
    """A law under the name of its form."""
    return {law_name(law_file.law): law_file}


def predict(
    name: str, made: dict[str, str], laws: Laws, targets: Sequence[Target], level: float
) -> Predictions:
    """Predict every target by every law.

    The intervals join each law's ensemble with its residuals; see `simlib.simulate.forecast`.
    Raises InputError for a law without an ensemble and for a level outside (0, 1).
    """
    said = {form: _forecasts(law_file, targets, level) for form, law_file in laws.items()}
    runs = tuple(
        PredictedRun(
            t.name,
            t.sparsity,
            t.nonzero_params,
            t.data_seen,
            {form: found[i] for form, found in said.items()},
            t.measured,
        )
        for i, t in enumerate(targets)
    )
    allowed = {form: _allowed(laws[form], targets, found) for form, found in said.items()}
    return Predictions(name, made, level, {f: _fitted(laws[f]) for f in laws}, runs, allowed)


def _forecasts(
    law_file: LawFile, targets: Sequence[Target], level: float
) -> list[FormInterval | None]:
    return [_forecast(law_file, target, level) for target in targets]


def _forecast(law_file: LawFile, target: Target, level: float) -> FormInterval | None:
    point = (target.sparsity, target.nonzero_params, target.data_seen)
    try:
        law_file.law(*map(np.asarray, point))
    except InputError:  # a free multiplier, at a sparsity that was not measured
        return None
    found = forecast(law_file, *point, level=level)
    return FormInterval(float(found.loss), float(found.low), float(found.high))


def _allowed(
    law_file: LawFile, targets: Sequence[Target], found: Sequence[FormInterval | None]
) -> int:
    """Misses that chance allows among the targets that the form predicts."""
    known = [(t, f) for t, f in zip(targets, found, strict=True) if f is not None]
    if not known:
        return 0
    S, N, D, low, high = np.array(
        [(t.sparsity, t.nonzero_params, t.data_seen, f.low, f.high) for t, f in known]
    ).T
    return allowed_misses(law_file, S, N, D, low, high)


def _fitted(law_file: LawFile) -> FittedForm:
    record = law_file.record
    return FittedForm(int(record["runs"]), float(record["log_rmse"]), coefficients(law_file.law))
