"""Each claim of the paper, of its summary and of this book: what decides it, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from simlib.claims import findings, laws, optima, pretraining, statements, training
from simlib.claims.evidence import VERDICTS, Claim, Evidence, Outcome, Region, Verdict, totals
from simlib.claims.sources import Sources
from simlib.errors import InputError

__all__ = [
    "CLAIMS", "VERDICTS", "Claim", "Evidence", "Outcome", "Region", "Sources", "Verdict",
    "scorecard", "totals",
]  # fmt: skip


def _order(claim: Claim) -> tuple[int, int]:
    return "CSB".index(claim.id[0]), int(claim.id[1:])


CLAIMS: tuple[Claim, ...] = tuple(
    sorted(
        (
            *laws.CLAIMS, laws.LANGUAGE, *optima.CLAIMS, optima.FAIR, *statements.CLAIMS,
            *pretraining.CLAIMS, *training.CLAIMS, *findings.CLAIMS,
        ),
        key=_order,
    )
)  # fmt: skip


def scorecard(sources: Sources | None = None, only: Sequence[str] = ()) -> dict[Claim, Outcome]:
    """Every claim with what decides it, in order; `only` names some by id.

    Without `sources` they are decided from what ships with the book. Raises InputError for an
    unknown id.
    """
    known = {claim.id: claim for claim in CLAIMS}
    for name in only:
        if name not in known:
            raise InputError(f"there is no claim {name!r}; there are {', '.join(known)}")
    chosen = [claim for claim in CLAIMS if not only or claim.id in only]
    found = sources or Sources()
    return {claim: _decided(claim, found) for claim in chosen}


def _decided(claim: Claim, sources: Sources) -> Outcome:
    try:
        return claim.decide(sources)
    except InputError as refusal:
        return Outcome(missing=(str(refusal),))
