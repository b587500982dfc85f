"""What the page of a sweep says of its runs and their law: every number in its prose, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simlib.analysis.contrasts import Estimate, Spread, seed_spread
from simlib.analysis.numbers import number, percent, with_interval
from simlib.analysis.sweepchecks import (
    DataStep,
    LackOfFit,
    Order,
    before_power_law,
    data_steps,
    identified,
    interaction,
    lack_of_fit,
    order,
    without_shortest,
)
from simlib.fit.objective import Objective
from simlib.fit.result import WIDE
from simlib.laws.law import Array, JointLaw
from simlib.laws.lawfile import LawFile
from simlib.pages import lawtables, sweeptables
from simlib.runs.table import RunTable

WORTH_AT = 0.75  # the sparsity at which the worth of a weight is told


@dataclass(frozen=True)
class SweepFacts:
    """The checks of one sweep, of runs that did not diverge and the law fitted to them."""

    law_file: LawFile
    laws: tuple[LawFile, ...]
    runs: RunTable
    level: float
    spread: Spread
    test: LackOfFit
    bend: Estimate
    order: Order
    steps: tuple[DataStep, ...]
    known: dict[str, bool]
    longer: LawFile | None

    def said(self, data: str, significance: float) -> dict[str, str]:
        """Names and texts for the page; `data` names the unit of data, such as "images"."""
        record, test = self.law_file.record, self.test
        value, ends = lawtables.estimate(self.law_file, _worth, self.level)
        low, high = ends or (value, value)
        beside = [float(_worth(f.joint)) for f in self.laws]
        growing = [s for s in self.steps[1:] if s.growth is not None and s.growth.sign > 0]
        return {
            "runs": str(len(self.runs)),
            "sizes": self._span("nonzero_params"),
            "amounts": self._span("data_seen"),
            "repeated": str(self.spread.cells),
            "level": percent(record["level"]),
            "error": percent(record["log_rmse"], 2),
            "spread": percent(self.spread.deviation, 2),
            "misfit": percent(test.misfit, 2),
            "p": sweeptables.p_value(test.p),
            "significance": percent(significance),
            "fits": "rejects the law" if test.p <= significance else "does not reject the law",
            "bend": sweeptables.signed(self.bend),
            "bends": sweeptables.BENDS[self.bend.sign],
            "ordered": str(self.order.ordered),
            "settings": str(self.order.settings),
            "expected": number(self.order.expected, 3),
            "often": sweeptables.how_often(self.order),
            "growing": str(len(growing)),
            "later": str(len(self.steps) - 1),
            "regime": self._regime(data),
            "without": self._without(),
            "widest": number(high / low, 2),
            "identified": _listed(name for name, yes in self.known.items() if yes),
            "unidentified": _listed(name for name, yes in self.known.items() if not yes),
            "status": _status(self.law_file),
            "wide": number(WIDE, 1),
            "multiplier": with_interval(value, ends),
            "apart": str(sum(not low <= worth <= high for worth in beside)),
            "laws": str(len(self.laws)),
        }

    def _span(self, name: str) -> str:
        return "{:,.0f} to {:,.0f}".format(*self.law_file.record["range"][name])

    def _regime(self, data: str) -> str:
        short = before_power_law(self.steps)
        if short is None:
            return "so none is seen to lie before the power law"
        return f"so runs on {short:,.0f} {data} or less lie before any power law"

    def _without(self) -> str:
        if self.longer is None:
            return "too few amounts of data are left to fit a law"
        worth = with_interval(*lawtables.estimate(self.longer, _worth, self.level))
        error = percent(self.longer.record["log_rmse"], 2)
        return (
            f"the law's log-RMSE is {error}, and a weight at {percent(WORTH_AT)} sparsity is worth "
            f"{worth}"
        )


def _status(law_file: LawFile) -> str:
    """How the fit and its refits ended, and whether anything may rest on them."""
    said, record = str(law_file.record["status"]), law_file.record
    if "converged_members" in record:
        converged, members = (f"{record[k]:,}" for k in ("converged_members", "members"))
        said += f", {converged} of {members} refits of resampled runs converged"
    return said if law_file.decides else f"{said}: nothing is decided by this law"


def sweep_facts(
    law_file: LawFile, runs: RunTable, laws: Sequence[LawFile], objective: Objective,
    *, level: float = 0.9, seed: int = 0,
) -> SweepFacts:  # fmt: skip
    """All checks of a sweep's page; `laws` are held beside the law of the sweep.

    Raises InputError for runs without repeats, or with too few amounts of data.
    """
    spread = seed_spread(runs, level)
    return SweepFacts(
        law_file, tuple(laws), runs, level, spread,
        test=lack_of_fit(law_file, runs, spread),
        bend=interaction(law_file, runs, level),
        order=order(law_file, runs, spread, level, seed),
        steps=data_steps(law_file, runs, level),
        known=identified(law_file),
        longer=without_shortest(runs, objective, seed=seed),
    )  # fmt: skip


def _worth(law: JointLaw) -> Array:
    return law.multiplier(WORTH_AT)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
