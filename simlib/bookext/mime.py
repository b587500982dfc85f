"""How MyST-NB puts a Vega-Lite chart on a page."""

import json
from typing import Any

from docutils import nodes
from sphinx.util import logging

from simlib.pages.charts import VEGALITE_MIME
from simlib.pages.scripts import data_script

_LOGGER = logging.getLogger(__name__)


def chart_html(spec: dict[str, Any]) -> str:
    """The element that `vega-boot.js` turns into a chart; `spec` is a Vega-Lite specification."""
    return (
        '<div class="vega-figure" role="group" aria-label="Chart">'
        + data_script(spec, ' class="vega-spec"')
        + '<div class="vega-target"></div>'
        "<noscript><p>This chart is drawn by JavaScript in the page.</p></noscript></div>"
    )


class VegaLiteMimeRenderer:
    """Draw charts in HTML; builders for paper fall back to the static SVG of the same output."""

    mime_priority_overrides = (("html", VEGALITE_MIME, 1), ("dirhtml", VEGALITE_MIME, 1))

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[Any] | None:
        """Nodes for one output of a cell, or None for what is no chart."""
        if inline or data.mime_type != VEGALITE_MIME:
            return None
        spec = data.content if isinstance(data.content, dict) else json.loads(data.string)
        if not spec.get("description"):
            where = (renderer.renderer.sphinx_env.docname, data.line)
            _LOGGER.warning("chart without description: use charts.describe", location=where)
        renderer.add_js_file(
            "vega_bundle", "vega/vega-bundle.js", {"defer": "defer", "priority": 500}
        )
        renderer.add_js_file("vega_boot", "vega-boot.js", {"defer": "defer", "priority": 501})
        return [nodes.raw(text=chart_html(spec), format="html", classes=["output", "vega"])]
