"""Draw the README's chart from the shipped law files: `make readme-chart`."""

from pathlib import Path

import vl_convert

from simlib.datasets import load_law
from simlib.pages import charts, optima

TARGET = Path(__file__).resolve().parent.parent / "book" / "assets" / "optimal-sparsity.svg"


def main() -> None:
    """Write the chart as SVG on white, legible on a light and on a dark page."""
    charts.enable()
    laws = [load_law(name) for name in ("vit-jft-refit", "t5-c4-refit")]
    chart = optima.sparsity_against_compute(laws, "dense")
    spec = chart.properties(width=charts.STATIC_WIDTH, background="white", padding=12).to_dict()
    TARGET.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")


if __name__ == "__main__":
    main()
