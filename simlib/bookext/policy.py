"""The content security policy of every page: which scripts may run in it.

The pages hold text from tables and law files, which anybody may have written. Scripts run from the
book's own files, and inline only those that the theme brings; what stands in a page's body runs
under no circumstances.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from typing import Any

from sphinx.jinja2glue import BuiltinTemplateLoader

from simlib.bookext.access import framed

_INLINE = re.compile(r"<script\b(?![^>]*\b(?:src|type)=)[^>]*>(.*?)</script>", re.DOTALL)
_HANDLER = re.compile(r"\son[a-z]+=\"([^\"]*)\"")
_HEAD = "<head>"
# pages whose scripts compute in a worker, made of their own text, on what a reader hands them
_COMPUTING = ("book/your_fit",)


def _sources(scripts: Iterable[str]) -> list[str]:
    digests = {hashlib.sha256(script.encode()).digest() for script in scripts}
    return sorted(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def policy(frame: str, name: str = "") -> str:
    """The policy of a page, given the page as it is without its body, and its name.

    Inline scripts and event handlers of `frame` are allowed by their SHA-256. Charts and formulas
    write styles into the page, so styles may stand there; `blob:` is what a chart's numbers are
    downloaded as. A page that computes on a reader's own table starts a worker from a `blob:`, and
    nothing on it may connect to anything, not even to where the book lies.
    """
    inline = _sources(_INLINE.findall(frame))
    handlers = _sources(map(html.unescape, _HANDLER.findall(frame)))
    scripts = ["'self'", *inline, *(["'unsafe-hashes'", *handlers] if handlers else [])]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(scripts),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self' data:",
        "connect-src": "'self' blob:",
        "form-action": "'self'",
        "base-uri": "'none'",
    }
    if name in _COMPUTING:
        rules |= {"worker-src": "blob:", "connect-src": "blob:"}
    return "; ".join(f"{rule} {value}" for rule, value in rules.items())


class Templates(BuiltinTemplateLoader):
    """Sphinx's own templates, each page with its policy before anything else."""

    def render(self, template: str, context: dict[str, Any]) -> str:
        """The page; a template without a head and a page of an e-book are left as they are."""
        page = super().render(template, context)
        if _HEAD not in page or context.get("builder") == "epub":  # whose readers run no scripts
            return page
        frame = super().render(template, {**context, "body": ""})
        page = framed(page)
        name = str(context.get("pagename", ""))
        tag = f'<meta http-equiv="Content-Security-Policy" content="{policy(frame, name)}">'
        return page.replace(_HEAD, f"{_HEAD}\n    {tag}", 1)
