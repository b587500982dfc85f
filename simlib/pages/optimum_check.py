"""The page that holds predicted optima against runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from simlib.analysis.contrasts import t_interval
from simlib.analysis.numbers import (
    number,
    percent,
    percent_with_interval,
    sparsity_text,
    with_interval,
)
from simlib.analysis.optimumcheck import Check, density_over
from simlib.analysis.optimumgrid import Point
from simlib.analysis.predictions import Predictions, evaluate
from simlib.errors import InputError
from simlib.fit import FORMS
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.base import Law
from simlib.laws.law import JointLaw
from simlib.laws.optimum import chinchilla_flops, cost_model, optimal_sparsity
from simlib.pages import charts
from simlib.pages.tables import Table
from simlib.pages.words import counted, out_of
from simlib.runs.table import RunTable

SIGNIFICANCE = 0.05  # of the test for lack of fit


LAW, RUNS = "the law as fitted now", "runs and their means"


def point_text(point: Point) -> str:
    """`6,144 non-zero, 9.00e10 FLOP, sparse cost`."""
    return f"{point.nonzero_params:,} non-zero, {number(point.flops)} FLOP, {point.cost} cost"


def answer(checks: Sequence[Check], level: float) -> str:
    """What following the law's advice costs, and on which side of it the best sparsity lies."""
    lost = t_interval([c.regret for c in checks], level)
    density = density_over(checks, [c.point.optimum for c in checks], level)
    sparser = sum(c.best > c.point.optimum for c in checks)
    side = {-1: "too low", 1: "too high"}.get(density.map(math.log).sign)
    place = (
        f"The law's advice is {side}: the best model keeps "
        f"{with_interval(density.mean, density.interval)} times the weights that it says"
        if side
        else "The law's advice is neither too high nor too low by more than chance"
    )
    return (
        "Trained at the sparsity that their law calls optimal, our small models lose "
        f"{percent_with_interval(lost.mean, lost.interval)} of the loss against the best choice, "
        f"the mean over {counted(len(checks), 'point')}. {place}; the measured optimum is "
        f"sparser than the predicted one at {out_of(sparser, len(checks), 'point')}."
    )


PREDICTED, FOUND = "predicted", "measured"
COSTS = {"dense": "zeros cost as much as weights", "sparse": "zeros are skipped"}


def overview(checks: Sequence[Check], law: JointLaw) -> alt.FacetChart:
    """Predicted and measured optimum of every point with their intervals, a panel a cost.

    Points are named by size and by training in multiples of the law's dense optimum.
    """
    values, order = [], []
    for check in sorted(checks, key=lambda c: (c.point.nonzero_params, c.point.flops)):
        p, (low, high) = check.point, check.interval
        times = p.flops / float(chinchilla_flops(law, p.nonzero_params))
        name = f"{p.nonzero_params:,} at {number(times, 2)} ×"
        order.append(name)
        both = ((PREDICTED, p.optimum, p.low, p.high), (FOUND, check.best, low, high))
        for series, at, least, most in both:
            ends = {"low": least or 0.0, "high": max(p.sparsities) if most is None else most}
            shown = {"point": name, "cost": COSTS[p.cost], "series": series, "sparsity": at}
            values.append({**shown, **ends})
    colours = alt.Scale(domain=[PREDICTED, FOUND], range=[charts.FITTED, charts.ORANGE[0]])
    axis = alt.Axis(format="%")
    base = alt.Chart().encode(
        y=alt.Y("point:N", title=None, sort=list(dict.fromkeys(order))),
        color=alt.Color("series:N", scale=colours, legend=alt.Legend(title=None)),
    )
    bars = base.mark_rule(strokeWidth=3, opacity=0.4).encode(
        x=alt.X("low:Q", title="Best sparsity", axis=axis), x2="high:Q"
    )
    marks = base.mark_point(filled=True, size=60).encode(
        x=alt.X("sparsity:Q", title="Best sparsity", axis=axis)
    )
    panels = alt.layer(bars, marks).properties(width=220, height=24 * len(set(order)))
    facet = alt.Facet("cost:N", title=None, sort=list(COSTS.values()))
    chart = panels.facet(facet, columns=2, data=alt.Data(values=values))
    chart = chart.resolve_scale(y="independent")
    inside = sum(c.holds for c in checks)
    text = f"""The best sparsity at {len(checks)} combinations of size, training cost and cost
        model: as the law predicted it, blue, and as runs of equal size and cost show it, orange,
        with intervals. At {inside} the interval of the measured one holds the predicted one. Rows
        are named by non-zero parameters and training in multiples of the dense optimum."""
    faceted: alt.FacetChart = charts.describe(chart, text)
    return faceted


def summary_table(checks: Sequence[Check]) -> Table:
    """Predicted and measured optimum of every point, and what the prediction cost."""
    header = (
        "point",
        "predicted optimum",
        "measured optimum",
        "the prediction is",
        "loss above the best, predicted choice",
        "noise of a run",
        "a parabola",
    )
    return Table(header, [_summary(c) for c in checks])


def _summary(check: Check) -> tuple[str, ...]:
    p = check.point
    return (
        point_text(p),
        f"{percent(p.optimum)} ({percent(p.low)} to {percent(p.high)})",
        measured_text(check),
        verdict(check),
        percent_with_interval(check.regret, check.regret_ends),
        percent(check.noise, 2),
        "is too simple" if check.lack_of_fit < SIGNIFICANCE else "is not rejected",
    )


def measured_text(check: Check) -> str:
    """`52% (30% to 70%)`; an interval that reaches the sparsest runs is open."""
    low, high = check.interval
    if high is None:
        return f"{percent(check.best)} ({percent(low or 0.0)} or more)"
    return f"{percent(check.best)} ({percent(low or 0.0)} to {percent(high)})"


def verdict(check: Check) -> str:
    """Where the predicted optimum lies against the interval of the measured one."""
    if check.holds:
        return "inside"
    low, _ = check.interval
    side = "too low" if low is not None and check.point.optimum < low else "too high"
    return f"{side}, intervals overlap" if check.overlaps else f"{side}"


STEPS = np.linspace(0.0, 0.95, 191)  # of sparsity, of which a form without a formula takes the best


def form_table(checks: Sequence[Check], said: Predictions, runs: RunTable, level: float) -> Table:
    """How each form predicted the losses, and where its best sparsity lies beside the measured one.

    Both follow from coefficients that were written down before the runs. A form that knows only the
    sparsities of its own runs gives no advice between them.
    """
    header = (
        "form",
        f"losses inside {percent(said.level)}",
        "log-RMSE",
        "density of the best, over its advice",
        "points where the best is sparser",
    )
    rows = []
    for found in evaluate(said, {r.run_id: r.loss for r in runs.finished}):
        law = FORMS[found.form].law.from_coefficients(said.forms[found.form].coefficients)
        held = (found.form, f"{found.inside} of {len(found)}", percent(found.rmse, 2))
        try:
            advice = [_best_by(law, check.point) for check in checks]
        except InputError:
            rows.append((*held, "none", ""))
            continue
        density = density_over(checks, advice, level)
        sparser = sum(c.best > S for c, S in zip(checks, advice, strict=True))
        rows.append(
            (
                *held,
                with_interval(density.mean, density.interval),
                f"{sparser} of {len(checks)}",
            )
        )
    return Table(header, rows)


def _best_by(law: Law, point: Point) -> float:
    """The sparsity of least loss by a law of any form at a point."""
    D = cost_model(point.cost).data_seen(STEPS, point.nonzero_params, point.flops)
    return float(STEPS[np.argmin(law(STEPS, np.full_like(STEPS, point.nonzero_params), D))])


def since(checks: Sequence[Check], law_file: FittedLaw, made: Mapping[str, str]) -> str:
    """Whether the law in the charts is the one that predicted; if not, what it says now.

    `made` is how the optima were predicted, with the hash of the table behind their law.
    """
    if made.get("table_sha256") == law_file.table_sha256:
        return "The lines in the charts are the law that predicted."
    now = [
        float(optimal_sparsity(law_file.joint, p.nonzero_params, p.flops, p.cost))
        for p in (c.point for c in checks)
    ]
    return (
        "The law has been fitted again since, which is post hoc for these points: as it is now, it "
        f"puts the optima at {', '.join(map(percent, now))}. Tables hold what was predicted; the "
        "lines in the charts are the law as it is now."
    )


