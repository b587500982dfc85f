"""Evidence from our own run tables, measured once and kept: some of it takes many fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from simlib.catalog import Catalog
from simlib.claims.evidence import Evidence, Missing, Outcome
from simlib.claims.rule import Rule
from simlib.claims.sources import RunSet, Sources, content_hash, ships
from simlib.errors import InputError


@dataclass(frozen=True)
class Measurements:
    """The evidence of one table of `runs` runs on every rule that asks it, and how it was made."""

    name: str
    runs: int
    made: dict[str, str]
    evidence: tuple[Evidence, ...]
    missing: dict[str, str]  # why, by rule


CATALOG = Catalog(Measurements, "evidence", "file of evidence")


@cache
def load_measurements(name: str) -> Measurements:
    """The shipped evidence of a table."""
    return CATALOG.load(name)


def measure(
    rules: Iterable[Rule], runs: RunSet, sources: Sources, made: dict[str, str]
) -> Measurements:
    """Ask every rule of a table."""
    evidence: list[Evidence] = []
    missing: dict[str, str] = {}
    for rule in rules:
        if runs in rule.sets:
            found = rule.of(sources, runs)
            evidence += found.evidence
            if found.missing:
                missing[rule.id] = found.missing[0].why
    return Measurements(runs.table, len(sources.runs(runs.table)), made, tuple(evidence), missing)


def shipped_evidence(rule: Rule, runs: RunSet) -> Outcome:
    """What was measured of a table, or why nothing was; a table that has changed since says so."""
    if not ships(runs):
        return _missing(runs, f"no run table named {runs.table} has shipped yet")
    again = f"`SIMLIB_SHIP=1 simlib claims --measure {runs.table}`"
    try:
        known = load_measurements(runs.table)
    except InputError:
        return _missing(runs, f"{runs}: its evidence has not been measured: run {again}")
    if known.made.get("table_sha256") != content_hash(runs):
        return _missing(runs, f"{runs}: the table has changed since it was measured: run {again}")
    if rule.id in known.missing:
        return _missing(runs, known.missing[rule.id])
    found = tuple(e for e in known.evidence if e.rule == rule.id)
    if not found:
        return _missing(runs, f"{runs}: {rule.id} has not been measured: run {again}")
    return Outcome(found)


def _missing(runs: RunSet, why: str) -> Outcome:
    return Outcome(missing=(Missing(runs.label, runs.source, why),))
