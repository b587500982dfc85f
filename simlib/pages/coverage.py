"""How often intervals hold the truth, and whether fits end at the optimum: table and sentences."""

from __future__ import annotations

from simlib.analysis.numbers import NOTHING, number, percent
from simlib.pages.coveragefile import LEAST, MOST, Coverage, Share
from simlib.pages.tables import Table
from simlib.pages.words import out_of, sentence, some

OUTSIDE = "!"  # beside a share that is not as near to nominal as it is to be


def shares_table(found: Coverage) -> Table:
    """A row for each coefficient and what follows from them, a column for each kind of table."""
    columns = list(dict.fromkeys((s.status, s.kind) for s in found.shares))
    columns.sort(key=lambda column: (column[0].startswith("at bound"), column))
    cells = {(s.of, s.status, s.kind): s for s in found.shares}
    tables = {(s.status, s.kind): s.tables for s in found.shares}
    names = list(dict.fromkeys(s.of for s in found.shares))
    return Table(
        (
            "interval of",
            *(f"{status}, {kind} ({tables[status, kind]})" for status, kind in columns),
        ),
        [(name, *(_cell(cells.get((name, *column))) for column in columns)) for name in names],
    )


def _cell(share: Share | None) -> str:
    if share is None:
        return "–"
    return percent(share.value) + ("" if share.holds else f" {OUTSIDE}")


def shares_sentence(found: Coverage) -> str:
    """Between what the shares lie, and which of them are outside of what they are to hold."""
    shares = found.shares
    missed = [share for share in shares if not share.holds]
    low = [share for share in missed if share.value < LEAST]
    inside = len(shares) - len(missed)
    said = (
        f"{sentence(out_of(inside, len(shares), 'share'))} {'lies' if inside == 1 else 'lie'} "
        f"between {percent(LEAST)} and {percent(MOST)}"
    )
    if not missed:
        return f"{said}."
    named = [f"{s.of} {percent(s.value, 1)} by {s.kind} where the fit is {s.status}" for s in low]
    return (
        f"{said}; {some(len(missed) - len(low), 'is', 'are')} larger, and "
        f"{some(len(low), 'is', 'are')} smaller{': ' * bool(low)}{'; '.join(named)}."
    )


def _worst(above: float) -> str:
    return "none above it" if above < NOTHING else f"the worst {number(above, 1)} above it"


def optima_sentence(found: Coverage) -> str:
    """How many fits are within 1e-6 of the best of scipy's starts."""
    parts = [
        f"{out_of(o.within, o.count, f'{o.tables} table')}, {_worst(o.worst)}, and lower than it "
        f"by more in {o.lower or 'none'}"
        for o in found.optima
    ]
    return "; ".join(parts) + "." if parts else "it has not been counted."