def arm_table(check: Check, forecasts: Mapping[str, tuple[float, float, float]]) -> Table:
    """Every sparsity of a point: measured and predicted loss, and how far above the best it is.

    `forecasts` maps a run_id to the loss predicted before it was trained and its interval.
    """
    header = ("sparsity", "data", "seeds", "measured loss", "predicted loss", "above the best")
    rows = []
    for arm in check.arms:
        said = forecasts.get(arm.runs[0].run_id)
        predicted = "" if said is None else _loss(*said)
        losses = [run.loss for run in arm.runs]
        measured = f"{number(arm.loss, 4)} ({number(min(losses), 4)} to {number(max(losses), 4)})"
        rows.append(
            (
                sparsity_text(arm.sparsity),
                f"{arm.data_seen:,}",
                str(len(losses)),
                measured,
                predicted,
                percent_with_interval(arm.regret, arm.regret_ends),
            )
        )
    return Table(header, rows)


def _loss(value: float, low: float, high: float) -> str:
    return f"{number(value, 4)} ({number(low, 4)} to {number(high, 4)})"


def inside(checks: Sequence[Check], forecasts: Mapping[str, tuple[float, float, float]]) -> str:
    """`41 of 45`: runs whose loss lies in the interval that was predicted for it."""
    runs = {run.run_id: run for c in checks for arm in c.arms for run in arm.runs}
    hits = [
        forecasts[i][1] <= run.loss <= forecasts[i][2] for i, run in runs.items() if i in forecasts
    ]
    return f"{sum(hits)} of {len(hits)}"


def loss_at_point(check: Check, law_file: FittedLaw) -> alt.LayerChart:
    """Loss against sparsity at equal size and cost: runs, the law, both optima."""
    point = check.point
    S = np.linspace(0, max(point.sparsities), 60)
    D = cost_model(point.cost).data_seen(S, point.nonzero_params, point.flops)
    losses = law_file.joint(S, point.nonzero_params, D)
    curve = charts.rows(sparsity=S, loss=losses, series=LAW)
    runs = [
        {"sparsity": arm.sparsity, "loss": run.loss, "data": arm.data_seen, "series": RUNS}
        for arm in check.arms
        for run in arm.runs
    ]
    means = [{"sparsity": arm.sparsity, "loss": arm.loss, "series": RUNS} for arm in check.arms]
    colours = alt.Scale(domain=[LAW, RUNS], range=[charts.FITTED, charts.ORANGE[0]])
    encoding = {
        "x": alt.X("sparsity:Q", title="Sparsity", axis=alt.Axis(format="%")),
        "y": alt.Y("loss:Q", title="Loss (nats per byte)", scale=alt.Scale(zero=False)),
        "color": alt.Color("series:N", scale=colours, legend=alt.Legend(title=None)),
    }
    law = alt.Chart(curve).mark_line().encode(**encoding)
    marks = alt.Chart(alt.Data(values=runs)).mark_point(filled=True, size=40, opacity=0.6)
    line = alt.Chart(alt.Data(values=means)).mark_line().encode(**encoding)
    predicted = _rule(point.optimum, "predicted", charts.FITTED, [5, 3], 8)
    measured = _rule(check.best, "measured", charts.ORANGE[0], [2, 2], 22)
    text = f"""{point_text(point)}: loss against sparsity where more sparsity buys size and pays in
        data. Orange points are runs, the orange line their means, the blue line is the law as it is
        fitted now. Dashed vertical lines stand at the predicted optimum, blue,
        {percent(point.optimum)}, and at the measured one, orange, {measured_text(check)}."""
    layered: alt.LayerChart = charts.describe(
        (law + line + marks.encode(**encoding) + predicted + measured).properties(
            title=point_text(point)
        ),
        text,
    )
    return layered


def _rule(sparsity: float, name: str, colour: str, dash: list[int], down: int) -> alt.LayerChart:
    """A vertical line with its name beside it, `down` pixels below its upper end."""
    base = alt.Chart(alt.Data(values=[{"at": sparsity, "name": name}]))
    rule = base.mark_rule(color=colour, strokeDash=dash).encode(x="at:Q")
    text = base.mark_text(align="left", dx=4, color=colour, fontSize=12)
    layered: alt.LayerChart = rule + text.encode(x="at:Q", y=alt.value(down), text="name:N")
    return layered
