"""The first use of a glossary's word on a page opens its meaning: on hover, and as a link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from docutils import nodes
from sphinx import addnodes

GLOSSARY = "book/glossary"
# words that mean nothing particular most of the time, and symbols
COMMON = {"claim", "rule", "cell", "curve", "data", "fit", "loss", "power", "schedule"}
SHORTEST = 5  # letters; symbols are shorter
# where a link would be out of place, or break what stands there
OUTSIDE = (nodes.reference, nodes.literal, nodes.literal_block, nodes.math, nodes.title, nodes.raw)


class Meaning(NamedTuple):
    """Where a word is defined, and what it means there."""

    anchor: str
    text: str


def meanings(glossary: nodes.document) -> dict[str, Meaning]:
    """Every word of a glossary in lower case, but for common ones; an entry may have several."""
    found = {}
    for entry in glossary.findall(addnodes.glossary):
        for item in entry.findall(nodes.definition_list_item):
            meaning = " ".join(item.children[-1].astext().split())
            for term in item.findall(nodes.term):
                for word in re.split(r",\s*", term.astext()):
                    if len(word) >= SHORTEST and word.lower() not in COMMON:
                        found[word.lower()] = Meaning(term["ids"][0], meaning)
    return found


def link_first_uses(document: nodes.document, known: dict[str, Meaning], address: str) -> None:
    """Turn the first use of each word in running text into a link to `address` with its meaning."""
    left = dict(known)
    for text in list(_running(document)):
        if left:
            parts = list(_parts(text.astext(), left, address))
            if len(parts) > 1:
                text.parent.replace(text, parts)


def _running(document: nodes.document) -> Iterator[nodes.Text]:
    """Texts whose nearest block is a paragraph, outside of links, code and formulas."""
    for text in document.findall(nodes.Text):
        parent: Any = text.parent
        # glued values may hang in the tree by one side only
        while parent is not None and not isinstance(parent, (nodes.paragraph, *OUTSIDE)):
            parent = parent.parent
        if isinstance(parent, nodes.paragraph) and text in text.parent.children:
            yield text


def _parts(text: str, left: dict[str, Meaning], address: str) -> Iterator[nodes.Node]:
    """The text with links in it; words that were linked leave `left`."""
    while left:
        words = "|".join(sorted(map(re.escape, left), key=len, reverse=True))
        match = re.search(rf"(?<![\w-])({words})s?(?![\w-])", text, re.IGNORECASE)
        if match is None:
            break
        meaning = left.pop(match[1].lower())
        yield nodes.Text(text[: match.start()])
        yield nodes.reference(
            "",
            match[0],
            internal=True,
            refuri=f"{address}#{meaning.anchor}",
            reftitle=meaning.text,
            classes=["glossary-word"],
        )
        text = text[match.end() :]
    yield nodes.Text(text)


def _resolved(app: Any, document: nodes.document, page: str) -> None:
    if page == GLOSSARY or GLOSSARY not in app.env.found_docs or app.builder.format != "html":
        return
    known = meanings(app.env.get_doctree(GLOSSARY))
    link_first_uses(document, known, app.builder.get_relative_uri(page, GLOSSARY))


def setup(app: Any) -> dict[str, Any]:
    """Entry point of the extension."""
    app.connect("doctree-resolved", _resolved)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
