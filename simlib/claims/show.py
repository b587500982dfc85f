"""The scorecard in words: one row a claim, its evidence, and the totals."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simlib.claims.estimates import written
from simlib.claims.evidence import VERDICTS, Answer, Claim, Evidence, Outcome, Region, Unit, totals
from simlib.tables import Table

LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
HEADER = ("id", "claim", "the paper's number", "on the released runs", "on our runs", "verdict")
MARKS: dict[Answer, str] = {"supports": "✓", "contradicts": "✗", "undecided": "?"}


class LinkedTable(Table):
    """A table whose cells may break lines and may be links, written `[text](address)`."""

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**options)
        linked = LINK.sub(r'<a href="\2">\1</a>', bundle["text/html"])
        return {**bundle, "text/html": linked.replace("\n", "<br>")}


def estimate_text(evidence: Evidence) -> str:
    """Value and interval; the value alone where nothing is uncertain."""
    low, high = evidence.interval
    value = written(evidence.value, evidence.unit)
    if low == high:
        return value
    return f"{value} ({written(low, evidence.unit)} to {written(high, evidence.unit)})"


def region_text(region: Region, unit: Unit) -> str:
    """The region as an inequality."""
    low, high = written(region.low, unit), written(region.high, unit)
    if math.isinf(region.low) or (region.low == 0 and not math.isinf(region.high)):
        return f"at most {high}"
    return f"at least {low}" if math.isinf(region.high) else f"{low} to {high}"


def claim_table(outcomes: Mapping[Claim, Outcome]) -> Table:
    """One row a claim: statement, the paper's number, estimates on both kinds of runs, verdict.

    The id links to the page of the evidence, from a page in the folder of notebooks.
    """
    return LinkedTable(HEADER, [
        (
            _link(claim.id, claim), claim.statement, claim.paper,
            _estimates([e for e in outcome.evidence if not e.own]),
            _estimates([e for e in outcome.evidence if e.own]) or "not yet",
            outcome.verdict,
        )
        for claim, outcome in outcomes.items()
    ])  # fmt: skip


def _estimates(evidence: Sequence[Evidence]) -> str:
    return "\n".join(f"{MARKS[e.answer]} {e.runs}: {estimate_text(e)}" for e in evidence)


def evidence_table(outcomes: Mapping[Claim, Outcome]) -> Table:
    """One row a piece of evidence: what was estimated on which runs, and what was asked of it."""
    rows = [
        (
            claim.id, e.runs, e.quantity, estimate_text(e), region_text(e.region, e.unit),
            "" if e.paper is None else written(e.paper, e.unit), e.answer, e.note,
        )
        for claim, outcome in outcomes.items()
        for e in outcome.evidence
    ]  # fmt: skip
    header = ("id", "runs", "quantity", "estimate", "claim holds for", "paper", "it", "note")
    return Table(header, rows)


def missing_table(outcomes: Mapping[Claim, Outcome]) -> Table:
    """Why a set of runs says nothing of a claim: one row a reason."""
    reasons: dict[str, list[str]] = {}
    for claim, outcome in outcomes.items():
        for said in outcome.missing:
            reasons.setdefault(said, []).append(claim.id)
    return Table(("missing", "claims"), [(said, ", ".join(ids)) for said, ids in reasons.items()])


def rule_table(claims: Sequence[Claim]) -> Table:
    """The inequality that decides each claim, and a link to the page that shows its evidence.

    The links are those of a page in the folder of notebooks.
    """
    rows = [(c.id, c.rule, _link(Path(c.page).stem, c)) for c in claims]
    return LinkedTable(("id", "holds where", "page"), rows)


def _link(text: str, claim: Claim) -> str:
    return f"[{text}](../{Path(claim.page).with_suffix('.html')})"


def totals_table(outcomes: Mapping[Claim, Outcome]) -> Table:
    """How many of the paper's claims, the summary's statements and our findings got a verdict."""
    kinds = {"C": "claims of the paper", "S": "statements of its summary", "B": "findings here"}
    rows = []
    for letter, name in kinds.items():
        found = totals({c: o for c, o in outcomes.items() if c.id[0] == letter})
        rows.append((name, *(str(n) for n in found.values())))
    return Table(("", *VERDICTS), rows)


def as_text(outcomes: Mapping[Claim, Outcome]) -> str:
    """The scorecard for a terminal."""
    lines = []
    for claim, outcome in outcomes.items():
        lines.append(f"{claim.id:4} {outcome.verdict}: {claim.statement}")
        lines += [
            f"       {e.runs}: {e.quantity}: {estimate_text(e)}; "
            f"holds for {region_text(e.region, e.unit)}: {e.answer}"
            + (f" ({e.note})" if e.note else "")
            for e in outcome.evidence
        ]
        lines += [f"       missing: {said}" for said in outcome.missing]
    return "\n".join(lines)


def as_objects(outcomes: Mapping[Claim, Outcome]) -> list[dict[str, Any]]:
    """The scorecard for a machine; ends of intervals and regions that are open are null."""
    return [
        {
            **{name: getattr(claim, name) for name in ("id", "statement", "paper", "rule", "page")},
            "verdict": outcome.verdict,
            "evidence": [_object(e) for e in outcome.evidence],
            "missing": list(outcome.missing),
        }
        for claim, outcome in outcomes.items()
    ]


def _object(evidence: Evidence) -> dict[str, Any]:
    region = evidence.region
    return {
        **{name: value for name, value in vars(evidence).items() if name != "region"},
        "value": _finite(evidence.value),
        "interval": [_finite(end) for end in evidence.interval],
        "holds_for": [_finite(region.low), _finite(region.high)],
        "answer": evidence.answer,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
