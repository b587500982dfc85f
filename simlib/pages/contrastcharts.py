"""Charts of contrasts: what each choice changes, and what sparse training looks like inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from simlib.analysis.contrasts import Pairs
from simlib.analysis.numbers import number, percent
from simlib.analysis.worth import log_multipliers
from simlib.laws.law import JointLaw
from simlib.pages import charts
from simlib.pages.contrasttables import change, nominal

Side = Mapping[str, Any]
LABELS = alt.Axis(labelLimit=260)


def effects(contrasts: Sequence[Pairs]) -> alt.LayerChart:
    """Change of the loss of every arm against the reference: each pair, the mean, its interval."""
    ordered = sorted(contrasts, key=lambda p: p.effect().mean)
    order = [p.label for p in ordered]
    points: list[dict[str, Any]] = []
    means: list[dict[str, Any]] = []
    for pairs in ordered:
        found = pairs.effect().map(np.expm1)
        low, high = found.interval
        means.append({"arm": pairs.label, "mean": found.mean, "low": low, "high": high})
        for (first, _), d in zip(pairs.runs, np.expm1(pairs.differences), strict=True):
            level = round(first.sparsity, 3)
            points.append({"arm": pairs.label, "change": float(d), "sparsity": level})
    near = alt.Axis(format="+.1%", tickCount=7)
    y = alt.Y("arm:N", title=None, sort=order, axis=LABELS)
    dots = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=35, opacity=0.75)
    dots = dots.encode(
        x=alt.X("change:Q", title="Loss against the reference", axis=near),
        y=y,
        color=charts.sparsity_colour([p["sparsity"] for p in points]),
    )
    base = alt.Chart(alt.Data(values=means)).encode(y=y)
    bars = base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(x="low:Q", x2="high:Q")
    ticks = base.mark_tick(thickness=4, size=16, color=charts.FITTED).encode(x="mean:Q")
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(strokeDash=[5, 3]).encode(x="zero:Q")
    said = f"best {order[0]} {change(ordered[0].effect())}, worst {order[-1]} "
    text = f"""Change of the validation loss against {ordered[0].reference} of {len(order)} ways to
        make a model sparse: dots are pairs of runs, coloured by sparsity, bars 90 % intervals of
        their mean. {said}{change(ordered[-1].effect())}."""
    layers = alt.layer(zero, bars, ticks, dots).properties(height=max(160, 30 * len(order)))
    described: alt.LayerChart = charts.describe(layers, text)
    return described


def worth_by_size(contrasts: Sequence[Pairs], law: JointLaw) -> alt.LayerChart:
    """Worth of a weight under each arm against size, one dot a pair, a line through the means."""
    values: list[dict[str, Any]] = [
        {"arm": pairs.label, "size": nominal(N), "worth": float(np.exp(m))}
        for pairs in contrasts
        for N, m in zip(pairs.points[1], log_multipliers(pairs, law), strict=True)
    ]
    names = [p.label for p in contrasts]
    scale = alt.Scale(domain=names)
    legend = alt.Legend(title=None, columns=2, labelLimit=260)
    y = alt.Y("worth:Q", title="Worth of a weight", scale=alt.Scale(zero=False))
    base = alt.Chart(alt.Data(values=values)).encode(
        x=charts.log_x("size", "Non-zero parameters", nice=False, padding=20),
        color=alt.Color("arm:N", scale=scale, legend=legend),
        shape=alt.Shape("arm:N", scale=scale, legend=legend),
    )
    dots = base.mark_point(size=45, opacity=0.8).encode(y=y)
    lines = base.mark_line().encode(y=alt.Y("mean(worth):Q"))
    one = alt.Chart(alt.Data(values=[{"one": 1}])).mark_rule(strokeDash=[5, 3]).encode(y="one:Q")
    said = "; ".join(
        f"{n} {number(float(np.mean([v['worth'] for v in values if v['arm'] == n])))}"
        for n in names
    )
    text = f"""Worth of a non-zero weight against non-zero parameters, in weights of unstructured
        models of the same sparsity, one dot a pair of runs and a line through the means of each of
        {len(names)} patterns. Mean worth: {said}."""
    described: alt.LayerChart = charts.describe(alt.layer(one, dots, lines), text)
    return described


def gradient_norms(sides: Sequence[Side]) -> alt.Chart:
    """Norm of the gradient of the weights that are kept against the step, a line a sparsity."""
    values = [
        {"step": step, "norm": norm, "sparsity": side["config"]["sparsity"]}
        for side in sides
        for step, norm in zip(side["curve"]["step"], side["curve"]["grad_norm"], strict=True)
    ]
    levels = [side["config"]["sparsity"] for side in sides]
    chart = alt.Chart(alt.Data(values=values)).mark_line()
    chart = chart.encode(
        x=alt.X("step:Q", title="Optimizer step"),
        y=charts.log_y("norm", "Gradient norm"),
        color=charts.sparsity_colour(levels),
    )
    worst = max(values, key=lambda v: float(v["norm"]))
    text = f"""Norm of the gradient, averaged over the steps between two points, against the
        optimizer step for {len(sides)} runs, one colour a final sparsity. The largest value,
        {number(worst["norm"])}, is at step {worst["step"]} of the run at
        {percent(worst["sparsity"], 1)} sparsity."""
    described: alt.Chart = charts.describe(chart, text)
    return described


def spikes(side: Side, start: float = 0.25) -> tuple[float, int]:
    """Largest gradient norm over the median, and points above twice it, after a share `start`."""
    norms = np.array(side["curve"]["grad_norm"], dtype=float)
    norms = norms[int(start * len(norms)) :]
    ratio = norms / np.median(norms)
    return float(ratio.max()), int(np.sum(ratio > 2))


def kept_by_tensor(density: Mapping[str, float], overall: float) -> alt.LayerChart:
    """Share of weights that each tensor keeps under one budget for all of them."""
    values = [{"tensor": name, "kept": share} for name, share in density.items()]
    y = alt.Y("tensor:N", title=None, sort=list(density), axis=LABELS)
    x = alt.X("kept:Q", title="Weights kept", axis=alt.Axis(format="%"))
    bars = alt.Chart(alt.Data(values=values)).mark_bar(color=charts.FITTED).encode(x=x, y=y)
    rule = alt.Chart(alt.Data(values=[{"all": overall}])).mark_rule(
        color=charts.ORANGE[0], strokeWidth=2, strokeDash=[5, 3]
    )
    most, least = max(density, key=density.__getitem__), min(density, key=density.__getitem__)
    text = f"""Share of weights that each matrix keeps where all matrices compete for one total of
        {percent(overall)}, marked by a dashed line. {most} keeps most, {percent(density[most])};
        {least} least, {percent(density[least])}."""
    layers = alt.layer(bars, rule.encode(x="all:Q")).properties(height=22 * len(density))
    described: alt.LayerChart = charts.describe(layers, text)
    return described
