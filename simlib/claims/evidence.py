"""How a claim is decided: a region that it allows, an interval from runs, and where one lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from simlib.errors import InputError

if TYPE_CHECKING:
    from simlib.claims.sources import Sources

Verdict = Literal[
    "reproduced", "reproduced with caveat", "not reproduced", "not testable at this scale"
]
VERDICTS: tuple[Verdict, ...] = (
    "reproduced", "reproduced with caveat", "not reproduced", "not testable at this scale",
)  # fmt: skip
Answer = Literal["supports", "contradicts", "undecided"]
Unit = Literal["", "%", "x", "n"]  # number, share to be read in percent, factor, count
Set = TypeVar("Set")


class NotShippedError(InputError):
    """A file that a claim asks for and that is not there yet."""


@dataclass(frozen=True)
class Region:
    """The values of a quantity for which a claim holds, as an interval that may be open."""

    low: float = -math.inf
    high: float = math.inf

    def answer(self, interval: tuple[float, float]) -> Answer:
        """Whether an interval lies inside the region, outside it, or across its edge."""
        low, high = interval
        if not low <= high:  # NaN, too
            return "undecided"
        if self.low <= low and high <= self.high:
            return "supports"
        if high < self.low or low > self.high:
            return "contradicts"
        return "undecided"


@dataclass(frozen=True)
class Evidence:
    """What one set of runs says of one quantity.

    `interval` is a 90 % interval of the quantity; both ends equal `value` where nothing is
    uncertain, and an end that the runs leave open is infinite. `own` marks runs of this book.
    """

    runs: str
    own: bool
    quantity: str
    value: float
    interval: tuple[float, float]
    region: Region
    unit: Unit = ""
    paper: float | None = None
    note: str = ""

    @property
    def answer(self) -> Answer:
        """What the interval says of the region."""
        return self.region.answer(self.interval)


@dataclass(frozen=True)
class Outcome:
    """The evidence on one claim, and a sentence for each set of runs that could not be asked."""

    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Reproduced where every interval lies inside its region and nothing is missing.

        Without any decided interval the claim is not testable. It is not reproduced where
        contradictions outnumber support, among all sets of runs or among this book's own. What is
        left is reproduced with the caveat of its missing, undecided and contradicting parts.
        """
        for part in (self.evidence, [e for e in self.evidence if e.own]):
            if count(part, "contradicts") > count(part, "supports"):
                return "not reproduced"
        supporting = count(self.evidence, "supports")
        if supporting == 0:
            return "not testable at this scale"
        whole = supporting == len(self.evidence) and not self.missing
        return "reproduced" if whole else "reproduced with caveat"

    def __add__(self, other: Outcome) -> Outcome:
        missing = dict.fromkeys(self.missing + other.missing)
        return Outcome(self.evidence + other.evidence, tuple(missing))


def count(evidence: Iterable[Evidence], answer: Answer) -> int:
    """How many pieces of evidence give an answer."""
    return sum(e.answer == answer for e in evidence)


@dataclass(frozen=True)
class Claim:
    """A claim, the inequality that decides it, and the page that shows the evidence at length.

    `paper` is the paper's number with the mark of its source: P stated in the paper, R read in the
    authors' release, D derived from their coefficients or data.
    """

    id: str
    statement: str
    paper: str
    rule: str
    page: str
    decide: Callable[[Sources], Outcome]


def ask(sets: Iterable[Set], question: Callable[[Set], Evidence]) -> Outcome:
    """Put a question to each set of runs; one that cannot answer says why in `missing`."""
    evidence, missing = [], []
    for item in sets:
        try:
            evidence.append(question(item))
        except NotShippedError as absent:
            missing.append(str(absent))
        except InputError as refusal:
            missing.append(f"{item}: {refusal}")
    return Outcome(tuple(evidence), tuple(dict.fromkeys(missing)))


def totals(outcomes: Mapping[Claim, Outcome]) -> dict[Verdict, int]:
    """How many claims got each verdict."""
    found = [outcome.verdict for outcome in outcomes.values()]
    return {verdict: found.count(verdict) for verdict in VERDICTS}
