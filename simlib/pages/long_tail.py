"""Charts, pictures and sentences of the page on a task whose classes have a long tail."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping

import altair as alt
import numpy as np

from simlib.analysis.longtail import ClassCosts, endless, forecast, local_powers
from simlib.analysis.numbers import count, number, percent
from simlib.errors import InputError
from simlib.laws.law import Array
from simlib.pages import charts
from simlib.pages.tables import Table

ZOOM = 3  # screen pixels of a pixel of an image
GAP = 2  # pixels between images
LINE = 60  # points of a curve
IMAGES = "Training images"


class Pictures:
    """Grey images in rows, uint8 (rows, columns, height, width, 1), shown by a notebook."""

    def __init__(self, images: Array, text: str) -> None:
        self.images, self.text = images, text

    def _repr_html_(self) -> str:
        from PIL import Image  # comes with what trains

        rows, columns, height, width, _ = self.images.shape
        sheet = np.full((rows * (height + GAP), columns * (width + GAP)), 255, np.uint8)
        for r in range(rows):
            for c in range(columns):
                top, left = r * (height + GAP), c * (width + GAP)
                sheet[top : top + height, left : left + width] = self.images[r, c, :, :, 0]
        size = (sheet.shape[1] * ZOOM, sheet.shape[0] * ZOOM)
        file = io.BytesIO()
        Image.fromarray(sheet).resize(size, Image.Resampling.NEAREST).save(file, "PNG")
        source = base64.b64encode(file.getvalue()).decode()
        return f'<img alt="{html.escape(self.text)}" src="data:image/png;base64,{source}">'


def tails(shares: Mapping[str, Array]) -> alt.LayerChart:
    """Frequency of each class by its rank, a colour a task."""
    lines = []
    for task, found in shares.items():
        ranks = np.unique(np.geomspace(1, len(found), LINE).round().astype(int))
        lines += [{"task": task, "rank": int(k), "images": float(1 / found[k - 1])} for k in ranks]
    base = alt.Chart(alt.Data(values=lines)).encode(
        x=charts.log_x("rank", "Class, from the most frequent one on", nice=False),
        y=charts.log_y("images", "Comes once in so many images", nice=False),
        color=alt.Color("task:N", title=None, sort=list(shares)),
    )
    ends = "; ".join(
        f"{task}: {count(1 / found[0])} to {count(1 / found[-1])}, {len(found):,} classes"
        for task, found in shares.items()
    )
    text = f"""How rare each class is, on logarithmic axes. A power law is a straight line, and a
        tail ends where the classes do. Once in so many images: {ends}."""
    layered: alt.LayerChart = charts.describe(alt.layer(base.mark_line()), text)
    return layered


def learning(found: Mapping[float, ClassCosts]) -> alt.LayerChart:
    """What a class costs by how often it was seen, a colour a sparsity."""
    values = [
        {"sparsity": S, "times": t, "loss": loss, "low": loss - e, "high": loss + e}
        for S, group in found.items()
        for t, loss, e in zip(
            group.times.tolist(), group.loss.tolist(), group.error.tolist(), strict=True
        )
    ]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=charts.log_x("times", "Times that the class was seen in training", nice=False, padding=8),
        color=charts.sparsity_colour(sorted(found)),
    )
    title = "Loss on images of the class (nats)"
    rule = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    line = base.mark_line(point=True).encode(y=alt.Y("loss:Q", title=title))
    text = """Validation loss by how often the class of an image was seen, a point for each
        doubling, with one standard error. If a class were known or not, the lines would be steps:
        they fall all the way."""
    layered: alt.LayerChart = charts.describe(alt.layer(rule, line), text)
    return layered


def against_runs(
    measured: Mapping[int, tuple[Array, Array]],
    found: ClassCosts,
    shares: Array,
    exponent: float,
    start: float,
) -> alt.LayerChart:
    """Dense losses by data and size, the forecast from the tail, and the line of an endless one."""
    sizes = [f"{N:,} weights" for N in measured]
    points = [
        {"size": size, "data": D, "loss": L}
        for size, (data, loss) in zip(sizes, measured.values(), strict=True)
        for D, L in zip(data.tolist(), loss.tolist(), strict=True)
    ]
    longest = max(data[-1] for data, _ in measured.values())
    data = np.geomspace(start, longest, LINE)
    first = forecast(shares, found, start)
    curves = {
        "forecast from the frequencies": forecast(shares, found, data),
        "endless tail": first * (data / start) ** -endless(exponent),
    }
    lines = [
        {"curve": name, "data": D, "loss": L}
        for name, losses in curves.items()
        for D, L in zip(data.tolist(), losses.tolist(), strict=True)
    ]
    x = charts.log_x("data", IMAGES, nice=False, padding=8)
    scale = alt.Scale(type="log", nice=False, padding=8)
    y = alt.Y("loss:Q", title="Validation loss (nats)", scale=scale)
    legend = alt.Legend(columns=1, labelLimit=300)
    dots = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=55)
    drawn = alt.Chart(alt.Data(values=lines)).mark_line(color=charts.GREY[0])
    chart = alt.layer(
        drawn.encode(
            x=x,
            y=y,
            strokeDash=alt.StrokeDash("curve:N", title=None, sort=list(curves), legend=legend),
        ),
        dots.encode(x=x, y=y, color=alt.Color("size:N", title=None, sort=sizes, legend=legend)),
    )
    text = """Losses of dense models of the pilots against training images, on logarithmic axes,
        with the forecast from how often each class is seen and the line of a tail without end.
        The forecast is that of one size: look where its points leave the line, and on which side
        the other sizes lie."""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def power_table(
    measured: tuple[Array, Array], found: ClassCosts, shares: Array, exponent: float
) -> Table:
    """Loss and local power of data, measured and from the tail."""
    data, loss = measured
    told = forecast(shares, found, data)
    powers = zip(local_powers(data, loss), local_powers(data, told), strict=True)
    rows = [(f"{data[0]:,.0f}", number(loss[0]), number(told[0]), "–", "–", "–")]
    rows += [
        (f"{D:,.0f}", number(L), number(T), f"{m:.2f}", f"{t:.2f}", f"{endless(exponent):.2f}")
        for D, L, T, (m, t) in zip(data[1:], loss[1:], told[1:], powers, strict=True)
    ]
    header = (
        "images",
        "loss",
        "forecast",
        "power from the row above",
        "the forecast's",
        "an endless tail's",
    )
    return Table(header, rows)


def size_table(
    measured: Mapping[int, tuple[Array, Array]], found: ClassCosts, shares: Array, exponent: float
) -> Table:
    """Power of data by size over the amounts that all have, and over the last step of them."""
    common = sorted(set.intersection(*(set(data.tolist()) for data, _ in measured.values())))
    data = np.array(common)
    rows = {
        f"{N:,} dense weights": loss[np.isin(amounts, data)]
        for N, (amounts, loss) in measured.items()
    }
    rows["forecast"] = forecast(shares, found, data)
    rows["endless tail"] = data ** -endless(exponent)
    ends = local_powers(data[[0, -1]], np.array([loss[[0, -1]] for loss in rows.values()]))
    last = local_powers(data[-2:], np.array([loss[-2:] for loss in rows.values()]))
    header = (
        "",
        f"{data[0]:,.0f} to {data[-1]:,.0f} images",
        f"{data[-2]:,.0f} to {data[-1]:,.0f} images",
    )
    powers = zip(rows, ends[:, 0], last[:, 0], strict=True)
    return Table(header, [(name, f"{whole:.2f}", f"{end:.2f}") for name, whole, end in powers])


def costs(found: ClassCosts) -> str:
    """What a class costs that was seen least, and what one that was seen most, in words."""
    least, most = (f"{number(loss, 2)} nats" for loss in (found.loss[0], found.loss[-1]))
    often = (
        f"seen {number(found.times[0], 2)} times" if found.times[0] >= 1.5 else "seen about once"
    )
    return f"{least} when it was {often} and {most} after {count(float(found.times[-1]))} sightings"


def errors(measured: tuple[Array, Array], found: ClassCosts, shares: Array, least: float) -> str:
    """How far the forecast lies off on up to four times the data, and at the most, in words.

    Raises InputError if no run saw more than `least` and at most four times as much.
    """
    data, loss = measured
    ratio = loss / forecast(shares, found, data)
    near = (data > least) & (data <= 4 * least)
    if not near.any():
        raise InputError(f"no run saw {count(least)} to {count(4 * least)} images: take other data")
    worst = float(np.abs(np.log(ratio[near])).max())
    return (
        f"within {percent(worst)} on up to {data[near].max() / least:.0f} times the data, and at "
        f"{data[-1] / least:.0f} times the loss is {number(float(ratio[-1]), 2)} times the forecast"
    )
