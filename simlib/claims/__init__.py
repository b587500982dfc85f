"""Each claim of the paper, of its summary and of this book: what decides it, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from simlib.claims import findings, laws, optima, pretraining, statements, training
from simlib.claims.designs import NEARLY_ALL
from simlib.claims.evidence import (
    SOURCES,
    VERDICTS,
    Evidence,
    Outcome,
    Power,
    Region,
    Source,
    Verdict,
)
from simlib.claims.measured import CATALOG as EVIDENCE
from simlib.claims.measured import load_measurements, shipped_evidence
from simlib.claims.power import CATALOG as POWERS
from simlib.claims.power import Powers, load_powers
from simlib.claims.rule import Claim, Rule
from simlib.claims.sources import MEASURED, RunSet, Sources, ships
from simlib.errors import InputError

__all__ = [
    "CLAIMS",
    "RULES",
    "SOURCES",
    "VERDICTS",
    "Claim",
    "Evidence",
    "Outcome",
    "Power",
    "Region",
    "Rule",
    "Source",
    "Sources",
    "Verdict",
    "scorecard",
]


def _order(claim: Claim) -> tuple[int, int]:
    return "CSB".index(claim.id[0]), int(claim.id[1:])


CLAIMS: tuple[Claim, ...] = tuple(
    sorted(
        (
            *laws.CLAIMS,
            laws.LANGUAGE_CLAIM,
            *optima.CLAIMS,
            optima.FAIR,
            *statements.CLAIMS,
            *pretraining.CLAIMS,
            *training.CLAIMS,
            *findings.CLAIMS,
        ),
        key=_order,
    )
)
RULES: tuple[Rule, ...] = tuple(rule for claim in CLAIMS for rule in claim.rules)


def scorecard(sources: Sources | None = None, only: Sequence[str] = ()) -> dict[Claim, Outcome]:
    """Every claim with what decides it, in order; `only` names some by id.

    Without `sources` they are decided from what ships with the book: released runs from their laws,
    ours from what was measured of the tables that are there. Raises InputError for an unknown id.
    """
    known = {claim.id: claim for claim in CLAIMS}
    for name in only:
        if name not in known:
            raise InputError(f"there is no claim {name!r}; there are {', '.join(known)}")
    chosen = [claim for claim in CLAIMS if not only or claim.id in only]
    found = sources or Sources()
    powers = _powers()
    outcomes = {}
    for claim in chosen:
        every = [(rule, runs) for rule in claim.rules for runs in rule.sets]
        there = [(rule, runs) for rule, runs in every if runs.source != "own" or ships(runs)]
        # a claim whose only runs are still to be trained says so
        asked = every if sources else there or every
        parts = [_outcome(rule, runs, found, live=sources is not None) for rule, runs in asked]
        outcome = sum(parts, Outcome())
        evidence = tuple(
            replace(e, power=powers.get((e.rule, e.runs, e.part))) for e in outcome.evidence
        )
        outcomes[claim] = Outcome(evidence, outcome.missing)
    return outcomes


def _outcome(rule: Rule, runs: RunSet, sources: Sources, live: bool) -> Outcome:
    if live or runs.source != "own":
        return rule.of(sources, runs)
    return shipped_evidence(rule, runs)


def _powers() -> dict[tuple[str, str, str], Power]:
    """The shipped power of every rule, by rule, set of runs and part.

    That of a grid says nothing of a table that does not have its runs.
    """
    return {
        (power.rule, power.runs, power.part): power
        for name in POWERS.names()
        if in_force(known := load_powers(name))
        for power in known.powers
    }


def in_force(powers: Powers) -> bool:
    """Whether a table has the runs that a design's power is of: until then it says nothing."""
    return powers.runs * NEARLY_ALL <= _runs(powers.name)


def _runs(table: str) -> float:
    """How many runs a table of ours had when it was measured; no bound for released ones."""
    ours = any(runs.table == table for runs in MEASURED)
    if not ours:
        return math.inf
    return load_measurements(table).runs if table in EVIDENCE.names() else 0
