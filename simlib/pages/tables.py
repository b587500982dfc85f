"""Tables of a page: rows of text under a header."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterable

from simlib.pages.words import signed

# to pages of this book only, from a page in one of its folders or from the first page
LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./|book/|notebooks/)[\w./#=&;-]+)\)")

MOST_OPEN = 2  # tables of a page that stand open; a reader opens the others
_shown = [0]  # tables that this notebook has shown


def _folds() -> bool:
    """Whether the next table of a notebook is one too many to stand open."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return False
    _shown[0] += 1
    return _shown[0] > MOST_OPEN


class Table:
    """Rows of text under a header, shown by a notebook as a table.

    After the second one of a page a table is folded under a line that names its columns.
    """

    def __init__(self, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        self.header = header
        self.rows = list(rows)

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        def line(cells: tuple[str, ...], tag: str) -> str:
            texts = (html.escape(signed(c)) for c in cells)
            return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        head = f"<thead>{line(self.header, 'th')}</thead>"
        table = f'<table class="table">{head}<tbody>{body}</tbody></table>'
        text = "\n".join("\t".join(r) for r in self.rows)
        if _folds():
            table = _details("Table: " + ", ".join(filter(None, self.header)), table)
        return {"text/html": table, "text/plain": text}


def _details(summary: str, inside: str) -> str:
    head = f"<summary>{html.escape(summary)}</summary>"
    return f'<details class="folded">{head}{inside}</details>'


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
        items = "".join(f"<li>{html.escape(signed(text))}</li>" for text in self.said)
        return {"text/html": f"<ul>{items}</ul>", "text/plain": "\n".join(self.said)}


class Folded:
    """Tables under a line that opens them: what most readers pass over."""

    def __init__(self, title: str, *tables: Table) -> None:
        self.title, self.tables = title, tables

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        shown, _shown[0] = _shown[0], -len(self.tables)  # none of these folds by itself
        bundles = [table._repr_mimebundle_(**options) for table in self.tables]
        _shown[0] = shown
        inside = "".join(bundle["text/html"] for bundle in bundles)
        return {
            "text/html": _details(self.title, inside),
            "text/plain": "\n".join([self.title, *(b["text/plain"] for b in bundles)]),
        }
