"""Draw the README's chart, which is also the card of shared pages: `make readme-chart`."""

from pathlib import Path

import vl_convert

from simlib.datasets import load_law
from simlib.pages import charts, optima

ASSETS = Path(__file__).resolve().parent.parent / "book" / "assets"
TARGET, CARD = ASSETS / "optimal-sparsity.svg", ASSETS / "static" / "card.png"


def main() -> None:
    """Write the chart as SVG on white, legible on a light and on a dark page."""
    charts.enable()
    laws = [load_law(name) for name in ("vit-jft-refit", "t5-c4-refit")]
    chart = optima.sparsity_against_compute(laws, "dense")
    spec = chart.properties(width=charts.STATIC_WIDTH, background="white", padding=12).to_dict()
    drawn = vl_convert.vegalite_to_svg(spec)
    TARGET.write_text(drawn, encoding="utf-8")
    CARD.write_bytes(vl_convert.svg_to_png(drawn, scale=1.5))


if __name__ == "__main__":
    main()
