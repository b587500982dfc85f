"""Data for the scripts of a page, inside the page."""

from __future__ import annotations

import json
from typing import Any


def data_script(data: Any, attributes: str = "") -> str:
    """A script element that holds `data` as JSON and runs nothing.

    No `<` is left in it: a name such as `<!--<script>` would swallow the rest of the page.
    """
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json"{attributes}>{text}</script>'
