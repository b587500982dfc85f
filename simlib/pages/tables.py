"""Tables of a page: rows of text under a header."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# to pages of this book only, from a page in one of its folders or from the first page
LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./|book/|notebooks/)[\w./#=&;-]+)\)")


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


class LinkedTable(Table):
    """A table whose cells may break lines and may be links, written `[text](../page)`."""

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**options)
        linked = LINK.sub(r'<a href="\2">\1</a>', bundle["text/html"])
        return {**bundle, "text/html": linked.replace("\n", "<br>")}


class Lines:
    """Sentences, one below the other."""

    def __init__(self, said: Iterable[str]) -> None:
        self.said = list(said)

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        items = "".join(f"<li>{html.escape(text)}</li>" for text in self.said)
        return {"text/html": f"<ul>{items}</ul>", "text/plain": "\n".join(self.said)}


class Folded:
    """Tables under a line that opens them: what most readers pass over."""

    def __init__(self, title: str, *tables: Table) -> None:
        self.title, self.tables = title, tables

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        bundles = [table._repr_mimebundle_(**options) for table in self.tables]
        inside = "".join(bundle["text/html"] for bundle in bundles)
        summary = f"<summary>{html.escape(self.title)}</summary>"
        return {
            "text/html": f'<details class="folded">{summary}{inside}</details>',
            "text/plain": "\n".join([self.title, *(b["text/plain"] for b in bundles)]),
        }
