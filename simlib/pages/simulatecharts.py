"""Charts of the pages on planning, design and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import altair as alt
import numpy as np

from simlib.analysis.numbers import number, percent
from simlib.laws.law import Array, JointLaw
from simlib.laws.lawfile import LawFile
from simlib.laws.optimum import cost_model
from simlib.pages import charts
from simlib.pages.lawcharts import bands
from simlib.simulate.allocate import best_allocation, gain
from simlib.simulate.blocks import summarise, tails
from simlib.simulate.calibration import Calibration
from simlib.simulate.front import pareto_front
from simlib.simulate.limits import FLOP_PER_SERVED_TOKEN, Limits

SPARSITIES = np.linspace(0, 0.95, 96)
SERVED = np.geomspace(1e-3, 1e3, 25)  # times what costs the budget at the size best without any
TITLES = {"dense": "Dense training cost", "sparse": "Sparse training cost"}


def gain_against_sparsity(
    law_files: Sequence[LawFile], cost: str, level: float = 0.9
) -> alt.LayerChart:
    """What sparsity multiplies a training budget with when size and data are free, with bands."""

    def worth(law: JointLaw, S: Array) -> Array:
        return gain(law, S, cost_model(cost))

    columns = []
    for f in law_files:
        found = summarise(f, worth, SPARSITIES, level=level)
        columns.append(charts.rows(law=f.name, sparsity=SPARSITIES, gain=found.value,
                                   low=found.low, high=found.high))  # fmt: skip
    even = alt.Chart(alt.Data(values=[{"y": 1}])).mark_rule(
        strokeDash=[5, 3], color=charts.GREY[0]
    ).encode(y="y:Q")  # fmt: skip
    chart = bands(columns, "sparsity", "gain", "Sparsity", "Worth of the budget, times") + even
    best = ", ".join(
        f"{f.name} at {percent(float(SPARSITIES[np.argmax(worth(f.joint, SPARSITIES))]))}"
        for f in law_files
    )
    text = f"""{TITLES[cost]}: by how much a sparse run stretches a training budget, against
        sparsity, with size and data free, one line and band a law. Above the dashed line at one
        sparsity pays. The best is {best}."""
    layered: alt.LayerChart = charts.describe(chart.properties(title=TITLES[cost]), text)
    return layered


def sparsity_against_serving(
    law_file: LawFile, flops: float, cost: str, limits: Limits, level: float = 0.9
) -> alt.LayerChart:
    """Best sparsity against the tokens that one budget has to serve besides training."""
    model = cost_model(cost)
    size = float(best_allocation(law_file.joint, flops, model, replace(limits, serve_tokens=0.0)).N)
    served = SERVED * flops / (FLOP_PER_SERVED_TOKEN * size)
    values = np.empty((3, len(SERVED)))
    for i, tokens in enumerate(served):
        within = replace(limits, serve_tokens=float(tokens))
        values[0, i] = best_allocation(law_file.joint, flops, model, within).S
        members = best_allocation(law_file.members(), flops, model, within).S
        values[1:, i] = np.quantile(members, tails(level))
    data = charts.rows(law=law_file.name, served=served, sparsity=values[0], low=values[1],
                       high=values[2])  # fmt: skip
    chart = bands([data], "served", "sparsity", "Tokens to serve", "Best sparsity", log=True)
    text = f"""Best sparsity against the number of tokens that a budget of {number(flops)} FLOP has
        to serve after training, {TITLES[cost].lower()}, with its band. It goes from
        {percent(values[0, 0])} at {number(served[0])} tokens to {percent(values[0, -1])} at
        {number(served[-1])}."""
    layered: alt.LayerChart = charts.describe(chart.properties(title=TITLES[cost]), text)
    return layered


def fronts(law_file: LawFile, flops: float, cost: str, limits: Limits) -> alt.LayerChart:
    """Least loss of every size within one budget, dense and sparse."""
    model, values, ends = cost_model(cost), [], {}
    for kind, within in (("dense", replace(limits, sparsity=0.0)), ("sparse", limits)):
        front = pareto_front(law_file.joint, flops, model, within, points=30)
        ends[kind] = front
        values += [
            {"run": kind, "nonzero_params": float(N), "loss": float(y), "sparsity": float(S),
             "data_seen": float(D)}
            for S, N, D, y in zip(front.S, front.N, front.D, front.loss, strict=True)
        ]  # fmt: skip
    scale = alt.Scale(domain=["dense", "sparse"], range=[charts.GREY[0], charts.BLUE[0]])
    base = alt.Chart(alt.Data(values=values)).encode(
        x=charts.log_x("nonzero_params", "Non-zero parameters"),
        y=alt.Y("loss:Q", title="Predicted loss (nats)", scale=alt.Scale(zero=False)),
        color=alt.Color("run:N", scale=scale, title=None),
    )  # fmt: skip
    chart = base.mark_line() + base.mark_point(filled=True, size=40)
    dense, sparse = ends["dense"], ends["sparse"]
    shared = [max(dense.N[0], sparse.N[0]), min(dense.N[-1], sparse.N[-1])]
    lower = [np.interp(np.log(shared), np.log(f.N), f.loss) for f in (dense, sparse)]
    gains = lower[0] - lower[1]
    text = f"""Least predicted loss of every number of non-zero parameters within {number(flops)}
        FLOP, {TITLES[cost].lower()}, one line dense and one sparse. The sparse line lies
        {gains[0]:.4f} nats below the dense one at {number(shared[0])} parameters and
        {gains[1]:.4f} at {number(shared[1])}; its sparsity goes from
        {percent(float(sparse.S[0]))} at its small end to {percent(float(sparse.S[-1]))} at its
        large one."""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def widths_against_span(
    widths: Array, counts: Sequence[int], spans: Sequence[float], goal: float, name: str
) -> alt.LayerChart:
    """Expected half-width of a coefficient against the span of the data, a line a count."""
    values = [
        {"values of D": str(count), "span": float(span), "width": float(width)}
        for count, row in zip(counts, widths, strict=True)
        for span, width in zip(spans, row, strict=True)
    ]
    order = [str(c) for c in counts]
    colours = alt.Scale(domain=order, range=[light for light, _ in charts.SERIES][: len(order)])
    base = alt.Chart(alt.Data(values=values)).encode(
        x=charts.log_x("span", "Most over least data", domain=[min(spans), max(spans)]),
        y=alt.Y("width:Q", title=f"Half-width of {name}, relative", axis=alt.Axis(format="%")),
        color=alt.Color("values of D:N", scale=colours, sort=order, title="Values of D"),
    )
    rule = alt.Chart(alt.Data(values=[{"y": goal}])).mark_rule(
        strokeDash=[5, 3], color=charts.GREY[0]
    ).encode(y="y:Q")  # fmt: skip
    chart = base.mark_line() + base.mark_point(filled=True, size=45) + rule
    text = f"""Expected half-width of the interval of {name} against the span of the amounts of
        data, one line for each number of them. With {counts[0]} amounts it goes from
        {percent(widths[0, 0])} at a span of {number(spans[0], 2)} to {percent(widths[0, -1])} at
        {number(spans[-1], 2)}, with {counts[-1]} from {percent(widths[-1, 0])} to
        {percent(widths[-1, -1])}; the dashed line is the goal of {percent(goal)}."""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def forecast_against_measured(found: Calibration, name: str) -> alt.LayerChart:
    """Measured over forecast loss of each run kept out of the fit, with the interval about it."""
    seen = found.forecast
    order = np.argsort(seen.distance.compute)
    data = charts.rows(
        compute=seen.distance.compute[order], measured=(found.measured / seen.loss)[order] - 1,
        low=(seen.low / seen.loss)[order] - 1, high=(seen.high / seen.loss)[order] - 1,
    )  # fmt: skip
    x = charts.log_x("compute", "Compute, times the most that was fitted")
    y_title = "Measured over forecast loss"
    base = alt.Chart(data).encode(x=x)
    bars = base.mark_rule(strokeWidth=3, opacity=0.35, color=charts.FITTED).encode(
        y=alt.Y("low:Q", title=y_title, axis=alt.Axis(format="+.1%")), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=45, color=charts.ORANGE[0]).encode(
        y=alt.Y("measured:Q", title=y_title)
    )
    text = f"""{name}: measured over forecast loss minus one of {len(found.measured)} runs kept out
        of the fit, against their compute, each on a bar that is its {percent(seen.level)} interval.
        {percent(found.coverage)} of the points lie on their bars."""
    layered: alt.LayerChart = charts.describe((bars + points).properties(title=name), text)
    return layered
