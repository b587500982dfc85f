"""The scorecard in words: one row a claim, its evidence, and the totals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simlib.analysis.numbers import percent
from simlib.claims import in_force
from simlib.claims.estimates import written
from simlib.claims.evidence import (
    SOURCES,
    VERDICTS,
    Evidence,
    Outcome,
    Power,
    Region,
    Source,
    Unit,
    Verdict,
)
from simlib.claims.power import Powers
from simlib.claims.rule import Claim, Rule
from simlib.claims.truths import TRUTHS
from simlib.pages.names import spoken
from simlib.pages.tables import LinkedTable, Table
from simlib.pages.words import listed, some

HEADER = ("id", "claim", "the paper's number", *SOURCES.values())
MARKS: dict[Verdict, str] = {"holds": "✓", "contradicted": "✗", "undecided": "?"}


def estimate_text(evidence: Evidence) -> str:
    """Value and interval; the value alone where nothing is uncertain."""
    low, high = evidence.interval
    value = written(evidence.value, evidence.unit)
    if low == high:
        return value
    unit = "" if evidence.unit == "x" else evidence.unit
    return f"{value} ({written(low, unit)} to {written(high, unit)})"


def region_text(region: Region, unit: Unit) -> str:
    """The region as an inequality, and from where on it is contradicted if that lies apart."""
    low, high = written(region.low, unit), written(region.high, unit)
    below, above = ("below", region.low - region.margin), ("above", region.high + region.margin)
    if math.isinf(region.low) or (region.low == 0 and not math.isinf(region.high)):
        said, beyond = f"at most {high}", [above]
    elif math.isinf(region.high):
        said, beyond = f"at least {low}", [below]
    else:
        said, beyond = f"{low} to {high}", [below, above]
    far = " or ".join(f"{side} {written(end, unit)}" for side, end in beyond)
    return f"{said} (contradicted {far})" if region.margin else said


def claim_table(outcomes: Mapping[Claim, Outcome]) -> Table:
    """One row a claim: statement, the paper's number, and the verdict of each source of runs.

    The id links to the page of the evidence, from a page in the folder of notebooks.
    """
    return LinkedTable(
        HEADER,
        [
            (
                _link(claim.id, claim),
                claim.statement,
                claim.paper,
                *(verdict_text(outcome, source) for source in SOURCES),
            )
            for claim, outcome in outcomes.items()
        ],
    )


def verdict_text(outcome: Outcome, source: Source) -> str:
    """The verdict of a source, and under it that of each set of its runs with its estimates."""
    verdict = outcome.verdict(source)
    if verdict is None:
        return "not asked"
    lines: list[str] = [verdict]
    for runs in outcome.by_runs(source):
        found = [e for e in outcome.evidence if e.runs == runs]
        lines += [f"{MARKS[e.verdict]} {spoken(e.label)}: {estimate_text(e)}" for e in found]
        lines += [
            f"– {spoken(m.runs)}: not asked"
            for m in outcome.missing
            if m.runs == runs and not found
        ]
    return "\n".join(dict.fromkeys(lines))


def power_note(evidence: Evidence) -> str:
    """What is known of a rule's power where it gave this answer."""
    if evidence.exact:
        return "exact"
    power = evidence.power
    if power is None:
        return "not computed"
    return (
        f"sees what is false {power.contradicts_false:.0%}, true {power.supports_true:.0%}; "
        f"wrong {power.any_contradicts_true:.0%}, {power.supports_false:.0%}"
    )


def evidence_table(outcomes: Mapping[Claim, Outcome]) -> Table:
    """One row a piece of evidence: what was estimated on which runs, and what was asked of it."""
    rows = [
        (
            e.rule,
            spoken(e.label),
            e.quantity,
            estimate_text(e),
            region_text(e.region, e.unit),
            "" if e.paper is None else written(e.paper, e.unit),
            e.answer,
            power_note(e),
            e.verdict,
            e.note,
        )
        for outcome in outcomes.values()
        for e in outcome.evidence
    ]
    header = (
        "rule",
        "runs",
        "quantity",
        "estimate",
        "claim holds for",
        "paper",
        "interval",
        "power",
        "verdict",
        "note",
    )
    return Table(header, rows)


def missing_table(outcomes: Mapping[Claim, Outcome]) -> Table:
    """Why a set of runs says nothing of a claim: one row a reason."""
    reasons: dict[str, list[str]] = {}
    for claim, outcome in outcomes.items():
        for said in outcome.missing:
            reasons.setdefault(said.why, []).append(claim.id)
    rows = [(spoken(said), ", ".join(dict.fromkeys(ids))) for said, ids in reasons.items()]
    return Table(("missing", "claims"), rows)


def rule_table(claims: Sequence[Claim]) -> Table:
    """The rules of each claim: quantity, estimate, where it holds, and the truths of its power.

    The ids link to the page of the evidence, from a page in the folder of notebooks.
    """
    rows = [
        (
            _link(rule.id, claim),
            rule.quantity,
            rule.estimate,
            region_text(rule.region, rule.unit),
            ", ".join(spoken(str(runs)) for runs in rule.sets),
            rule.true,
            rule.false,
        )
        for claim in claims
        for rule in claim.rules
    ]
    header = (
        "rule",
        "quantity",
        "how it is estimated",
        "claim holds for",
        "asked of",
        "true where",
        "false where",
    )
    return LinkedTable(header, rows)


def truth_table() -> Table:
    """What each truth of the rules says of runs."""
    return Table(("truth", "what runs then obey"), [(t.name, t.says) for t in TRUTHS.values()])


def _link(text: str, claim: Claim) -> str:
    return f"[{text}](../{Path(claim.page).with_suffix('.html')})"


POWER_HEADER = (
    "rule",
    "true: holds",
    "true: contradicted",
    "true: any part contradicted",
    "false: holds",
    "false: contradicted",
    "may say",
)


def power_tables(found: Sequence[Powers]) -> Table:
    """How often each rule on each table answers which way where its claim is true and false."""
    rows = [(power_label(one), *row) for one in found for row in _power_rows(one)]
    return Table(("table", *POWER_HEADER), rows)


def power_label(found: Powers) -> str:
    """The table that a power is of, or that it will be of once its grid is trained."""
    name = spoken(found.name)
    return name if in_force(found) else f"{name}, once all {found.runs} runs are there"


def _power_rows(found: Powers) -> list[tuple[str, ...]]:
    return [
        (
            f"{p.rule} {p.part}".strip(),
            *(
                percent(v)
                for v in (
                    p.supports_true,
                    p.contradicts_true,
                    p.any_contradicts_true,
                    p.supports_false,
                    p.contradicts_false,
                )
            ),
            _may_say(p),
        )
        for p in found.powers
    ]


def _may_say(power: Power) -> str:
    words = ["holds"] * power.can_support + ["contradicted"] * power.can_contradict
    return " or ".join(words) or "untestable"


def power_text(found: Powers) -> str:
    """The same for a terminal."""
    rows = [POWER_HEADER, *_power_rows(found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def counts(outcomes: Mapping[Claim, Outcome], source: Source) -> dict[Verdict, int]:
    """How many claims got each verdict from a source of runs."""
    found = [outcome.verdict(source) for outcome in outcomes.values()]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


def counted_verdicts(found: Mapping[Verdict, int]) -> str:
    """`10 hold, none is contradicted and 1 is undecided`."""
    verbs = {
        "holds": ("holds", "hold"),
        "contradicted": ("is contradicted", "are contradicted"),
        "undecided": ("is undecided", "are undecided"),
    }
    return listed(some(found[verdict], *verbs[verdict]) for verdict in VERDICTS)


def totals_table(outcomes: Mapping[Claim, Outcome]) -> Table:
    """How many of the paper's claims, the summary's statements and our findings got a verdict."""
    kinds = {"C": "claims of the paper", "S": "statements of its summary", "B": "findings here"}
    rows = []
    for letter, name in kinds.items():
        part = {c: o for c, o in outcomes.items() if c.id[0] == letter}
        for source, runs in SOURCES.items():
            found = counts(part, source)
            if any(found.values()):
                rows.append((f"{name}, {runs}", *(str(n) for n in found.values())))
    return Table(("", *VERDICTS), rows)


def as_text(outcomes: Mapping[Claim, Outcome]) -> str:
    """The scorecard for a terminal."""
    lines = []
    for claim, outcome in outcomes.items():
        found = {runs: outcome.verdict(source) for source, runs in SOURCES.items()}
        said = "; ".join(f"{verdict} on {runs}" for runs, verdict in found.items() if verdict)
        lines.append(f"{claim.id:4} {claim.statement}\n       {said}")
        lines += [
            f"         {MARKS[e.verdict]} {e.label}: {e.quantity}: {estimate_text(e)}; holds for "
            f"{region_text(e.region, e.unit)}: {e.answer}; power: {power_note(e)}"
            + (f" ({e.note})" if e.note else "")
            for e in outcome.evidence
        ]
        lines += [f"         – missing: {said.why}" for said in outcome.missing]
    lines.append("")
    for source, runs in SOURCES.items():
        total = ", ".join(f"{n} {verdict}" for verdict, n in counts(outcomes, source).items())
        lines.append(f"{runs}: {total}")
    return "\n".join(lines)


def as_objects(outcomes: Mapping[Claim, Outcome]) -> list[dict[str, Any]]:
    """The scorecard for a machine; ends of intervals and regions that are open are null."""
    return [
        {
            **{name: getattr(claim, name) for name in ("id", "statement", "paper", "page")},
            "rules": [_rule(rule) for rule in claim.rules],
            "verdicts": {source: outcome.verdict(source) for source in SOURCES},
            "evidence": [_object(e) for e in outcome.evidence],
            "missing": [m._asdict() for m in outcome.missing],
        }
        for claim, outcome in outcomes.items()
    ]


def _rule(rule: Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in ("id", "quantity", "estimate", "true", "false")}


def _object(evidence: Evidence) -> dict[str, Any]:
    region, power = evidence.region, evidence.power
    return {
        **{name: value for name, value in vars(evidence).items() if name != "region"},
        "value": _finite(evidence.value),
        "interval": [_finite(end) for end in evidence.interval],
        "holds_for": [_finite(region.low), _finite(region.high)],
        "margin": region.margin,
        "answer": evidence.answer,
        "power": None if power is None else vars(power),
        "verdict": evidence.verdict,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
