"""Charts of the page on pruning trained models."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from simlib.analysis.datamultiple import PUBLISHED, Multiple, from_scratch
from simlib.analysis.numbers import number, percent
from simlib.pages import charts
from simlib.runs.table import RunTable

PAPER = "Frantar et al. 2024"


def scratch_and_pruned(runs: RunTable, nonzero_params: int) -> alt.LayerChart:
    """Loss against data of runs from scratch, as lines, and of pruned ones, as triangles."""
    pruned = [
        run
        for run in runs.finished
        if run.pruner == "from_checkpoint" and run.nonzero_params == nonzero_params
    ]
    shapes = {run.dense_params: run for run in pruned}
    scratch = [run for like in shapes.values() for run in from_scratch(runs.finished, like)]
    levels = sorted({round(run.sparsity, 3) for run in scratch})
    title = f"{nonzero_params:,} non-zero parameters"
    x = charts.log_x("data", "Data seen, or pruned over (bytes)")
    y = alt.Y("loss:Q", title="Loss (nats per byte)", scale=alt.Scale(zero=False))
    colour = charts.sparsity_colour(levels)
    base = alt.Chart(_points(scratch)).encode(x=x, color=colour)
    mean = base.mark_line().encode(y=alt.Y("mean(loss):Q", title="Loss (nats per byte)"))
    marks = base.mark_point(filled=True, size=30, opacity=0.6).encode(y=y)
    triangles = alt.Chart(_points(pruned)).mark_point(
        shape="triangle-up", filled=True, size=130
    ).encode(x=x, y=y, color=colour)  # fmt: skip
    text = f"""{title}: loss against data, one line a sparsity from scratch, falling, and one
        triangle for each of {len(pruned)} runs that pruned a trained model over that data. How far
        to the right of a triangle the line of its colour comes down to its height is the data
        multiple."""
    layered: alt.LayerChart = charts.describe(
        (mean + marks + triangles).properties(title=title), text
    )
    return layered


def _points(runs: Sequence[object]) -> alt.Data:
    return alt.Data(
        values=[
            {"data": r.data_seen, "loss": r.loss, "sparsity": round(r.sparsity, 3)}  # type: ignore[attr-defined]
            for r in runs
        ]
    )


def multiples(found: Sequence[Multiple]) -> alt.LayerChart:
    """Data multiples against sparsity with their intervals, beside the paper's."""
    names = list(dict.fromkeys(_series(m) for m in found))
    values = [_row(m) for m in found]
    values += [
        {"sparsity": percent(S, 1), "series": PAPER, "multiple": v} for S, v in PUBLISHED.items()
    ]
    colours = [
        charts.ORANGE[0],
        *(light for light, _ in charts.SERIES if light != charts.ORANGE[0]),
    ]
    order = [PAPER, *names]
    legend = alt.Legend(columns=2, labelLimit=300)
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("sparsity:O", title="Sparsity", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("series:N", sort=order),
        color=alt.Color("series:N", sort=order, title=None, legend=legend,
                        scale=alt.Scale(domain=order, range=colours[: len(order)])),
    )  # fmt: skip
    title = "Data from scratch, times the data pruned over"
    bars = base.mark_rule(strokeWidth=3, opacity=0.4).encode(
        y=charts.log_y("low", title, nice=False), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=70).encode(
        y=charts.log_y("multiple", title, nice=False),
        shape=alt.Shape("series:N", sort=order, legend=None),
    )
    even = alt.Chart(alt.Data(values=[{"y": 1}])).mark_rule(
        strokeDash=[5, 3], color=charts.GREY[0]
    ).encode(y="y:Q")  # fmt: skip
    text = f"""Data that a model from scratch needs, as a multiple of what pruning a trained one
        saw, against sparsity, with intervals, for {len(names)} combinations of size and data, and
        the three numbers of the paper, {", ".join(number(v) for v in PUBLISHED.values())}. At the
        dashed line at one a trained model is worth nothing."""
    layered: alt.LayerChart = charts.describe(even + bars + points, text)
    return layered


def _series(found: Multiple) -> str:
    return f"{found.nonzero_params:,} non-zero, over {found.data_seen:,}"


def _row(found: Multiple) -> dict[str, object]:
    """A multiple beyond the measured data is drawn as its interval alone, up to where it ends."""
    least, most = (end / found.data_seen for end in found.measured)
    low, high = found.ends
    return {
        "sparsity": percent(found.sparsity, 1), "series": _series(found),
        "multiple": found.value, "low": least if low is None else low,
        "high": most if high is None else high,
    }  # fmt: skip
