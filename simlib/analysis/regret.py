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
  at a budget where its error is below those of 95% of the random draws.

Added after the results were seen: *dearest*, rows by falling cost, which lie nearest to the runs to
predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

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

RANDOM, CHEAPEST, DEAREST = "random", "cheapest", "dearest"
D_OPTIMAL, V_OPTIMAL = "D-optimal", "V-optimal"
BELIEF = "t5-c4-refit"
ROUNDS = 3  # of equal shares of the budget, with a fit after each
DRAWS = 200  # of random designs
CHANCE = 0.05  # share of random draws that a design may fail to beat and still beat chance


@dataclass(frozen=True)
class DesignCase:
    """A table of candidates, the table to predict, the form, and budgets as ScaleBench has them.

    `price` is an expression of `simlib.simulate.choice.prices`.
    """

    candidates: str
    predict: str
    form: str
    price: str
    shares: tuple[float, ...]


CASES = (
    DesignCase(
        "scalebench-sparsity", "scalebench-sparsity-test", "joint", "flops", (0.2, 0.35, 0.5)
    ),
    DesignCase(
        *("scalebench-moe", "scalebench-moe-test", "fixed-data"),
        *("nonzero_params/(1-sparsity)", (0.01, 0.05, 0.1)),
    ),
    DesignCase("farseer", "farseer-test", "dense", "6*nonzero_params*data_seen", (0.01, 0.05, 0.1)),
)


@dataclass(frozen=True)
class DesignOutcome:
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
    """All designs at one budget, `share` of what all candidates cost.

    `random_runs` is the median number of rows of the random draws, `random_errors` and `random_r2`
    are what `DesignOutcome` has of each of them.
    """

    share: float
    budget: float
    designs: tuple[DesignOutcome, ...]
    random_runs: float
    random_errors: tuple[float | None, ...]
    random_r2: tuple[float, ...]

    def of(self, design: str) -> DesignOutcome:
        """What came of a design."""
        return next(o for o in self.designs if o.design == design)

    def quantile(self, q: float) -> float:
        """A quantile of the errors of random draws; infinite where too few identify the law."""
        errors = [np.inf if e is None else e for e in self.random_errors]
        return float(np.quantile(errors, q, method="higher"))

    def beaten(self, design: str) -> float:
        """The share of random draws whose error is above that of a design."""
        own = self.of(design).error
        worse = [own is not None and (e is None or e > own) for e in self.random_errors]
        return float(np.mean(worse))

    def beats_chance(self, design: str) -> bool:
        """Whether a design errs less than nearly all random draws."""
        return self.beaten(design) >= 1 - CHANCE


@dataclass(frozen=True)
class Regret:
    """A case worked through, and how the file was made; `whole` is the fit to all candidates."""

    name: str
    case: DesignCase
    belief: str
    candidates: int
    predicted: int
    draws: int
    seed: int
    made: dict[str, str]
    whole: DesignOutcome
    budgets: tuple[AtBudget, ...]


CATALOG = Catalog(Regret, "regrets", "regret of designs")


@cache
def load_regret(name: str) -> Regret:
    """A shipped result by the name of its candidates, or one of the reader's own by path."""
    return CATALOG.load(name)


@dataclass(frozen=True)
class Printed:
    """Mean coefficient of determination and its spread, at each budget, as ScaleBench prints it.

    `all_data` is theirs for all candidates; `rows` are by design, in the order of the shares.
    """

    rows: dict[str, tuple[tuple[float, float], ...]]
    all_data: tuple[float, float]


# Table 2 of Li et al. 2026 (arXiv 2604.22753), from the README of PlanarG/active-sl at e0a58ff.
# Their costs and budgets are those of `CASES`, their laws are not, and mixtures are fitted there in
# three groups, each with its own budget.
PRINTED: dict[str, Printed] = {
    "scalebench-sparsity": Printed(
        {
            RANDOM: ((-0.25, 0.63), (0.37, 0.26), (0.38, 0.25)),
            CHEAPEST: ((-0.95, 0.14), (0.04, 0.46), (0.32, 0.20)),
            D_OPTIMAL: ((-0.07, 0.56), (0.23, 0.32), (0.19, 0.41)),
            V_OPTIMAL: ((0.12, 0.53), (0.39, 0.20), (0.51, 0.15)),
            "theirs": ((0.31, 0.39), (0.44, 0.17), (0.53, 0.08)),
        },
        (0.37, 0.10),
    ),
    "scalebench-moe": Printed(
        {
            RANDOM: ((-0.47, 0.66), (0.01, 0.72), (0.26, 0.65)),
            CHEAPEST: ((0.30, 0.57), (0.74, 0.19), (0.81, 0.14)),
            D_OPTIMAL: ((0.34, 0.54), (0.55, 0.34), (0.74, 0.14)),
            V_OPTIMAL: ((0.67, 0.24), (0.80, 0.05), (0.80, 0.11)),
            "theirs": ((0.59, 0.39), (0.65, 0.27), (0.83, 0.07)),
        },
        (0.81, 0.04),
    ),
    "farseer": Printed(
        {
            RANDOM: ((-0.77, 0.55), (0.78, 0.18), (0.79, 0.09)),
            CHEAPEST: ((-0.89, 0.17), (0.41, 0.40), (0.68, 0.18)),
            D_OPTIMAL: ((-0.11, 0.80), (0.49, 0.18), (0.87, 0.03)),
            V_OPTIMAL: ((0.67, 0.22), (0.87, 0.01), (0.92, 0.01)),
            "theirs": ((0.60, 0.11), (0.88, 0.02), (0.93, 0.00)),
        },
        (0.91, 0.01),
    ),
}


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
) -> DesignOutcome:
    """The law of some rows held against the runs to predict."""
    spent = float(costs[np.asarray(rows, dtype=int)].sum())
    try:
        error = residuals(_law(runs, rows, form)[0], predict)
    except InputError:
        return DesignOutcome(design, len(rows), spent, None, -1.0)
    measured = predict.loss
    r2 = 1 - ((np.expm1(error) * measured) ** 2).sum() / ((measured - measured.mean()) ** 2).sum()
    rmse = float(np.sqrt((error**2).mean()))
    return DesignOutcome(design, len(rows), spent, rmse, float(np.clip(r2, -1, 1)))


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
    case: DesignCase,
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
        budget, rising = share * float(costs.sum()), np.argsort(costs, kind="stable").tolist()
        rows = {
            CHEAPEST: in_order(costs, rising, budget),
            DEAREST: in_order(costs, rising[::-1], budget),
            D_OPTIMAL: in_rounds(runs, costs, budget, form, belief, None),
            V_OPTIMAL: in_rounds(runs, costs, budget, form, belief, predict),
        }
        rng = np.random.default_rng([seed, number])
        orders = [rng.permutation(len(runs)).tolist() for _ in range(draws)]
        drawn = [in_order(costs, order, budget) for order in orders]
        chance = [outcome(RANDOM, runs, costs, r, predict, form) for r in drawn]
        found.append(
            AtBudget(
                share,
                budget,
                tuple(outcome(d, runs, costs, r, predict, form) for d, r in rows.items()),
                float(np.median([o.runs for o in chance])),
                tuple(o.error for o in chance),
                tuple(o.r2 for o in chance),
            )
        )
    whole = outcome("all candidates", runs, costs, everything, predict, form)
    sizes = len(runs), len(predict)
    return Regret(name, case, belief.name, *sizes, draws, seed, made or {}, whole, tuple(found))
