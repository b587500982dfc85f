"""Predictions of runs, with prediction intervals, and how they fared against what was measured.

A law, or each of several forms of one, says what loss a run will have and where it should fall; the
file is written before the runs are trained. An `Evaluation` holds such predictions against
measurements: whatever counts hits, misses and errors of predictions counts them there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

import numpy as np
from tqdm import tqdm

from simlib.catalog import Catalog
from simlib.datasets import load_runs, table_names
from simlib.errors import InputError
from simlib.fit import FORMS, Objective, fit_table
from simlib.fit.compare import Target
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import Array
from simlib.runs.cells import curve_index
from simlib.runs.config import RunConfig
from simlib.runs.table import RunTable
from simlib.simulate.forecast import allowed_misses, forecast

RARE = 0.05  # probability below which a number of misses is not put down to chance
MOST_TABLES = 0.9  # share of sets of runs that have no more misses than chance is said to allow


@dataclass(frozen=True)
class Evaluation:
    """Predicted losses and prediction intervals of `level`, held against measured losses.

    Arrays of shape (runs,), in nats.
    """

    loss: Array
    low: Array
    high: Array
    measured: Array
    level: float

    def __len__(self) -> int:
        return len(self.measured)

    @property
    def error(self) -> Array:
        """`ln(predicted / measured)`: above zero the run was better than predicted, (runs,)."""
        return np.asarray(np.log(self.loss / self.measured))

    @property
    def bias(self) -> float:
        """Mean error."""
        return float(self.error.mean())

    @property
    def rmse(self) -> float:
        """Root mean square of the errors."""
        return float(np.sqrt((self.error**2).mean()))

    @property
    def inside(self) -> int:
        """How many measured losses lie in their interval."""
        return int(((self.low <= self.measured) & (self.measured <= self.high)).sum())

    @property
    def coverage(self) -> float:
        """The share of them."""
        return self.inside / len(self)

    @property
    def missed(self) -> int:
        """How many measured losses lie outside their interval."""
        return len(self) - self.inside

    @property
    def width(self) -> float:
        """Mean of ln(high / low)."""
        return float(np.log(self.high / self.low).mean())

    @property
    def ratios(self) -> Array:
        """Each error over the half-interval on that side; above 1 is outside, (runs,)."""
        above, below = np.log(self.high / self.loss), np.log(self.loss / self.low)
        off = np.log(self.measured / self.loss)
        return np.where(off >= 0, off / above, -off / below)

    @property
    def widen(self) -> float:
        """By how much intervals must be widened to hold `level` of these runs, at least 1.

        About the prediction, on the log scale: the ceil((n + 1) level)-th smallest ratio, or the
        largest where n is too small for that (split conformal prediction, Lei et al. 2018, arXiv
        1604.04173, with the half-interval as the scale). Exact for runs exchangeable with these;
        runs farther out are not, so it is a floor for them.
        """
        ratios = np.sort(self.ratios)
        rank = min(int(np.ceil((len(ratios) + 1) * self.level)), len(ratios))
        return max(float(ratios[rank - 1]), 1.0)


@dataclass(frozen=True)
class FormEvaluation(Evaluation):
    """An evaluation of what one form said of the runs that it predicts."""

    form: str
    runs: tuple[PredictedRun, ...]


@dataclass(frozen=True)
class FormPrediction:
    """A form's loss of one run, in nats, and the prediction interval, which it should fall in."""

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
    forecasts: dict[str, FormPrediction | None]
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


CATALOG = Catalog(Predictions, "predictions", "file of predictions")
Laws: TypeAlias = Mapping[str, FittedLaw]


@cache
def load_predictions(name: str) -> Predictions:
    """Shipped predictions by the name of their grid, or the reader's own by path."""
    return CATALOG.load(name)


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
) -> dict[str, FittedLaw]:
    """Each form fitted to one table, with its ensemble, by name.

    With `whole` ensembles draw curves of one sparsity and size whole. Raises InputError for an
    unknown form or a table that cannot identify one of them.
    """
    runs = runs.finished
    clusters = curve_index(runs.sparsity, runs.nonzero_params) if whole else None

    def fitted(name: str) -> FittedLaw:
        return fit_table(
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


def by_form(law_file: FittedLaw) -> dict[str, FittedLaw]:
    """A law under the name of its form."""
    return {law_file.form: law_file}


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
    law_file: FittedLaw, targets: Sequence[Target], level: float
) -> list[FormPrediction | None]:
    return [_forecast(law_file, target, level) for target in targets]


