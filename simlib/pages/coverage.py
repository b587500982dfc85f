"""How often intervals hold the truth, and whether fits end at the optimum: table and sentences."""

from __future__ import annotations

from simlib.analysis.numbers import percent
from simlib.pages.coveragefile import LEAST, MOST, Coverage, Share
from simlib.pages.tables import Table

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
    values = [share.value for share in found.shares]
    bounds = f"{percent(LEAST)} and {percent(MOST)}"
    missed = [share for share in found.shares if not share.holds]
    if not missed:
        return f"All {len(values)} shares lie between {bounds}."
    low = sum(share.value < LEAST for share in missed)
    groups: dict[str, list[str]] = {}
    for s in missed:
        group = groups.setdefault(f"by {s.kind} where the fit is {s.status}", [])
        group.append(f"{s.of} {percent(s.value, 1)}")
    named = "; ".join(f"{', '.join(shares)} {group}" for group, shares in groups.items())
    return (
        f"Of {len(values)} shares {len(values) - len(missed)} lie between {bounds}, {low} below "
        f"and {len(missed) - low} above: {named}."
    )


def optima_sentence(found: Coverage) -> str:
    """How many fits are within 1e-6 of the best of scipy's starts."""
    parts = [
        f"{o.within} of {o.count} {o.tables} tables, the worst of them {o.worst:.0e} above it, and "
        f"lower than it by more in {o.lower}"
        for o in found.optima
    ]
    return "; ".join(parts) + "." if parts else "it has not been counted."
