"""Charts of a comparison of forms."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from simlib.analysis.numbers import number, percent
from simlib.fit.comparefile import ComparisonFile
from simlib.pages import charts
from simlib.pages.formtables import HELD_OUT

NO_TITLE = alt.Axis(labelLimit=200)


def held_out_errors(file: ComparisonFile) -> alt.Chart:
    """Error of each form in sample and on what was held out of its fit."""
    found = file.comparison
    values = [
        {"form": a.form, "runs": name, "error": error}
        for a in found.assessments
        for name, error in (
            ("in sample", a.log_rmse), *((h.name, h.log_rmse) for h in a.holdouts)
        )
        if error is not None
    ]  # fmt: skip
    order = [a.form for a in found.assessments]
    kinds = ["in sample", *HELD_OUT]
    scale = alt.Scale(domain=kinds, range=[light for light, _ in (charts.GREY, *charts.SERIES[:4])])
    shapes = alt.Scale(domain=kinds, range=["circle", "square", "diamond", "triangle-up", "cross"])
    legend = alt.Legend(columns=2)  # as many as fit a phone
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_point(filled=True, size=90, opacity=0.9)
        .encode(
            x=alt.X("error:Q", title="log-RMSE", scale=alt.Scale(type="log", nice=False),
                    axis=alt.Axis(format=".1%", tickCount=6)),
            y=alt.Y("form:N", title=None, sort=order, axis=NO_TITLE),
            color=alt.Color("runs:N", title=None, scale=scale, legend=legend),
            shape=alt.Shape("runs:N", title=None, scale=shapes, legend=legend),
            tooltip=["form:N", "runs:N", alt.Tooltip("error:Q", format=".2%")],
        )
    )  # fmt: skip
    joint = found.assessment("joint")
    worst = max(values, key=lambda value: float(str(value["error"])))
    text = f"""Error of each form on the {found.runs} runs of {file.name}, in sample and on runs
        held out of its fit. The joint law's error in sample is {percent(joint.log_rmse, 2)}; the
        largest error of all is that of {worst["form"]} on {worst["runs"]}."""
    described: alt.Chart = charts.describe(chart.properties(height=280), text)
    return described


def forecasts(file: ComparisonFile, run: str) -> alt.LayerChart:
    """Prediction of one run beyond the table by each form, with its interval, and the measured."""
    found = [
        (a.form, f)
        for a in file.comparison.assessments
        for f in a.forecasts
        if f.name == run and f.loss is not None
    ]
    values = [
        {"form": form, "loss": f.loss, "low": (f.interval or (None, None))[0],
         "high": (f.interval or (None, None))[1]}
        for form, f in found
    ]  # fmt: skip
    near = alt.Scale(zero=False)
    y = alt.Y("form:N", title=None, sort=[form for form, _ in found], axis=NO_TITLE)
    x = alt.X("loss:Q", title=f"Loss of {run} (nats per token)", scale=near)
    base = alt.Chart(alt.Data(values=values)).encode(y=y)
    bars = base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(
        x=alt.X("low:Q", scale=near), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=110, color=charts.FITTED).encode(x=x)
    layers: Sequence[alt.Chart] = [bars, points]
    said = "; ".join(f"{form} {number(f.loss, 4)}" for form, f in found)
    measured = found[0][1].measured if found else None
    if measured is not None:
        rule = alt.Chart(alt.Data(values=[{"loss": measured}]))
        layers = [*layers, rule.mark_rule(
            color=charts.ORANGE[0], strokeWidth=2, strokeDash=[5, 3]
        ).encode(x=x)]  # fmt: skip
    text = f"""Predicted loss of {run} by each form with its interval ({said}), against the
        measured loss of {number(measured, 5)} as a dashed line."""
    layered: alt.LayerChart = charts.describe(alt.layer(*layers).properties(height=280), text)
    return layered