def _forecast(law_file: FittedLaw, target: Target, level: float) -> FormPrediction | None:
    point = (target.sparsity, target.nonzero_params, target.data_seen)
    try:
        law_file.law(*map(np.asarray, point))
    except InputError:  # a free multiplier, at a sparsity that was not measured
        return None
    found = forecast(law_file, *point, level=level)
    return FormPrediction(float(found.loss), float(found.low), float(found.high))


def _allowed(
    law_file: FittedLaw, targets: Sequence[Target], found: Sequence[FormPrediction | None]
) -> int:
    """Misses that chance allows among the targets that the form predicts."""
    known = [(t, f) for t, f in zip(targets, found, strict=True) if f is not None]
    if not known:
        return 0
    S, N, D, low, high = np.array(
        [(t.sparsity, t.nonzero_params, t.data_seen, f.low, f.high) for t, f in known]
    ).T
    return allowed_misses(law_file, S, N, D, low, high)


def _fitted(law_file: FittedLaw) -> FittedForm:
    return FittedForm(law_file.runs, law_file.log_rmse, law_file.coefficients)


def measured_losses(predictions: Predictions, runs: RunTable | None = None) -> dict[str, float]:
    """Losses by run_id: those of the file, and of a table trained since; diverged runs have none.

    Without `runs` the shipped table of the predictions' name is taken, if there is one.
    """
    if runs is None:
        shipped = predictions.name in table_names()
        runs = load_runs(predictions.name) if shipped else RunTable([])
    known = {r.run_id: r.measured for r in predictions.runs if r.measured is not None}
    return known | {r.run_id: r.loss for r in runs.finished}


def evaluate(predictions: Predictions, losses: Mapping[str, float]) -> list[FormEvaluation]:
    """Every form against the runs that were measured and that it predicts, in the file's order.

    Empty where nothing was measured yet.
    """
    found = []
    for form in predictions.forms:
        said = [
            (run, prediction, losses[run.run_id])
            for run in predictions.runs
            if run.run_id in losses and (prediction := run.forecasts.get(form)) is not None
        ]
        if said:
            loss, low, high, measured = np.array([(p.loss, p.low, p.high, y) for _, p, y in said]).T
            runs = tuple(run for run, _, _ in said)
            row = FormEvaluation(loss, low, high, measured, predictions.level, form, runs)
            found.append(row)
    return found


def coverage_verdict(found: Evaluation) -> str:
    """Whether as many runs lie inside as their intervals promise, or fewer.

    Fewer means that so few, or less, would be inside in under 5% of tables of independent runs.
    """
    from scipy.stats import binom  # here: it takes long to import

    rare = float(binom.cdf(found.inside, len(found), found.level)) < RARE
    return "fewer than" if rare else "no fewer than"


def judged(predictions: Predictions, runs: RunTable, form: str = "joint") -> FormEvaluation:
    """All runs that a form predicted, against what was measured of them.

    Raises InputError where one has not been trained, or the form does not predict it.
    """
    row = chosen(evaluate(predictions, measured_losses(predictions, runs)), form)
    left = len(predictions.runs) - len(row)
    if left:
        raise InputError(
            f"{left} of the {len(predictions.runs)} runs that were predicted have no "
            "measured loss or no prediction"
        )
    return row


def allowed(predictions: Predictions, row: FormEvaluation) -> int:
    """How many runs of a form may miss their intervals by chance, in 9 of 10 sets of runs.

    As the file says, which knows what errors are common to all runs; for one that says nothing, as
    if every run erred alone.
    """
    from scipy.stats import binom  # here: it takes long to import

    alone = int(binom.ppf(MOST_TABLES, len(row), 1 - row.level))
    return predictions.allowed.get(row.form, alone)


def best_forms(found: Sequence[FormEvaluation], tie: float) -> list[FormEvaluation]:
    """Forms whose error is within a share `tie` of the least, best first.

    Forms that left out runs which another predicts are no candidates. Raises InputError for none.
    """
    if not found:
        raise InputError("nothing was measured of these predictions, so no form can be the best")
    most = max(len(h) for h in found)
    whole = sorted((h for h in found if len(h) == most), key=lambda h: h.rmse)
    return [h for h in whole if h.rmse <= whole[0].rmse * (1 + tie)]


def chosen(found: Sequence[FormEvaluation], form: str) -> FormEvaluation:
    """One form's row. Raises InputError for a form that predicts none of the runs."""
    for row in found:
        if row.form == form:
            return row
    known = ", ".join(h.form for h in found) or "none"
    raise InputError(f"the form {form!r} predicts none of the measured runs; there are {known}")
