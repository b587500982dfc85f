"""Charts of a sweep: its runs on the law's curves, residuals, worth of sparsity, its recipe."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from simlib.analysis.contrasts import Spread
from simlib.analysis.numbers import number, percent
from simlib.analysis.sweepchecks import Cells, cells
from simlib.laws.law import JointLaw
from simlib.laws.lawfile import LawFile
from simlib.laws.optimum import cost_model
from simlib.pages import charts
from simlib.pages.lawcharts import bands
from simlib.pages.optimumcharts import contours
from simlib.pages.recipes import NORMS, Attempt
from simlib.pages.sweeptables import rate_curves
from simlib.runs.table import RunTable

DATA = {"gpt": "Bytes seen", "t5": "Bytes that the encoder saw", "vit": "Images seen"}
LOSS = {"vit": "Loss (nats per image)"}
ALONG = {"data_seen": "size", "nonzero_params": "data_seen"}  # the axis, and what is chosen
POINTS = 40  # of a curve


def law_curves(law_file: LawFile, runs: RunTable, along: str) -> alt.LayerChart:
    """Every run and the law's curves along data or size; the reader chooses the other one."""
    runs, found, other = runs.finished, cells(runs), ALONG[along]
    family = runs.records[0].family
    titles = {"size": "Non-zero parameters", "data_seen": DATA.get(family, "Data seen")}
    options = _label(np.unique(getattr(found, other))).tolist()
    pick = alt.param(
        name=f"chosen_{other}", value=options[len(options) // 2],
        bind=alt.binding_radio(options=options, name=titles[other]),
    )  # fmt: skip
    title = titles[ALONG["nonzero_params" if along == "data_seen" else "data_seen"]]
    encoding = {
        "x": charts.log_x(along, title, nice=False),
        "y": alt.Y("loss:Q", title=LOSS.get(family, "Loss (nats per byte)"),
                   scale=alt.Scale(zero=False)),
        "color": charts.sparsity_colour(found.sparsity),
    }  # fmt: skip
    keep = f"datum.chosen == chosen_{other}"
    curve = alt.Chart(_curve_rows(law_file, found, along)).mark_line()
    point = alt.Chart(_run_rows(runs, found, other)).mark_point(filled=True, size=60)
    tooltip = ["sparsity:Q", "nonzero_params:Q", "data_seen:Q", "loss:Q"]
    layers = (
        curve.transform_filter(keep).encode(**encoding),
        point.transform_filter(keep).encode(**encoding, tooltip=tooltip),
    )
    text = f"""Measured losses of {len(runs)} runs as points and the curves of the law
        {law_file.name} against {title.lower()}, one colour a sparsity. {titles[other]} is chosen
        below the chart among {", ".join(options)}."""
    layered: alt.LayerChart = charts.describe(alt.layer(*layers).add_params(pick), text)
    return layered


def _curve_rows(law_file: LawFile, found: Cells, along: str) -> alt.Data:
    ends = getattr(found, along)
    axis = np.geomspace(ends.min() / 1.2, ends.max() * 1.2, POINTS)
    chosen, levels = np.unique(getattr(found, ALONG[along])), np.unique(found.sparsity)
    S, C, X = np.meshgrid(levels, chosen, axis, indexing="ij")
    N, D = (C, X) if along == "data_seen" else (X, C)
    return charts.rows(sparsity=S, chosen=_label(C), loss=law_file.law(S, N, D), **{along: X})


def _run_rows(runs: RunTable, found: Cells, other: str) -> alt.Data:
    N, D = runs.nonzero_params, runs.data_seen
    sizes = np.unique(found.size)
    nearest = sizes[np.abs(np.log(N[:, None] / sizes)).argmin(axis=1)]
    return charts.rows(
        sparsity=np.round(runs.sparsity, 3), nonzero_params=N, data_seen=D, loss=runs.loss,
        chosen=_label(nearest if other == "size" else D),
    )  # fmt: skip


def _label(values: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda v: f"{float(f'{v:.4g}'):,.0f}")(values)


def residuals(law_file: LawFile, runs: RunTable, spread: Spread) -> alt.LayerChart:
    """Predicted over measured loss of each setting against data, coloured by size.

    The band is twice the spread over seeds, for a setting with one run.
    """
    found = cells(runs)
    log_law = np.log(law_file.law(found.sparsity, found.nonzero_params, found.data_seen))
    error = np.expm1(log_law - found.log_loss)
    sizes = _label(np.unique(found.size)).tolist()
    data = charts.rows(
        data_seen=found.data_seen, error=error, size=_label(found.size), sparsity=found.sparsity,
        runs=found.runs,
    )  # fmt: skip
    colours = [light for light, _ in charts.SERIES]
    scale = alt.Scale(domain=sizes, range=[colours[i % len(colours)] for i in range(len(sizes))])
    shapes = alt.Scale(domain=np.unique(found.sparsity).tolist())
    y = alt.Y("error:Q", title="Predicted over measured loss", axis=alt.Axis(format="+.1%"))
    title = DATA.get(runs.records[0].family, "Data seen")
    points = alt.Chart(data).mark_point(filled=True, size=70, opacity=0.85).encode(
        x=charts.log_x("data_seen", title), y=y,
        color=alt.Color("size:N", title="Non-zero parameters", scale=scale),
        shape=alt.Shape("sparsity:O", title="Sparsity", scale=shapes,
                        legend=alt.Legend(labelExpr="format(datum.value, '.4~p')")),
        tooltip=["size:N", "sparsity:Q", "data_seen:Q", "error:Q", "runs:Q"],
    )  # fmt: skip
    ends = {"low": -2 * spread.deviation, "high": 2 * spread.deviation}
    band = alt.Chart(alt.Data(values=[ends])).mark_rect(opacity=0.15, color=charts.GREY[0])
    shade = band.encode(y=alt.Y("low:Q"), y2="high:Q")
    outside = int((np.abs(error) > 2 * spread.deviation).sum())
    text = f"""Predicted over measured loss minus one of {len(error)} settings against the data
        seen, coloured by size. {outside} lie outside the grey band of twice the spread over seeds;
        the largest is {percent(float(np.abs(error).max()), 1)}."""
    layered: alt.LayerChart = charts.describe(shade + points, text)
    return layered


def multipliers(law_files: Sequence[LawFile], level: float = 0.9) -> alt.LayerChart:
    """How many dense weights a non-zero weight is worth, against sparsity, with intervals."""
    S = np.linspace(0, 0.95, 39)

    def worth(law: JointLaw) -> np.ndarray:
        return np.asarray(law.multiplier(S))

    columns = []
    for f in law_files:
        low = high = np.full(S.shape, np.nan)
        if f.ensemble is not None:
            low, high = f.interval(worth, dims=1, level=level)
        columns.append(
            charts.rows(law=f.name, sparsity=S, worth=worth(f.joint), low=low, high=high)
        )
    at = ", ".join(f"{number(float(f.joint.multiplier(0.75)))} for {f.name}" for f in law_files)
    chart = bands(columns, "sparsity", "worth", "Sparsity", "Dense weights a weight is worth")
    text = f"""Size of the dense model of equal loss over the non-zero weights, against sparsity,
        with intervals of {percent(level)}. At 75 % sparsity it is {at}."""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def optimum_lines(law_file: LawFile, runs: RunTable, cost: str) -> alt.LayerChart:
    """Lines of equal optimal sparsity and the dense optimum, with the runs where they lie."""
    runs = runs.finished
    N, S = runs.nonzero_params, runs.sparsity
    sizes = np.geomspace(N.min() / 2, N.max() * 8, 12)
    flops = cost_model(cost).flops(S, N, runs.data_seen)
    points = alt.Chart(charts.rows(nonzero_params=N, flops=flops))
    lines = contours(law_file, cost, sizes)
    marks = points.mark_point(size=25, opacity=0.6, color=charts.GREY[0]).encode(
        x=charts.log_x("nonzero_params", "Non-zero parameters"),
        y=alt.Y("flops:Q", scale=alt.Scale(type="log")),
    )
    text = f"{lines.description} Grey rings are the {len(runs)} runs of the sweep."
    layered: alt.LayerChart = charts.describe(lines + marks, text)
    return layered


def learning_rates(attempts: Sequence[Attempt]) -> alt.Chart:
    """Loss against peak learning rate, dense and sparse; the reader chooses the size."""
    runs = [a for curve in rate_curves(attempts) for a in curve]
    sizes = sorted({a.config.nonzero_params for a in runs})
    options = [f"{size:,}" for size in sizes]
    pick = alt.param(
        name="recipe_size", value=options[-1],
        bind=alt.binding_radio(options=options, name="Non-zero parameters"),
    )  # fmt: skip
    data = charts.rows(
        rate=[a.config.peak_lr for a in runs], loss=[a.run.loss for a in runs],
        sparsity=[a.config.sparsity for a in runs],
        size=[f"{a.config.nonzero_params:,}" for a in runs],
        norms=[NORMS[a.config.qk_norm] for a in runs],
    )  # fmt: skip
    known = [name for name in NORMS.values() if any(NORMS[a.config.qk_norm] == name for a in runs)]
    chart = (
        alt.Chart(data)
        .mark_line(point=alt.OverlayMarkDef(filled=True, size=60))
        .transform_filter("datum.size == recipe_size")
        .encode(
            x=charts.log_x("rate", "Peak learning rate"),
            y=alt.Y("loss:Q", title="Validation loss (nats)", scale=alt.Scale(zero=False)),
            color=charts.sparsity_colour([a.config.sparsity for a in runs]),
            strokeDash=alt.StrokeDash(
                "norms:N", title="Queries and keys", scale=alt.Scale(domain=known)
            ),
        )
        .add_params(pick)
    )
    worst = max(runs, key=lambda a: a.run.loss)
    text = f"""Validation loss of {len(runs)} short runs against peak learning rate, one colour a
        sparsity, dashed without norms of queries and keys; the size is chosen below the chart. The
        highest loss, {number(worst.run.loss, 3)}, is at rate {number(worst.config.peak_lr)} in a
        model of {worst.config.nonzero_params:,} non-zero weights {NORMS[worst.config.qk_norm]}."""
    described: alt.Chart = charts.describe(chart, text)
    return described
