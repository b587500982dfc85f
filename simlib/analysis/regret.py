"""What choosing which runs to train costs: errors on held-out runs, by how the runs were chosen.

The rules, written before any result was seen:

- A budget is a share of what all candidate rows cost together. Every design obeys it.
- *Random*: rows in random order, each taken if it still fits. *Cheapest*: rows by rising cost.
- *D-optimal* and *V-optimal* (`simlib.simulate.choice`): a third of the budget is spent on rows
  that are best if the law of the authors' T5 runs were true, which knows none of these tables. Then
  the law is fitted to the rows chosen so far, and where that fit converged inside its bounds it
  takes the place of the belief for the next third. V-optimal is told which runs will be predicted,
  never their losses; it is what `simlib design --candidates --on` recommends, in three rounds.
- The law is fitted to the chosen rows by the house's solver. The error is the root mean square of
  log(predicted) - log(measured) over the held-out runs; rows that cannot identify the law have none
  and count as the worst.
- The regret of a design is its error above that of the fit to all candidates. A design beats chance
  at a budget where its error is below those of 95 % of the random draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simlib.catalog import Catalog
from simlib.errors import InputError
from simlib.fit import DENSE, FORMS, JOINT, fit
from simlib.fit.fittedlaw import FittedLaw
from simlib.fit.holdout import residuals
from simlib.laws.extensions import FIXED_DATA, FixedDataLaw
from simlib.laws.form import AnyForm
from simlib.laws.law import Array, JointLaw, Law
from simlib.runs.cells import Columns
from simlib.simulate.choice import choose
from simlib.simulate.forecast import residual_noise

RANDOM, CHEAPEST, D_OPTIMAL, V_OPTIMAL = DESIGNS = ("random", "cheapest", "D-optimal", "V-optimal")
BELIEF = "t5-c4-refit"
ROUNDS = 3  # of equal shares of the budget, with a fit after each
DRAWS = 200  # of random designs
CHANCE = 0.05  # share of random draws that a design may fail to beat and still beat chance


@dataclass(frozen=True)
class Case:
    """A table of candidates, the table to predict, the form, and budgets as ScaleBench has them.

    `price` is an expression of `simlib.simulate.choice.prices`.
    """

    candidates: str
    predict: str
    form: str
    price: str
    shares: tuple[float, ...]


CASES = (
    Case("scalebench-sparsity", "scalebench-sparsity-test", "joint", "flops", (0.2, 0.35, 0.5)),
    Case(
        *("scalebench-moe", "scalebench-moe-test", "fixed-data"),
        *("nonzero_params/(1-sparsity)", (0.01, 0.05, 0.1)),
    ),
    Case("farseer", "farseer-test", "dense", "6*nonzero_params*data_seen", (0.01, 0.05, 0.1)),
)


@dataclass(frozen=True)
class Outcome:
    """One set of rows, its cost, and how the law fitted to it predicts the held-out runs.

    `error` is None where the rows do not identify the law. `r2` is the coefficient of determination
    of the loss, cut off at -1 and -1 without a law, as ScaleBench has it.
    """

    design: str
    runs: int
    cost: float
    error: float | None
    r2: float


@dataclass(frozen=True)
class AtBudget:
    """All designs at one budget, `share` of what all candidates cost; `random` holds every draw."""

    share: float
    budget: float
    designs: tuple[Outcome, ...]
    random: tuple[Outcome, ...]

    def quantile(self, q: float) -> float:
        """A quantile of the errors of random draws; infinite where too few identify the law."""
        errors = [np.inf if o.error is None else o.error for o in self.random]
        return float(np.quantile(errors, q, method="higher"))

    def beaten(self, design: str) -> float:
        """The share of random draws whose error is above that of a design."""
        own = next(o for o in self.designs if o.design == design).error
        worse = [own is not None and (o.error is None or o.error > own) for o in self.random]
        return float(np.mean(worse))


@dataclass(frozen=True)
class Regret:
    """A case worked through, and how the file was made; `whole` is the fit to all candidates."""

    name: str
    case: Case
    belief: str
    candidates: int
    predicted: int
    draws: int
    seed: int
    made: dict[str, str]
    whole: Outcome
    budgets: tuple[AtBudget, ...]


CATALOG = Catalog(Regret, "regrets", "regret of designs")


def believed_as(form: AnyForm, law: JointLaw, data_seen: Array) -> Law:
    """A joint law as a member of another form, at the typical one of the amounts of data (runs,).

    Raises InputError for a form that the joint law does not hold.
    """
    if form is JOINT:
        return law
    if form is DENSE:
        return law.dense
    if form is FIXED_DATA:
        floor = law.terms(0.0, 1.0, np.exp(np.log(data_seen).mean()))
        constant = float(floor.data + floor.floor)
        return FixedDataLaw(law.a_S, law.b_S, law.c_S, law.b_N, constant)
    raise InputError(f"no belief of the joint law is one of the {form.name} law")


def outcome(
    design: str, runs: Columns, costs: Array, rows: Sequence[int], predict: Columns, form: AnyForm
) -> Outcome:
    """The law of some rows held against the runs to predict."""
    spent = float(costs[np.asarray(rows, dtype=int)].sum())
    try:
        error = residuals(_law(runs, rows, form)[0], predict)
    except InputError:
        return Outcome(design, len(rows), spent, None, -1.0)
    measured = predict.loss
    r2 = 1 - ((np.expm1(error) * measured) ** 2).sum() / ((measured - measured.mean()) ** 2).sum()
    rmse = float(np.sqrt((error**2).mean()))
    return Outcome(design, len(rows), spent, rmse, float(np.clip(r2, -1, 1)))


def _law(runs: Columns, rows: Sequence[int], form: AnyForm) -> tuple[Law, bool]:
    """The law fitted to some rows, and whether it converged inside its bounds."""
    chosen = np.isin(np.arange(len(runs)), rows)
    found = fit(runs.where(chosen), form, resamples=0, profile_resamples=0)
    return found.law, found.status == "converged"


def in_order(costs: Array, order: Sequence[int], budget: float) -> list[int]:
    """Rows in an order, each taken if what is left of the budget pays for it."""
    rows, left = [], budget
    for row in order:
        if costs[row] <= left:
            rows.append(int(row))
            left -= float(costs[row])
    return rows


def in_rounds(
    runs: Columns,
    costs: Array,
    budget: float,
    form: AnyForm,
    belief: FittedLaw,
    predict: Columns | None,
) -> list[int]:
    """Rows chosen in `ROUNDS` steps, with the law of those chosen so far as the next belief."""
    law, noise = believed_as(form, belief.joint, runs.data_seen), residual_noise(belief)
    rows: list[int] = []
    for step in range(1, ROUNDS + 1):
        part = budget * step / ROUNDS
        left = np.isin(np.arange(len(runs)), rows, invert=True)
        if costs[left].min(initial=np.inf) > part - costs[~left].sum():
            continue  # this part buys no further row
        rows = choose(runs, costs, part, form, law, noise, predict=predict, kept=rows)
        try:
            found, converged = _law(runs, rows, form)
        except InputError:
            continue
        law = found if converged else law
    return rows


def regret(
    case: Case,
    runs: Columns,
    costs: Array,
    predict: Columns,
    belief: FittedLaw,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    name: str = "regret",
    made: dict[str, str] | None = None,
) -> Regret:
    """Every design at every budget of a case; see the head of this module.

    `costs` (runs,) are those of the candidates. Raises InputError for an unknown form, and for
    shares outside (0, 1].
    """
    if case.form not in FORMS or not all(0 < share <= 1 for share in case.shares):
        raise InputError(
            f"budgets are shares above 0 and up to 1 of what all candidates cost, for a form of "
            f"{', '.join(FORMS)}; got {case.shares} and {case.form!r}"
        )
    form, everything = FORMS[case.form], range(len(runs))
    found = []
    for number, share in enumerate(case.shares):
        budget = share * float(costs.sum())
        rows = {
            CHEAPEST: in_order(costs, np.argsort(costs, kind="stable").tolist(), budget),
            D_OPTIMAL: in_rounds(runs, costs, budget, form, belief, None),
            V_OPTIMAL: in_rounds(runs, costs, budget, form, belief, predict),
        }
        rng = np.random.default_rng([seed, number])
        orders = [rng.permutation(len(runs)).tolist() for _ in range(draws)]
        drawn = [in_order(costs, order, budget) for order in orders]
        found.append(
            AtBudget(
                share,
                budget,
                tuple(outcome(d, runs, costs, r, predict, form) for d, r in rows.items()),
                tuple(outcome(RANDOM, runs, costs, r, predict, form) for r in drawn),
            )
        )
    whole = outcome("all candidates", runs, costs, everything, predict, form)
    sizes = len(runs), len(predict)
    return Regret(name, case, belief.name, *sizes, draws, seed, made or {}, whole, tuple(found))
