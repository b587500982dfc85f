"""How a claim is decided: a region that it allows, an interval from runs, and where one lies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from pydantic import ConfigDict

from simlib.errors import InputError
from simlib.laws.intervals import LEVEL

Answer = Literal["supports", "contradicts", "undecided"]
Verdict = Literal["holds", "contradicted", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("holds", "contradicted", "undecided")
Source = Literal["released", "others", "own"]
SOURCES: dict[Source, str] = {
    "released": "the authors' runs",
    "others": "other people's runs",
    "own": "our runs",
}
Unit = Literal["", "%", "x", "n"]  # number, share to be read in percent, factor, count

POWER = 0.8  # share of the false tables on which a rule must say so, for it to be believed
WRONG = 1 - LEVEL  # share of the tables that a rule may decide wrongly


class NotShippedError(InputError):
    """A file that a claim asks for and that is not there yet."""


@dataclass(frozen=True)
class Region:
    """The values of a quantity for which a claim holds, as an interval that may be open.

    An interval contradicts where it lies farther than `margin` outside: what lies nearer the edge
    is too small to matter, and decides nothing.
    """

    low: float = -math.inf
    high: float = math.inf
    margin: float = 0.0

    def answer(self, interval: tuple[float, float]) -> Answer:
        """Whether an interval lies inside the region, outside it, or across its edge."""
        low, high = interval
        if not low <= high:  # NaN, too
            return "undecided"
        if self.low <= low and high <= self.high:
            return "supports"
        if high < self.low - self.margin or low > self.high + self.margin:
            return "contradicts"
        return "undecided"


class Measured(NamedTuple):
    """A quantity with its 90% interval; `part` names which of several like quantities it is.

    Both ends equal `value` where nothing is uncertain, and an end that the runs leave open is
    infinite. `paper` is the paper's own value.
    """

    value: float
    interval: tuple[float, float]
    note: str = ""
    part: str = ""
    paper: float | None = None


@dataclass(frozen=True)
class Power:
    """How often a rule answers which way, on virtual tables of a known truth.

    Shares of `tables` tables drawn where the claim is true, and of as many where it is false. A
    rule of several parts errs if any part does: `any_contradicts_true` is the share of true tables
    on which some part contradicts.
    """

    rule: str
    runs: str
    part: str
    tables: int
    supports_true: float
    contradicts_true: float
    supports_false: float
    contradicts_false: float
    any_contradicts_true: float

    @property
    def can_contradict(self) -> bool:
        """Whether a contradiction is to be believed: seen where there is one, and only there."""
        return self.contradicts_false >= POWER and self.any_contradicts_true <= WRONG

    @property
    def can_support(self) -> bool:
        """Whether support is to be believed: it is seldom given to what is false."""
        return self.supports_false <= WRONG


@dataclass(frozen=True)
class Evidence:
    """What one set of runs says of one quantity of a rule.

    `exact` marks a number without uncertainty, which needs no power.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings")

    rule: str
    runs: str
    source: Source
    quantity: str
    value: float
    interval: tuple[float, float]
    region: Region
    unit: Unit = ""
    part: str = ""
    paper: float | None = None
    note: str = ""
    exact: bool = False
    power: Power | None = None

    @property
    def answer(self) -> Answer:
        """What the interval says of the region."""
        return self.region.answer(self.interval)

    @property
    def verdict(self) -> Verdict:
        """The answer, where the rule has shown that it can be trusted with it."""
        if self.answer == "supports" and (self.exact or (self.power and self.power.can_support)):
            return "holds"
        if self.answer == "contradicts" and (
            self.exact or (self.power and self.power.can_contradict)
        ):
            return "contradicted"
        return "undecided"

    @property
    def label(self) -> str:
        """The set of runs, and the part of it that was asked."""
        return f"{self.runs}, {self.part}" if self.part else self.runs


class Missing(NamedTuple):
    """A set of runs that could not be asked, and why."""

    runs: str
    source: Source
    why: str


@dataclass(frozen=True)
class Outcome:
    """The evidence on one claim, and the sets of runs that could not be asked."""

    evidence: tuple[Evidence, ...] = ()
    missing: tuple[Missing, ...] = ()

    def of_runs(self, runs: str) -> Verdict:
        """What one set of runs says of the whole claim.

        Contradicted where any of its evidence is; it holds where all of it does and none is
        missing; undecided otherwise.
        """
        found = [e.verdict for e in self.evidence if e.runs == runs]
        if "contradicted" in found:
            return "contradicted"
        missed = any(m.runs == runs for m in self.missing)
        whole = bool(found) and not missed and set(found) == {"holds"}
        return "holds" if whole else "undecided"

    def by_runs(self, source: Source) -> dict[str, Verdict]:
        """The verdict of each set of runs of a source, in order."""
        asked = [e.runs for e in self.evidence if e.source == source]
        asked += [m.runs for m in self.missing if m.source == source]
        return {runs: self.of_runs(runs) for runs in dict.fromkeys(asked)}

    def verdict(self, source: Source) -> Verdict | None:
        """What the runs of a source say: one contradiction outweighs all that holds.

        None where no run of the source was asked.
        """
        found = self.by_runs(source).values()
        if not found:
            return None
        if "contradicted" in found:
            return "contradicted"
        return "holds" if "holds" in found else "undecided"

    def __add__(self, other: Outcome) -> Outcome:
        missing = dict.fromkeys(self.missing + other.missing)
        return Outcome(self.evidence + other.evidence, tuple(missing))


def count(evidence: Iterable[Evidence], answer: Answer) -> int:
    """How many pieces of evidence give an answer."""
    return sum(e.answer == answer for e in evidence)
