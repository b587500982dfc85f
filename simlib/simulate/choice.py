"""Which of given runs to train for a budget: rows of a table, chosen before their losses are known.

A run at (S, N, D) tells of the coefficients through the slope of its log loss, so a law that is
believed beforehand says what any set of runs would tell (Fisher information). A D-optimal choice
makes the ellipsoid of the coefficients small (Wald 1943), a V-optimal one the mean variance of the
predictions at given runs (Fedorov 1972). Each coefficient has a normal prior, so that sets too
small to identify the law can be told apart, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simlib.errors import InputError
from simlib.fit.observations import Observations
from simlib.laws.form import AnyForm, Form, Units
from simlib.laws.law import Array, Indices, Law
from simlib.runs.expression import Expression, numbers
from simlib.runs.table import RunTable

PRIOR = 1.0  # standard deviation of each entry of theta: the log of an amplitude, an exponent
BETTER = 1e-9  # by which an exchange has to lower the score
PASSES = 10  # over all chosen rows, at most
PRICE = "6*nonzero_params*data_seen"  # FLOP of a run, as everywhere
PRICED = ("sparsity", "nonzero_params", "data_seen", "flops")  # columns that a price may use


def prices(runs: RunTable, price: str = PRICE) -> Array:
    """What each run costs, (runs,), by an expression over its sparsity, size, data and flops.

    Raises InputError for what is no such expression, and for a cost that is not positive.
    """
    columns = {name: list(map(str, runs.column(name))) for name in PRICED}
    found = Expression(price).values(columns, len(runs))
    costs = numbers(found) if found.dtype != bool else np.zeros(len(runs))
    if not (np.isfinite(costs) & (costs > 0)).all():
        raise InputError(f"{price!r:.80} has to be a positive cost in every row, such as {PRICE}")
    return np.asarray(costs)


def slopes(form: AnyForm, law: Law, runs: Observations, units: Units) -> Array:
    """Slope of each run's log loss along theta, (runs, k), where the law is `law`.

    Raises InputError for a form whose every coefficient is not an entry of theta.
    """
    if not isinstance(form, Form):
        raise InputError(
            f"no runs are chosen for the {form.name} law, as one of its coefficients stands in no "
            "term of a sum: choose them for another form, such as joint"
        )
    theta = form.from_law(law, units)
    design = form.design(runs.sparsity, runs.nonzero_params, runs.data_seen, units)
    parts = np.exp(design @ theta)
    return np.asarray(np.einsum("rt,rtk->rk", parts / parts.sum(axis=1, keepdims=True), design))


@dataclass(frozen=True)
class RowChoice:
    """Rows that can be had, in units of the noise, and what makes a set of them good.

    `slopes` (rows, k) are those of log loss over its noise, `costs` (rows,) what each row costs,
    `targets` (k, k) the mean outer product of the slopes at the runs to predict: V-optimal; without
    them the choice is D-optimal.
    """

    slopes: Array
    costs: Array
    targets: Array | None = None

    def score(self, rows: Sequence[int] | Indices) -> float:
        """What is to be made small: mean variance at the targets, or log determinant, of a set."""
        return self._value(self._covariance(rows))

    def best(self, budget: float, kept: Sequence[int] = ()) -> list[int]:
        """A set of rows that costs the budget at most, `kept` among them, in rising order.

        Rows are added one by one, by what they gain and by what they gain a unit of cost; the
        better of both sets is then improved by exchanges until none helps, which ends at the best
        of all sets in small tables (`tests/simulate/test_choice.py`). Raises InputError for a
        budget that buys no row.
        """
        if not np.isfinite(budget) or self.costs.min() > budget:
            raise InputError(
                f"a budget of {budget:g} buys no run: the cheapest costs {self.costs.min():g}"
            )
        filled = [self._filled(list(kept), budget, by_cost) for by_cost in (False, True)]
        rows = min(filled, key=self.score)
        score = self.score(rows)
        for _ in range(PASSES):
            before = score
            for row in [r for r in rows if r not in set(kept)]:
                rest = [r for r in rows if r != row]
                for by_cost in (False, True):
                    other = self._filled(rest, budget, by_cost)
                    if (found := self.score(other)) < score - BETTER * abs(score):
                        rows, score = other, found
                        break
            if score == before:
                break
        return sorted(rows)

    def _covariance(self, rows: Sequence[int] | Indices) -> Array:
        chosen = self.slopes[np.asarray(rows, dtype=int)]
        return np.asarray(np.linalg.inv(chosen.T @ chosen + np.eye(chosen.shape[1]) / PRIOR**2))

    def _value(self, covariance: Array) -> float:
        if self.targets is None:
            return float(np.linalg.slogdet(covariance)[1])
        return float((covariance * self.targets).sum())

    def _filled(self, rows: list[int], budget: float, by_cost: bool) -> list[int]:
        """The set with more rows, each the one that lowers the score most, until none fits."""
        rows = list(rows)
        covariance = self._covariance(rows)
        free = np.ones(len(self.costs), dtype=bool)
        free[rows] = False
        left = budget - self.costs[~free].sum()
        while (free & (self.costs <= left)).any():
            moved = self.slopes @ covariance
            spread = 1 + (moved * self.slopes).sum(axis=1)
            if self.targets is None:
                gain = np.log(spread)
            else:
                gain = np.einsum("rj,jk,rk->r", moved, self.targets, moved) / spread
            gain = np.where(free & (self.costs <= left), gain / self.costs**by_cost, -np.inf)
            row = int(np.argmax(gain))
            covariance = covariance - np.outer(moved[row], moved[row]) / spread[row]
            rows.append(row)
            free[row] = False
            left -= self.costs[row]
        return rows


def choose(
    runs: Observations,
    costs: Array,
    budget: float,
    form: AnyForm,
    believed: Law,
    noise: float,
    *,
    predict: Observations | None = None,
    kept: Sequence[int] = (),
) -> list[int]:
    """Rows of `runs` to train for a budget, if `believed` were the law; losses are not looked at.

    V-optimal for the runs of `predict`, D-optimal without them. `noise` is the standard deviation
    of log loss, `kept` are rows that are paid for already. Raises InputError for a noise that is
    not positive, a budget that buys no row, and a form that is not made for it.
    """
    if not (np.isfinite(noise) and noise > 0):
        raise InputError(f"the noise of log loss must be positive and finite, got {noise}")
    units = Units.of(runs.nonzero_params, runs.data_seen)
    targets = None
    if predict is not None:
        at = slopes(form, believed, predict, units)
        targets = at.T @ at / len(at)
    return RowChoice(slopes(form, believed, runs, units) / noise, costs, targets).best(budget, kept)
