"""Charts of the page on the authors' released runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from simlib.analysis.numbers import number, percent
from simlib.datasets.published import HeldOutRun
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import Law
from simlib.pages import charts
from simlib.pages.law_answers import estimate
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.runs.table import RunTable


def predicted_against_measured(
    runs: RunTable | None, law: Law, name: str
) -> alt.LayerChart | Table:
    """Relative residual of each run against its size; without the runs, a line that says so."""
    if runs is None:
        said = "The released files are not at hand here, so the runs themselves are not shown."
        return Table(("measured runs",), [(said,)])
    S, N, D = runs.sparsity, runs.nonzero_params, runs.data_seen
    predicted = law(S, N, D)
    data = charts.rows(
        sparsity=S,
        nonzero_params=N,
        data_seen=D,
        measured=runs.loss,
        predicted=predicted,
        residual=predicted / runs.loss - 1,
    )
    title = "Predicted above measured loss"
    chart = (
        alt.Chart(data)
        .mark_point(filled=True, size=55, opacity=0.85)
        .encode(
            x=charts.log_x("nonzero_params", "Non-zero parameters"),
            y=alt.Y("residual:Q", title=title, axis=alt.Axis(format="+.1%")),
            color=charts.sparsity_colour(S),
            tooltip=["sparsity:Q", "nonzero_params:Q", "data_seen:Q", "measured:Q", "predicted:Q"],
        )
    )
    zero = alt.Chart(alt.Data(values=[{"y": 0}])).mark_rule(color=charts.GREY[0]).encode(y="y:Q")
    worst = np.max(np.abs(predicted / runs.loss - 1))
    text = f"""How far the predicted loss lies above the measured one for the {len(runs)} runs of
        {name}, against non-zero parameters and coloured by sparsity. All points lie within
        {percent(worst, 1)} of zero."""
    layered: alt.LayerChart = charts.describe(zero + chart, text)
    return layered


def starts(mean: FittedLaw, total: FittedLaw, published: float, optimum: float) -> alt.LayerChart:
    """Objective reached by each start of the release's procedure, on the mean and on the sum."""
    labels = {"mean over runs, as released": mean, "sum over runs": total}
    values = [
        {"minimises": label, "start": i + 1, "objective": value, "success": success}
        for label, law_file in labels.items()
        for i, (value, success) in enumerate(
            zip(law_file.start_values, law_file.start_success, strict=True)
        )
        if value < 1e-3  # starts that diverged leave the scale
    ]
    x = alt.X(
        "objective:Q",
        title="Objective reached (mean Huber)",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(format=".1e"),
    )
    row = alt.Y("minimises:N", title=None, axis=alt.Axis(labelLimit=220))
    shape = alt.Shape(
        "success:N",
        title="BFGS reports success",
        scale=alt.Scale(range=["circle", "cross"], domain=[True, False]),
    )
    points = (
        alt.Chart(alt.Data(values=values))
        .mark_point(size=70)
        .encode(x=x, y=row, shape=shape, yOffset=alt.YOffset("start:O"))
    )
    marks = [{"objective": published, "law": "published"}, {"objective": optimum, "law": "optimum"}]
    rules = (
        alt.Chart(alt.Data(values=marks))
        .mark_rule(strokeWidth=2)
        .encode(
            x=x,
            color=alt.Color(
                "law:N",
                title=None,
                scale=alt.Scale(
                    domain=["published", "optimum"], range=[charts.PUBLISHED, charts.FITTED]
                ),
            ),
        )
    )
    text = f"""Objective that each of the release's random starts reaches, once minimising the mean
        and once the sum over runs, with the published fit at {number(published)} and the optimum
        at {number(optimum)} as vertical lines. On the mean the starts scatter above the optimum, on
        the sum most sit on it."""
    layered: alt.LayerChart = charts.describe((rules + points).properties(height=260), text)
    return layered


def data_exponent_and_floor(refit: FittedLaw, published: FittedLaw) -> alt.LayerChart:
    """Floor against data exponent: one point a refit of resampled runs."""
    members = refit.members()
    marked = [
        {"b_D": float(f.joint.b_D), "c": float(f.joint.c), "law": name}
        for f, name in ((refit, "optimum"), (published, "published"))
    ]
    x = alt.X("b_D:Q", title="Data exponent b_D")
    y = alt.Y("c:Q", title="Floor c (nats per token)")
    cloud = (
        alt.Chart(charts.rows(b_D=members.b_D, c=members.c))
        .mark_point(filled=True, size=18, opacity=0.35, color=charts.GREY[0])
        .encode(x=x, y=y)
    )
    stars = (
        alt.Chart(alt.Data(values=marked))
        .mark_point(filled=True, size=170)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "law:N",
                title=None,
                scale=alt.Scale(
                    domain=["published", "optimum"], range=[charts.PUBLISHED, charts.FITTED]
                ),
            ),
        )
    )
    text = f"""Floor against data exponent for {len(members.vector()):,} refits of resampled T5
        runs. The points lie along a curve that rises from a floor of zero at a small exponent to
        one nat at a large one; the published fit and the optimum both lie on it, far apart."""
    layered: alt.LayerChart = charts.describe(cloud + stars, text)
    return layered


def extrapolation(law_files: Sequence[FittedLaw], run: HeldOutRun, level: float) -> alt.LayerChart:
    """Predicted loss of a held-out run by each law, with its interval, against the measured one."""
    values: list[dict[str, Any]] = []
    for f in law_files:
        loss, ends = estimate(
            f, lambda law: law(run.sparsity, run.nonzero_params, run.data_seen), level
        )
        low, high = ends or (None, None)
        values.append({"law": spoken(f.name), "loss": loss, "low": low, "high": high})
    x = alt.X("loss:Q", title=f"Loss of {run.name} (nats per token)", scale=alt.Scale(zero=False))
    base = alt.Chart(alt.Data(values=values)).encode(y=alt.Y("law:N", title=None))
    bars = base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(
        x=alt.X("low:Q", scale=alt.Scale(zero=False)), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=110, color=charts.FITTED).encode(x=x)
    measured = (
        alt.Chart(alt.Data(values=[{"loss": run.loss}]))
        .mark_rule(color=charts.ORANGE[0], strokeWidth=2, strokeDash=[5, 3])
        .encode(x=x)
    )
    said = "; ".join(f"{v['law']} {number(v['loss'], 4)}" for v in values)
    text = f"""Predicted loss of {run.name} by each law with its interval where it has one ({said}),
        against the measured loss of {number(run.loss, 5)} as a dashed line."""
    chart = (bars + points + measured).properties(height=130)
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered
