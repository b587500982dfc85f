"""A claim, and the rules that decide it: written down before the runs that they decide on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from simlib.claims.evidence import (
    Evidence,
    Measured,
    Missing,
    NotShippedError,
    Outcome,
    Region,
    Unit,
)
from simlib.claims.sources import RunSet, Sources
from simlib.errors import InputError

Ask = Callable[[Sources, RunSet], Measured | Sequence[Measured]]


@dataclass(frozen=True)
class Rule:
    """A quantity, how it is estimated with its interval, and where the claim holds.

    `sets` are the sets of runs that are asked. `true` and `false` name the truths in
    `simlib.claims.truths` behind level and power: laws, or effects, under which the claim is true
    and false. A rule without them is `exact`: nothing in its quantity is uncertain.
    """

    id: str
    quantity: str
    estimate: str
    region: Region
    unit: Unit
    sets: tuple[RunSet, ...]
    ask: Ask
    true: str = ""
    false: str = ""

    @property
    def exact(self) -> bool:
        """Whether the quantity is known without uncertainty."""
        return not self.false

    def with_ask(self, ask: Ask) -> Rule:
        """The same rule, asked in another way."""
        return replace(self, ask=ask)

    def of(self, sources: Sources, runs: RunSet) -> Outcome:
        """The evidence of one set of runs, or why there is none."""
        try:
            found = self.ask(sources, runs)
        except NotShippedError as absent:
            return Outcome(missing=(Missing(runs.label, runs.source, str(absent)),))
        except InputError as refusal:
            return Outcome(missing=(Missing(runs.label, runs.source, f"{runs}: {refusal}"),))
        parts = [found] if isinstance(found, Measured) else found
        return Outcome(tuple(self._evidence(runs, part) for part in parts))

    def _evidence(self, runs: RunSet, found: Measured) -> Evidence:
        return Evidence(
            self.id,
            runs.label,
            runs.source,
            self.quantity,
            found.value,
            found.interval,
            self.region,
            self.unit,
            found.part,
            found.paper,
            found.note,
            self.exact,
        )


@dataclass(frozen=True)
class Claim:
    """A claim, the rules that decide it, and the page that shows the evidence at length.

    `paper` is the paper's number with the mark of its source: P stated in the paper, R read in the
    authors' release, D derived from their coefficients or data.
    """

    id: str
    statement: str
    paper: str
    page: str
    rules: tuple[Rule, ...]
