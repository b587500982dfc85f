"""Predictions held against what was measured: by each form, how often and how far it missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from simlib.analysis.predictions import FormInterval, PredictedRun, Predictions
from simlib.datasets import load_runs, table_names
from simlib.errors import InputError
from simlib.laws.law import Array
from simlib.runs.table import RunTable

RARE = 0.05  # probability below which a number of misses is not put down to chance


@dataclass(frozen=True)
class Held:
    """What one form said of the runs that it predicts, in arrays of shape (runs,)."""

    form: str
    runs: tuple[PredictedRun, ...]
    loss: Array
    low: Array
    high: Array
    measured: Array

    @property
    def miss(self) -> Array:
        """`ln(predicted / measured)`: above zero the run was better than predicted."""
        return np.asarray(np.log(self.loss / self.measured))

    @property
    def inside(self) -> int:
        """How many measured losses lie in their interval."""
        return int(((self.low <= self.measured) & (self.measured <= self.high)).sum())

    @property
    def bias(self) -> float:
        """Mean of `miss`."""
        return float(self.miss.mean())

    @property
    def rmse(self) -> float:
        """Root mean square of `miss`."""
        return float(np.sqrt((self.miss**2).mean()))

    @property
    def width(self) -> float:
        """Mean of ln(high / low)."""
        return float(np.log(self.high / self.low).mean())


def measured_losses(predictions: Predictions, runs: RunTable | None = None) -> dict[str, float]:
    """Losses by run_id: those of the file, and of a table trained since; diverged runs have none.

    Without `runs` the shipped table of the predictions' name is taken, if there is one.
    """
    if runs is None:
        shipped = predictions.name in table_names()
        runs = load_runs(predictions.name) if shipped else RunTable([])
    known = {r.run_id: r.measured for r in predictions.runs if r.measured is not None}
    return known | {r.run_id: r.loss for r in runs.finished}


def held(predictions: Predictions, losses: Mapping[str, float]) -> list[Held]:
    """Every form against the runs that were measured and that it predicts, in the file's order.

    Empty where nothing was measured yet.
    """
    found = []
    for form in predictions.forms:
        said = [
            (run, interval, losses[run.run_id])
            for run in predictions.runs
            if run.run_id in losses and (interval := run.forecasts.get(form)) is not None
        ]
        if said:
            found.append(_held(form, said))
    return found


def _held(form: str, said: Sequence[tuple[PredictedRun, FormInterval, float]]) -> Held:
    loss, low, high, measured = np.array([(i.loss, i.low, i.high, y) for _, i, y in said]).T
    return Held(form, tuple(run for run, _, _ in said), loss, low, high, measured)


def coverage(row: Held, level: float) -> str:
    """Whether as many runs lie inside as intervals of `level` promise, or fewer.

    Fewer means that so few, or less, would be inside in under 5 % of tables of independent runs.
    """
    rare = float(binom.cdf(row.inside, len(row.runs), level)) < RARE
    return "fewer than" if rare else "no fewer than"


def judged(predictions: Predictions, runs: RunTable, form: str = "joint") -> Held:
    """All runs that a form predicted, against what was measured of them.

    Raises InputError where one has not been trained, or the form does not predict it.
    """
    row = chosen(held(predictions, measured_losses(predictions, runs)), form)
    if len(row.runs) < len(predictions.runs):
        left = len(predictions.runs) - len(row.runs)
        raise InputError(
            f"{left} of the {len(predictions.runs)} runs that were predicted have no "
            "measured loss or no prediction"
        )
    return row


def allowed(predictions: Predictions, row: Held) -> int:
    """How many runs of a form may miss their intervals by chance, in 9 of 10 sets of runs.

    As the file says, which knows what errors are common to all runs; for one that says nothing, as
    if every run erred alone.
    """
    alone = int(binom.ppf(0.9, len(row.runs), 1 - predictions.level))
    return predictions.allowed.get(row.form, alone)


def best_forms(found: Sequence[Held], tie: float) -> list[Held]:
    """Forms whose error is within a share `tie` of the least, best first.

    Forms that left out runs which another predicts are no candidates. Raises InputError for none.
    """
    if not found:
        raise InputError("nothing was measured of these predictions, so no form can be the best")
    most = max(len(h.runs) for h in found)
    whole = sorted((h for h in found if len(h.runs) == most), key=lambda h: h.rmse)
    return [h for h in whole if h.rmse <= whole[0].rmse * (1 + tie)]


def chosen(found: Sequence[Held], form: str) -> Held:
    """One form's row. Raises InputError for a form that predicts none of the runs."""
    for row in found:
        if row.form == form:
            return row
    known = ", ".join(h.form for h in found) or "none"
    raise InputError(f"the form {form!r} predicts none of the measured runs; there are {known}")


def reach(predictions: Predictions, fitted: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """How far the predicted runs lie beyond the fitted ones: greatest value over greatest value.

    `fitted` holds least and greatest value by field, as law files record them.
    """
    return {
        name: max(getattr(run, name) for run in predictions.runs) / high
        for name, (_, high) in fitted.items()
        if name in ("nonzero_params", "data_seen")
    }
