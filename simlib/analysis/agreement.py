"""Whether the laws of several families of models agree: each number's interval, and their ratios.

Laws of different tables are independent, so the interval of a ratio of two numbers is that of all
pairs of a member of one ensemble with one of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from simlib.analysis.regime import regime
from simlib.datasets import load_runs, table_hash, table_names
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.fit.profile import WIDE, Interval, wide
from simlib.fit.quantity import QUANTITIES as DERIVED
from simlib.laws.intervals import LEVEL, quantile_ends
from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import compute_multiple

ALIKE = 1.25  # numbers within this factor of one another are called alike
DETECTED = 0.8  # share of the tables on which a ratio would be seen that is called detectable
DRAWS = 400  # quantiles of an ensemble behind a ratio, all paired with all
SPARSITIES = (0.5, 0.75, 0.875)  # of the paper's comparisons
SHARE = "c_S/(a_S+c_S)"
ONSET = "onset"
Of = Callable[[JointLaw], Array]
Verdict = Literal["differ", "alike", "open"]


def _coefficient(name: str) -> Of:
    return lambda law: np.asarray(getattr(law, name))


# Numbers without a unit, so that they can be held against each other across losses and data. The
# onset is the multiple of the dense compute optimum past which sparsity pays, zeros not skipped.
QUANTITIES: dict[str, Of] = {
    **{f"multiplier at {100 * S:g}%": partial(JointLaw.multiplier, S=S) for S in SPARSITIES},
    SHARE: DERIVED[SHARE].of,
    **{name: _coefficient(name) for name in ("b_S", "b_N", "b_D")},
    ONSET: lambda law: compute_multiple(law, 0.0),
}


class Answer(NamedTuple):
    """What one law says of one quantity.

    `bootstrap` is its interval over the ensemble, none for a fit at a bound, `profile` that from
    the objective, where the law file has one; an end that does not exist is None. `why_not` says
    why nothing may rest on it.
    """

    family: str
    law_file: FittedLaw
    quantity: str
    value: float
    bootstrap: Interval | None
    profile: Interval | None
    why_not: str

    @property
    def usable(self) -> bool:
        """Whether it may decide anything."""
        return not self.why_not


class PairRatio(NamedTuple):
    """The first law's number over the second's, with intervals over pairs of members.

    `interval` holds at the level asked for, `simultaneous` with all ratios of its quantity at once
    (Bonferroni). `detectable` is the least true ratio, above one, that would be told from one in
    `DETECTED` of tables like these, by a normal approximation.
    """

    first: Answer
    second: Answer
    value: float
    interval: tuple[float, float]
    simultaneous: tuple[float, float]
    detectable: float

    @property
    def quantity(self) -> str:
        """What is compared."""
        return self.first.quantity

    @property
    def across(self) -> bool:
        """Whether the laws are of two families."""
        return self.first.family != self.second.family

    @property
    def verdict(self) -> Verdict:
        """Alike where the interval lies within `ALIKE`; else whether the ratio is another than 1.

        A small ratio that is sure is alike, too: it is small.
        """
        low, high = self.interval
        if low >= 1 / ALIKE and high <= ALIKE:
            return "alike"
        low, high = self.simultaneous
        return "differ" if low > 1 or high < 1 else "open"


def unusable(law_file: FittedLaw) -> str:
    """Why nothing may rest on any number of a law, in a sentence without its subject; empty if it
    may: whether it decides, and whether it was fitted to its table in the regime of a law.

    Of a table that does not ship the regime is not known, and not asked.
    """
    if law_file.why_not:
        return law_file.why_not
    table = law_file.table
    if table is None or table not in table_names():
        return ""
    if table_hash(table) != law_file.table_sha256:
        return f"it was fitted to another version of the table {table}"
    try:
        start = regime(load_runs(table)).start
    except InputError as refusal:
        return f"its runs are not in the regime of a law: {refusal}"
    if law_file.fitted_range.data_seen[0] < start * (1 - 1e-9):
        return f"it was fitted to runs of less data than {start:,.0f}, before the regime of a law"
    return ""


def answers(families: Mapping[str, Sequence[FittedLaw]], level: float = LEVEL) -> list[Answer]:
    """Every quantity of every law, by family; `level` is that of intervals over ensembles.

    Raises InputError for a law that is no joint law.
    """
    return [
        _answer(family, law_file, quantity, why_not, level)
        for family, law_files in families.items()
        for law_file in law_files
        for why_not in [unusable(law_file)]
        for quantity in QUANTITIES
    ]


def _answer(family: str, law_file: FittedLaw, quantity: str, why_not: str, level: float) -> Answer:
    of, bootstrap = QUANTITIES[quantity], None
    with np.errstate(all="ignore"):
        value = float(of(law_file.joint))
    if law_file.ensemble is not None and law_file.status != "at bound":
        low, high = (float(end) for end in law_file.interval(of, level=level))
        bootstrap = (_end(low), _end(high))
    profile = law_file.profile_interval(quantity)
    known = [found for found in (bootstrap, profile) if found is not None]
    if not why_not and not (value > 0 and known and not any(map(wide, known))):
        why_not = f"its runs do not identify it: an interval is open, or wider than {WIDE:g} times"
    return Answer(family, law_file, quantity, value, bootstrap, profile, why_not)


def _end(value: float) -> float | None:
    return value if np.isfinite(value) else None


def ratios(found: Sequence[Answer], level: float = LEVEL) -> list[PairRatio]:
    """Every pair of laws that may both decide, for each quantity."""
    compared = []
    for quantity in dict.fromkeys(a.quantity for a in found):
        usable = [a for a in found if a.quantity == quantity and a.usable]
        pairs = list(combinations(usable, 2))
        compared += [_ratio(first, second, level, len(pairs)) for first, second in pairs]
    return compared


def _ratio(first: Answer, second: Answer, level: float, pairs: int) -> PairRatio:
    differences = (_logs(first)[:, None] - _logs(second)).ravel()
    joint_level = 1 - (1 - level) / pairs
    joint = quantile_ends(differences, joint_level)
    value = float(np.log(first.value / second.value))
    quantile = float(stats.norm.ppf((1 + joint_level) / 2))
    error = max(value - joint[0], joint[1] - value) / quantile
    return PairRatio(
        first,
        second,
        float(np.exp(value)),
        _exp(quantile_ends(differences, level)),
        _exp(joint),
        float(np.exp((quantile + stats.norm.ppf(DETECTED)) * error)),
    )


def _logs(answer: Answer) -> Array:
    """Evenly spaced quantiles of a number's logarithm over the ensemble, (DRAWS,)."""
    with np.errstate(all="ignore"):
        values = np.log(QUANTITIES[answer.quantity](answer.law_file.members()))
    shares = (np.arange(DRAWS) + 0.5) / DRAWS
    return np.asarray(np.quantile(values[np.isfinite(values)], shares))


def _exp(interval: tuple[float, float]) -> tuple[float, float]:
    return float(np.exp(interval[0])), float(np.exp(interval[1]))
