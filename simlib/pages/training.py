"""Charts of runs: what their side files and weights show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from simlib.pages import charts
from simlib.pages.names import DATA, nats
from simlib.runs.config import RunConfig

Side = Mapping[str, Any]


def loss_curves(sides: Sequence[Side], points: int = 60) -> alt.Chart:
    """Training loss against data seen, one line a run of a family, one colour a sparsity.

    `sides` come from `simlib.train.read_side`. Each line has at most `points` points, every one
    the mean of those it stands for, and leaves out the steep first twentieth.
    """
    values = [row for side in sides for row in _curve_rows(side, points)]
    levels = [side["config"]["sparsity"] for side in sides]
    family = sides[0]["config"]["family"]
    title = f"Training loss ({nats(family)})"
    chart = alt.Chart(alt.Data(values=values)).mark_line()
    chart = chart.encode(
        x=alt.X(
            "data:Q",
            title=DATA.get(family, "Data seen"),
            axis=charts.quantity_axis(),
            scale=alt.Scale(nice=False),
        ),
        y=alt.Y("loss:Q", title=title, scale=alt.Scale(zero=False)),
        color=charts.sparsity_colour(levels),
        detail="run:N",
    )
    return charts.describe(
        chart,
        f"Training loss against training data for {len(sides)} runs after the first twentieth, one "
        "colour for each final sparsity. All lines fall, fast at first, slower later, and once "
        "more at the end, where the learning rate falls.",
    )


def sparsity_ramp(sides: Sequence[Side]) -> alt.Chart:
    """Sparsity of the body's weights against the share of training done."""
    values = []
    for side in sides:
        curve, config = side["curve"], side["config"]
        for step, sparsity in zip(curve["step"], curve["sparsity"], strict=True):
            done = step / curve["step"][-1]
            values.append({"done": done, "now": sparsity, "sparsity": config["sparsity"]})
    levels = [side["config"]["sparsity"] for side in sides]
    chart = alt.Chart(alt.Data(values=values)).mark_line(interpolate="step-after")
    chart = chart.encode(
        x=alt.X("done:Q", title="Share of training done", axis=alt.Axis(format="%")),
        y=alt.Y("now:Q", title="Zero weights", axis=alt.Axis(format="%")),
        color=charts.sparsity_colour(levels),
    )
    return charts.describe(
        chart,
        "Share of zero weights against the share of training done. It stays at zero until "
        "pruning starts, climbs steeply, flattens, and keeps its final value to the end.",
    )


def shared_steps(configs: Sequence[RunConfig], labels: Sequence[str]) -> alt.Chart:
    """Which steps each run of a pack trains itself, and which it has from the shared prefix."""
    parts = []
    for config, label in zip(configs, labels, strict=True):
        leaves, end = config.private_from, config.total_steps
        parts.append({"run": label, "from": 0, "to": leaves, "part": "shared prefix"})
        parts.append({"run": label, "from": leaves, "to": end, "part": "its own"})
    scale = alt.Scale(domain=["shared prefix", "its own"], range=[charts.GREY[0], charts.BLUE[0]])
    chart = (
        alt.Chart(alt.Data(values=parts))
        .mark_bar(height=16)
        .encode(
            x=alt.X("from:Q", title="Optimizer step", scale=alt.Scale(nice=False)),
            x2="to:Q",
            y=alt.Y("run:N", title=None, sort=list(labels), axis=alt.Axis(labelLimit=260)),
            color=alt.Color("part:N", title="Trained", scale=scale),
        )
    )
    return charts.describe(
        chart.properties(height=40 * len(configs)),
        f"One bar for each of {len(configs)} runs from step 0 to its last step. The first part of "
        "every bar is the dense prefix that all share, the rest the run trains alone.",
    )


def weight_pictures(matrices: Mapping[str, ArrayLike], size: int = 40) -> alt.HConcatChart:
    """The upper left corner of each matrix (outputs, inputs) as coloured squares, side by side.

    Zeros are left blank; blue is positive, orange negative, stronger is larger.
    """
    parts = [_picture(title, np.asarray(m)[:size, :size], size) for title, m in matrices.items()]
    chart = alt.hconcat(*parts).resolve_scale(opacity="independent")
    return charts.describe(
        chart,
        f"Corners of {len(parts)} weight matrices as squares, {' and '.join(matrices)}. A dense "
        "matrix fills its square; a sparse one has scattered weights on an empty ground.",
    )


def _picture(title: str, corner: np.ndarray, size: int) -> alt.Chart:
    outputs, inputs = np.nonzero(corner)
    weights = corner[outputs, inputs]
    data = charts.rows(
        output=outputs,
        input=inputs,
        weight=np.round(weights, 4).astype(float),
        sign=np.where(weights > 0, "positive", "negative"),
        strength=np.round(np.abs(weights) / np.abs(corner).max(), 3).astype(float),
    )
    axis = alt.Axis(labels=False, ticks=False, grid=False)
    domain = alt.Scale(domain=list(range(size)))
    colours = alt.Scale(domain=["positive", "negative"], range=[charts.BLUE[0], charts.ORANGE[0]])
    marks = alt.Chart(data, title=title).mark_rect()
    return marks.encode(
        x=alt.X("input:O", title="Input", axis=axis, scale=domain),
        y=alt.Y("output:O", title="Output", axis=axis, scale=domain),
        color=alt.Color("sign:N", title="Weight", scale=colours),
        opacity=alt.Opacity("strength:Q", legend=None, scale=alt.Scale(range=[0.15, 1])),
    ).properties(width=220, height=220)


def _curve_rows(side: Side, points: int) -> list[dict[str, Any]]:
    config, curve = side["config"], side["curve"]
    per_step = config["batch"] * (1 if config["family"] == "vit" else config["seq_len"])
    steps = np.array(curve["step"], dtype=float)
    late = steps >= steps[-1] / 20
    steps, losses = steps[late], np.array(curve["loss"], dtype=float)[late]
    rows = []
    for group in np.array_split(np.arange(len(steps)), min(points, len(steps))):
        data = float(steps[group[-1]] * per_step)
        row = {"data": data, "loss": round(float(losses[group].mean()), 4)}
        rows.append(row | {"sparsity": config["sparsity"], "run": side["run_id"]})
    return rows
