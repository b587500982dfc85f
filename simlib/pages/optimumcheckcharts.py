"""Charts of the page that holds predicted optima against runs."""

from __future__ import annotations

import altair as alt
import numpy as np

from simlib.analysis.numbers import percent
from simlib.analysis.optimumcheck import Check
from simlib.laws.lawfile import LawFile
from simlib.laws.optimum import cost_model
from simlib.pages import charts
from simlib.pages.optimumchecktables import measured_text, point_text


def loss_at_point(check: Check, law_file: LawFile) -> alt.LayerChart:
    """Loss against sparsity at equal size and cost: runs, the law, both optima."""
    point = check.point
    S = np.linspace(0, max(point.sparsities), 60)
    D = cost_model(point.cost).data_seen(S, point.nonzero_params, point.flops)
    curve = charts.rows(sparsity=S, loss=law_file.joint(S, point.nonzero_params, D))
    runs = [
        {"sparsity": arm.sparsity, "loss": run.loss, "data": arm.data_seen}
        for arm in check.arms
        for run in arm.runs
    ]
    means = [{"sparsity": arm.sparsity, "loss": arm.loss} for arm in check.arms]
    x = alt.X("sparsity:Q", title="Sparsity", axis=alt.Axis(format="%"))
    y = alt.Y("loss:Q", title="Loss (nats per token)", scale=alt.Scale(zero=False))
    law = alt.Chart(curve).mark_line(color=charts.FITTED).encode(x=x, y=y)
    marks = alt.Chart(alt.Data(values=runs)).mark_point(
        filled=True, size=40, color=charts.ORANGE[0], opacity=0.6
    ).encode(x=x, y=y)  # fmt: skip
    line = alt.Chart(alt.Data(values=means)).mark_line(color=charts.ORANGE[0]).encode(x=x, y=y)
    predicted = _rule(point.optimum, charts.FITTED, [5, 3])
    measured = _rule(check.best, charts.ORANGE[0], [2, 2])
    text = f"""{point_text(point)}: loss against sparsity where more sparsity buys size and pays in
        data. Orange points are runs, the orange line their means, the blue line is the law that was
        fitted before. Dashed vertical lines stand at the predicted optimum, blue,
        {percent(point.optimum)}, and at the measured one, orange, {measured_text(check)}."""
    layered: alt.LayerChart = charts.describe(
        (law + line + marks + predicted + measured).properties(title=point_text(point)), text
    )
    return layered


def _rule(sparsity: float, colour: str, dash: list[int]) -> alt.Chart:
    mark = alt.Chart(alt.Data(values=[{"at": sparsity}])).mark_rule(color=colour, strokeDash=dash)
    rule: alt.Chart = mark.encode(x="at:Q")
    return rule
