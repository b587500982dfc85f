"""What the theme and the writers of tables leave undone for readers with a keyboard or a voice."""

from __future__ import annotations

import re
from typing import Any

_EMPTY_HEADER = re.compile(r"<th\b([^>]*)>((?:\s|<p>\s*</p>)*)</th>")
_ENTRY = ' role="doc-biblioentry"'
SCRIPT = "access.js"  # makes what scrolls reachable by keyboard


def mended(body: str) -> str:
    """The HTML of a page whose header cells all say something: an empty one is no header.

    Entries of the bibliography have a role that a list admits.
    """
    return _EMPTY_HEADER.sub(r"<td\1>\2</td>", body).replace(_ENTRY, ' role="listitem"')


def framed(page: str) -> str:
    """A whole page whose sidebar is a landmark: the theme leaves the brand in it outside of any."""
    landmark = '<div role="complementary" aria-label="The book" class="bd-sidebar-primary'
    return page.replace('<div class="bd-sidebar-primary', landmark, 1)


def mend_page(
    app: Any, _docname: str, _template: str, context: dict[str, Any], _doctree: Any
) -> None:
    """Mend a page of the site that is about to be written."""
    if app.builder.name == "html":
        context["body"] = mended(context.get("body", ""))
        app.add_js_file(SCRIPT, defer="defer")
