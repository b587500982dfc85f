"""The texts that the search page cuts its excerpts from, in one script.

Sphinx's search asks for every page that it found to cut an excerpt from it; browsers refuse that
for a book opened as files. `search-book.js` answers from here instead.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

TEXTS, ANSWERS = "search-texts.js", "search-book.js"
_ARTICLE = re.compile(r"<article[^>]*>(.*)</article>", re.DOTALL)
_SILENT = re.compile(r"<(script|style|svg|noscript|details)\b.*?</\1>", re.DOTALL)
_TAG = re.compile(r"<(?!/?section\b)[^>]*>")


def text_of(page: str) -> str:
    """The words of the HTML page's article within its sections, whose ids searches point to."""
    found = _ARTICLE.search(page)
    words = _TAG.sub(" ", _SILENT.sub(" ", found[1] if found else ""))
    return " ".join(words.split())


def write_texts(app: Any, failed: Exception | None) -> None:
    """Write the texts of all pages beside the other scripts of the built book."""
    if failed or app.builder.name != "html":
        return
    out = Path(app.outdir)
    pages = {name: out / f"{name}.html" for name in sorted(app.env.found_docs)}
    texts = {
        name: text_of(path.read_text(encoding="utf-8"))
        for name, path in pages.items()
        if path.is_file()
    }
    script = f"window.searchTexts = {json.dumps(texts)};\n"
    (out / "_static" / TEXTS).write_text(script, encoding="utf-8")


def add_scripts(app: Any, docname: str, _template: str, _context: Any, _doctree: Any) -> None:
    """Load the texts and what answers from them on the search page alone."""
    if docname == "search" and app.builder.name == "html":
        for script in (TEXTS, ANSWERS):
            app.add_js_file(script)
