"""Tables of a page: rows of text under a header, and numbers written one way everywhere."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable

from simlib.fit.profile import Interval

NOTHING = 1e-9  # smaller values are the solver's bound for an absent term, and read 0


class Table:
    """Rows of text under a header, shown by a notebook as a table."""

    def __init__(self, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        self.header = header
        self.rows = list(rows)

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        def line(cells: tuple[str, ...], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        head = f"<thead>{line(self.header, 'th')}</thead>"
        table = f'<table class="table">{head}<tbody>{body}</tbody></table>'
        return {"text/html": table, "text/plain": "\n".join("\t".join(r) for r in self.rows)}


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits; powers of ten beyond a million, 'open' for none."""
    if value is None:
        return "open"
    size = abs(value)
    if size < NOTHING or not math.isfinite(value):
        return f"{value:.0f}"
    if 1e-4 <= size < 1e6:
        decimals = max(digits - 1 - math.floor(math.log10(size)), 0)
        return f"{value:,.{decimals}f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def percent(value: float, digits: int = 0) -> str:
    """A share in percent."""
    return f"{value:.{digits}%}"


def with_interval(value: float, interval: Interval | None, digits: int = 3) -> str:
    """`value (low to high)`; an end that does not exist reads 'open'."""
    if interval is None:
        return number(value, digits)
    low, high = (
        "open" if end is None or not math.isfinite(end) else number(end, digits) for end in interval
    )
    return f"{number(value, digits)} ({low} to {high})"
