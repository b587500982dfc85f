"""What a page tells search engines and those who share its address: its description and its card.

The address of the site is `html_baseurl`, or `BOOK_ADDRESS` in the environment, which the workflow
that publishes the book sets; without it a card has no picture, since that needs a whole address.
"""

from __future__ import annotations

import html
import os
import re
from typing import Any

from docutils import nodes

PICTURE = "_static/card.png"
LONGEST = 200  # characters of a description, about what is shown


def description(doctree: nodes.document) -> str:
    """The first paragraph of a page as plain text, cut between two words."""
    first = next(doctree.findall(nodes.paragraph), None)
    text = " ".join((first.astext() if first is not None else "").split())
    if len(text) <= LONGEST:
        return text
    return re.sub(r"\W*\s\S*$", "", text[: LONGEST + 1]) + " …"


def tags(title: str, text: str, address: str, docname: str) -> str:
    """The meta tags of a page; `address` is that of the site with a slash at its end, or empty."""
    named = {"og:type": "article", "og:title": title, "og:description": text}
    if address:
        named |= {"og:url": f"{address}{docname}.html", "og:image": f"{address}{PICTURE}"}
    made = [f'<meta property="{key}" content="{html.escape(v)}">' for key, v in named.items()]
    card = "summary_large_image" if address else "summary"
    made += [
        f'<meta name="description" content="{html.escape(text)}">',
        f'<meta name="twitter:card" content="{card}">',
    ]
    return "\n".join(made)


def add_tags(app: Any, docname: str, _template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the tags into a page of the site that is about to be written."""
    if doctree is None or app.builder.name != "html":
        return
    address = os.environ.get("BOOK_ADDRESS") or app.config.html_baseurl or ""
    address = f"{address.rstrip('/')}/" if address else ""
    title = html.unescape(re.sub(r"<[^>]*>", "", context["title"]))
    found = tags(title, description(doctree), address, docname)
    context["metatags"] = context.get("metatags", "") + found
