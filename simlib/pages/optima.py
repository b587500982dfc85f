"""Charts of optimal sparsity: its contours, and its growth with compute."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import chinchilla_flops, contour, optimal_sparsity
from simlib.pages import charts
from simlib.pages.law_answers import bands
from simlib.pages.names import spoken

CONTOURS = (0.0, 0.25, 0.5, 0.75, 0.875)
SIZES = np.geomspace(1e6, 1e12, 25)
MULTIPLES = np.geomspace(0.1, 1e4, 76)  # of the Chinchilla compute


def contours(law_file: FittedLaw, cost: str, sizes: Array = SIZES) -> alt.LayerChart:
    """Compute at which each sparsity is optimal, against size, beside the dense optimum."""
    law = law_file.joint
    values = [
        {"sparsity": S, "nonzero_params": float(N), "flops": float(C)}
        for S in CONTOURS
        for N, C in zip(sizes, contour(law, S, sizes, cost), strict=True)
    ]
    x, y = (
        charts.log_x("nonzero_params", "Non-zero parameters"),
        alt.Y(
            "flops:Q",
            title="Training compute (FLOP)",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(
                labelExpr="'1e' + round(log(datum.value) / LN10)",
                values=[10.0**k for k in range(6, 36, 3)],
            ),
        ),
    )
    lines = (
        alt.Chart(alt.Data(values=values))
        .mark_line()
        .encode(x=x, y=y, color=charts.sparsity_colour(CONTOURS))
    )
    dense = charts.rows(nonzero_params=sizes, flops=chinchilla_flops(law, sizes))
    optimum = (
        alt.Chart(dense)
        .mark_line(strokeDash=[6, 4], color=charts.GREY[0], strokeWidth=2)
        .encode(x=x, y=y)
    )
    title = {"dense": "Dense training cost", "sparse": "Sparse training cost"}[cost]
    text = f"""{title}, {spoken(law_file.name)}: compute at which 0, 25, 50, 75 and 87.5 percent
        sparsity is optimal, against non-zero parameters, both logarithmic. The lines are straight
        and parallel to each other and to the dashed line of dense compute-optimal sizes."""
    chart = (lines + optimum).properties(
        title=f"{title} ({spoken(law_file.name)}; dashed: dense optimum)"
    )
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def sparsity_against_compute(
    law_files: Sequence[FittedLaw], cost: str, level: float = 0.9
) -> alt.LayerChart:
    """Optimal sparsity against compute in multiples of the dense optimum, with bands."""

    def best(law: JointLaw) -> Array:
        N = np.ones(())  # multiples of the dense optimum do not depend on size
        return optimal_sparsity(law, N, MULTIPLES * chinchilla_flops(law, N), cost)

    columns = []
    for f in law_files:
        low, high = f.interval(best, dims=1, level=level)
        columns.append(
            charts.rows(
                law=spoken(f.name), multiple=MULTIPLES, sparsity=best(f.joint), low=low, high=high
            )
        )
    title = {"dense": "Dense training cost", "sparse": "Sparse training cost"}[cost]
    chart = bands(
        columns,
        "multiple",
        "sparsity",
        "Compute, in multiples of the dense optimum",
        "Optimal sparsity",
        log=True,
    ).properties(title=title)
    text = f"""{title}: optimal sparsity against training compute in multiples of the dense compute
        optimum, for the ViT and the T5 law fitted here, each with its interval. Both grow with
        compute; the interval of T5 is many times wider than that of ViT."""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered
