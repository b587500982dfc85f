"""Tables of a page: rows of text under a header."""

from __future__ import annotations

import html
from collections.abc import Iterable


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
