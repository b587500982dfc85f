"""What a law file answers, as tables: coefficients, worth of sparsity, where sparsity pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from simlib.analysis.numbers import number, percent, with_interval
from simlib.laws.law import Array, JointLaw
from simlib.laws.lawfile import LawFile
from simlib.laws.optimum import chinchilla_sparsity, compute_multiple
from simlib.pages.tables import Table

NO_LIMIT = 1e6  # a weight worth more dense ones than that says that the runs show no limit
SPARSITIES = (0.5, 0.75, 0.875)  # of the paper's comparisons


def estimate(
    law_file: LawFile, quantity: Callable[[JointLaw], Array], level: float = 0.9
) -> tuple[float, tuple[float, float] | None]:
    """A quantity of the law with its interval over the ensemble, None for a law without one."""
    value = float(quantity(law_file.joint))
    if law_file.ensemble is None:
        return value, None
    low, high = law_file.interval(quantity, level=level)
    return value, (float(low), float(high))


def coefficient_table(law_files: Sequence[LawFile], kind: str = "intervals") -> Table:
    """Coefficients of each law in raw units, one column a law, with intervals where there are."""
    names = JointLaw.names()
    header = ("coefficient", *(f.name for f in law_files))
    rows = [
        (
            name,
            *(
                with_interval(float(getattr(f.joint, name)), _ends(f, kind, name))
                for f in law_files
            ),
        )
        for name in names
    ]
    rows.append(("objective", *(number(f.record["objective"], 5) for f in law_files)))
    rows.append(("log-RMSE", *(percent(f.record["log_rmse"], 2) for f in law_files)))
    return Table(header, rows)


def _ends(law_file: LawFile, kind: str, name: str) -> tuple[float | None, float | None] | None:
    ends = law_file.record.get(kind, {}).get(name)
    return None if ends is None else (ends[0], ends[1])


def multiplier_table(law_files: Sequence[LawFile], level: float = 0.9) -> Table:
    """Dense-equivalent multiplier at 50, 75, 87.5 % and in the limit, one row a law."""
    quantities: list[Callable[[JointLaw], Array]] = [
        *(partial(JointLaw.multiplier, S=S) for S in SPARSITIES),
        lambda law: law.multiplier_limit,
    ]
    header = ("law", *(percent(S, 1).replace(".0%", "%") for S in SPARSITIES), "limit")
    rows = [(f.name, *(_worth(*estimate(f, q, level)) for q in quantities)) for f in law_files]
    return Table(header, rows)


def _worth(value: float, interval: tuple[float, float] | None) -> str:
    """A multiplier with its interval; far beyond any experiment it is no number to print."""
    low, high = interval or (value, value)
    if value <= NO_LIMIT:
        return with_interval(value, interval and (low, high if high <= NO_LIMIT else math.inf))
    return "none seen" + (f" (from {number(low)})" if low <= NO_LIMIT else "")


def where_it_pays_table(law_files: Sequence[LawFile], cost: str, level: float = 0.9) -> Table:
    """Optimal sparsity at the dense compute optimum, and the compute where 0, 50, 75 % is best.

    Compute is in multiples of the Chinchilla cost of the same size; these do not depend on size.
    """
    header = (
        "law", "best sparsity at the dense optimum", "sparsity pays past", "50% is best at",
        "75% is best at",
    )  # fmt: skip
    rows = []
    for f in law_files:
        cells = [chinchilla_cell(f, cost, level)]
        for S in (0.0, 0.5, 0.75):
            quantity = partial(compute_multiple, S=S, cost=cost)
            cells.append(with_interval(*estimate(f, quantity, level)) + " ×")
        rows.append((f.name, *cells))
    return Table(header, rows)


def chinchilla_cell(law_file: LawFile, cost: str, level: float = 0.9) -> str:
    """Best sparsity at the dense compute optimum, in percent, with its interval."""
    S, interval = estimate(law_file, lambda law: chinchilla_sparsity(law, cost), level)
    return percent(S) + _percents(interval)


def _percents(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    return f" ({percent(interval[0])} to {percent(interval[1])})"


def share_above(law_file: LawFile, quantity: Callable[[JointLaw], Array], limit: float) -> float:
    """Share of the ensemble in which a quantity lies above a limit."""
    return float(np.mean(np.asarray(quantity(law_file.members())) > limit))
