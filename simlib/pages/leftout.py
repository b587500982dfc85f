"""The quiet line that a page shows in place of what it could not compute where it was built."""

from __future__ import annotations

import html
from typing import Any


class LeftOut:
    """`needs`: what the cell needs and this build did not have, such as "the released runs"."""

    def __init__(self, needs: str) -> None:
        self.text = f"Left out of this build: it needs {needs}, not at hand where it was made."

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, str]:
        line = f'<p class="left-out">{html.escape(self.text)}</p>'
        return {"text/html": line, "text/plain": self.text}
