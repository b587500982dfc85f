"""Charts, tables and sentences of the page on ends of training curves told from beginnings."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt

from simlib.analysis.curveforecast import CurveScores
from simlib.analysis.numbers import percent
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table


def score_table(found: Mapping[str, CurveScores]) -> Table:
    """Error of each method by share of the data seen, and how many ends its intervals hold."""
    return Table(
        ("curves", "held out", "seen", "method", "error", "bias", "inside"),
        [
            (
                spoken(what),
                str(s.curves),
                percent(s.share),
                m.method,
                percent(m.rmse, 2),
                f"{m.bias:+.2%}",
                "" if m.coverage is None else f"{percent(m.coverage)} of {percent(scores.level)}",
            )
            for what, scores in found.items()
            for s in scores.scores
            for m in s.methods
        ],
    )


def errors(scores: CurveScores, what: str) -> alt.Chart:
    """Error at the end against the share seen, by method."""
    values = [
        {"share": s.share, "method": m.method, "error": m.rmse}
        for s in scores.scores
        for m in s.methods
    ]
    methods = [m.method for m in scores.scores[0].methods]
    colours = [charts.BLUE[0], charts.ORANGE[0], charts.GREY[0]]
    colour = alt.Color(
        "method:N",
        title=None,
        scale=alt.Scale(domain=methods, range=colours),
        legend=alt.Legend(columns=1),
    )
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_line(point=True, strokeWidth=2.5)
        .encode(
            x=alt.X(
                "share:Q",
                title="Share of the data seen",
                axis=alt.Axis(format=".0%", values=[s.share for s in scores.scores]),
            ),
            y=alt.Y(
                "error:Q",
                title="Error of the final loss",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format=".1%"),
            ),
            color=colour,
            tooltip=["method:N", alt.Tooltip("share:Q", format=".0%"), "error:Q"],
        )
    )
    first = scores.scores[0]
    said = "; ".join(f"{m.method} {percent(m.rmse, 1)}" for m in first.methods)
    text = f"""Root mean square error of the forecast final loss of {first.curves} curves of {what},
        each group left out in turn. With {percent(first.share)} seen: {said}."""
    described: alt.Chart = charts.describe(chart, text)
    return described


def example(scores: CurveScores, share: float, datum: str) -> alt.LayerChart:
    """Some curves, what was seen of them, and the forecast of their ends.

    `datum` is what the loss is of: a token, a byte.
    """
    shown = [e for e in scores.examples if e.share == share]
    points = [
        {
            "curve": e.name,
            "data": d,
            "loss": y,
            "seen": "seen" if d <= share * e.data[-1] else "to come",
        }
        for e in shown
        for d, y in zip(e.data, e.loss, strict=True)
    ]
    ends = [
        {
            "curve": e.name,
            "data": e.data[-1],
            "loss": e.forecast.loss,
            "low": e.forecast.low,
            "high": e.forecast.high,
        }
        for e in shown
    ]
    y = alt.Y("loss:Q", title=f"Loss (nats per {datum})", scale=alt.Scale(zero=False))
    x = charts.log_x("data", "Data seen", nice=False)
    seen = alt.Scale(domain=["seen", "to come"], range=[charts.BLUE[0], charts.GREY[0]])
    curve = (
        alt.Chart(alt.Data(values=points))
        .mark_line(strokeWidth=2)
        .encode(x=x, y=y, detail="curve:N", color=alt.Color("seen:N", title=None, scale=seen))
    )
    base = alt.Chart(alt.Data(values=ends)).encode(x=x)
    rule = base.mark_rule(strokeWidth=4, color=charts.ORANGE[0]).encode(
        y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q"
    )
    point = base.mark_point(filled=True, size=80, color=charts.ORANGE[0]).encode(y=y)
    inside = sum(e.forecast.low <= e.loss[-1] <= e.forecast.high for e in shown)
    text = f"""{len(shown)} held-out curves: what was seen, {percent(share)} of the data, what came,
        and the forecast of the end with its interval, which holds {inside} of them."""
    layered: alt.LayerChart = charts.describe(alt.layer(curve, rule, point), text)
    return layered


def better(scores: CurveScores) -> tuple[float, float]:
    """Least and greatest factor by which the next best method errs more than the learned one."""
    factors = [min(m.rmse for m in s.methods[1:]) / s.methods[0].rmse for s in scores.scores]
    return min(factors), max(factors)


def coverage(scores: CurveScores) -> tuple[float, float]:
    """Least and greatest coverage over the shares."""
    held = [m.coverage for s in scores.scores for m in s.methods if m.coverage is not None]
    return min(held), max(held)
