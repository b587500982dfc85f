"""The look of every chart, and the parts of charts that pages use twice or more.

A page calls `enable()` once; from then on an Altair chart is drawn offline, follows the light or
dark theme, fills the width of the column, and carries its numbers.
"""

import html
import math
import sys
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.pages.words import signed

VEGALITE_MIME = "application/vnd.vegalite.v6+json"
STATIC_WIDTH = 640  # pixels, where a chart as wide as its container has no container
HEIGHT = 320

# (on light, on dark): contrast of at least 3:1 with the page in either theme
GREY = ("#5f6b7a", "#9aa5b4")
BLUE = ("#0b68b0", "#58a6f0")
ORANGE = ("#c25700", "#f0903e")
GREEN = ("#0f7b5f", "#3fbf9a")
PURPLE = ("#7a3e9d", "#c08be0")
# at 25, 50, 75, 87.5, 93.75% sparsity: lightness changes too, to read without colour vision
_SPARSE_STOPS = (
    ("#9c7d00", "#fde05a"),
    ("#d1570e", "#fb9a50"),
    ("#bb2463", "#f26d9f"),
    ("#7a2aa8", "#c68af7"),
    ("#2c2a96", "#8f93fb"),
)
SERIES = (BLUE, ORANGE, GREEN, PURPLE, GREY)
DENSE, MEASURED, FITTED, PUBLISHED = GREY[0], GREY[0], BLUE[0], ORANGE[0]


def _mix(first: str, second: str, share: float) -> str:
    pairs = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)


def _sparse_colour(sparsity: float, theme: int = 0) -> str:
    """Colour of one sparsity: grey for dense, then by the number of halvings of the density."""
    if sparsity <= 0:
        return GREY[theme]
    halvings = -math.log2(max(1 - sparsity, 1e-9))
    place = halvings if halvings >= 1 else 2 * halvings - 1
    # quarter steps keep the list of colours that the dark theme replaces finite
    place = min(max(round(4 * place) / 4, 0.0), len(_SPARSE_STOPS) - 1.0)
    low = min(int(place), len(_SPARSE_STOPS) - 2)
    return _mix(_SPARSE_STOPS[low][theme], _SPARSE_STOPS[low + 1][theme], place - low)


def _dark_colours() -> dict[str, str]:
    """Each colour of a chart on a light page, and the one that replaces it on a dark page."""
    halvings = [0.5, 0.625, 0.75, 0.875, *(1 + quarter / 4 for quarter in range(13))]
    levels = [1 - 2.0**-count for count in halvings]
    sparse = {_sparse_colour(level): _sparse_colour(level, theme=1) for level in levels}
    return {**dict(SERIES), **sparse}


def sparsity_scale(sparsities: ArrayLike) -> alt.Scale:
    """Colour scale for sparsities in [0, 1): the same sparsity has the same colour in every chart.

    The domain is the sorted distinct values, so encode the field as ordinal:
    `color=alt.Color("sparsity:O", scale=charts.sparsity_scale(table.sparsity))`.

    Raises:
        InputError: a value outside [0, 1).
    """
    levels = sorted({float(level) for level in np.ravel(np.asarray(sparsities, dtype=float))})
    if not levels or levels[0] < 0 or levels[-1] >= 1:
        raise InputError(f"sparsities must lie in [0, 1), got {levels}")
    return alt.Scale(domain=levels, range=[_sparse_colour(level) for level in levels])


def sparsity_colour(sparsities: ArrayLike, field: str = "sparsity") -> alt.Color:
    """The colour channel of charts with one series a sparsity, its legend in percent."""
    legend = alt.Legend(title="Sparsity", labelExpr="format(datum.value, '.4~p')")
    return alt.Color(f"{field}:O", scale=sparsity_scale(sparsities), legend=legend)


# 100K, 1B (not 1G: these count parameters and tokens), plain below 1000, powers of ten at the ends
_PLAIN = "format(datum.value, '.3~f')"
_POWER = "replace(format(datum.value, '.2~e'), '+', '')"
_SI = "upper(replace(format(datum.value, '.3~s'), 'G', 'B'))"
_QUANTITY = (
    f"datum.value >= 1e15 || datum.value < 1e-3 ? {_POWER} : datum.value < 1000 ? {_PLAIN} : {_SI}"
)


def _log_axis(channel: str) -> alt.Axis:
    """Labels and grid at 1, 10, 100, or, on an axis of under two decades, at 1, 2, 5, 10."""
    leading = "toNumber(slice(format(datum.value, '.0e'), 0, 1))"
    wide = f"domain('{channel}')[1] / domain('{channel}')[0] > 100"
    major = f"indexof({wide} ? [1] : [1, 2, 5], {leading}) >= 0"
    return alt.Axis(
        labelExpr=f"{major} ? ({_QUANTITY}) : ''",
        gridOpacity=alt.condition(major, alt.value(1), alt.value(0)),
        labelOverlap=True,
    )


def quantity_axis() -> alt.Axis:
    """Labels of a linear axis of parameters or data as those of logarithmic ones: 15K, 2.5M, 1B."""
    return alt.Axis(labelExpr=f"datum.value == 0 ? '0' : ({_QUANTITY})")


def log_x(field: str, title: str, **scale: Any) -> alt.X:
    """Logarithmic horizontal axis of quantity `field`, labelled 1M, 10M, 1B.

    `scale` is passed on to the scale, for example `domain=[1e6, 1e11]`.
    """
    axis, log = _log_axis("x"), alt.Scale(type="log", **scale)
    return alt.X(f"{field}:Q", title=title, axis=axis, scale=log)


def log_y(field: str, title: str, **scale: Any) -> alt.Y:
    """Logarithmic vertical axis of quantity `field`, labelled 1M, 10M, 1B; see `log_x`."""
    axis, log = _log_axis("y"), alt.Scale(type="log", **scale)
    return alt.Y(f"{field}:Q", title=title, axis=axis, scale=log)


def rows(**columns: ArrayLike) -> alt.Data:
    """Chart data from columns that broadcast to one shape: one row an element.

    Values that are not finite become null, which a chart leaves out and JSON can carry.

    Raises:
        InputError: the columns do not broadcast.
    """
    try:
        arrays = np.broadcast_arrays(*(np.asarray(column) for column in columns.values()))
    except ValueError as error:
        shapes = {name: np.shape(column) for name, column in columns.items()}
        raise InputError(f"columns do not broadcast to one shape: {shapes}") from error
    cells = zip(*(array.ravel().tolist() for array in arrays), strict=True)
    return alt.Data(values=[dict(zip(columns, map(_plain, row), strict=True)) for row in cells])


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def slider(
    name: str, label: str, low: float, high: float, value: float, step: float
) -> alt.Parameter:
    """A slider whose position the chart's expressions read as `name`.

    With a `name` that begins with `log10_`, the position is an exponent and the reader sees the
    power of ten: `slider("log10_N", "Non-zero parameters", 6, 11, 8, 0.05)`, `pow(10, log10_N)`.

    Raises:
        InputError: `value` outside [low, high], or a step that is not positive.
    """
    if not low <= value <= high or step <= 0:
        raise InputError(f"slider {name}: value {value}, step {step} do not fit [{low}, {high}]")
    bind = alt.binding_range(min=low, max=high, step=step, name=label)
    return alt.param(name=name, value=value, bind=bind)


def band(data: Any, x: alt.X, low: str, high: str, colour: str = FITTED) -> alt.Chart:
    """Shaded interval between the fields `low` and `high` along `x`, to lay under a line."""
    mark = alt.Chart(data).mark_area(opacity=0.18, color=colour, line=False)
    return mark.encode(x=x, y=alt.Y(f"{low}:Q"), y2=alt.Y2(f"{high}:Q"))


def loss_against(
    data: Any, x: alt.X, sparsities: ArrayLike, title: str = "Loss (nats)"
) -> alt.LayerChart:
    """Measured losses as lines with points, one colour a sparsity.

    `data` has the fields of `x`, `sparsity` and `loss`.
    """
    y = alt.Y("loss:Q", title=title, scale=alt.Scale(zero=False))
    base = alt.Chart(data).encode(x=x, y=y, color=sparsity_colour(sparsities))
    return base.mark_line() + base.mark_point(filled=True, size=45)


def describe(chart: Any, text: str) -> Any:
    """`chart` with `text` as its description: what a screen reader says in place of the picture.

    Say what is drawn against what and what there is to see, in one to three sentences.

    Raises:
        InputError: the text is too short to describe anything.
    """
    if len(text.split()) < 5:
        raise InputError(f"a chart's description takes at least five words, got {text!r}")
    return chart.properties(description=signed(" ".join(text.split())))


@alt.theme.register("simlib", enable=False)
def _theme() -> alt.theme.ThemeConfig:
    # one text of a mark for each of hundreds of points drowns the description; the numbers are
    # in the table below the chart
    config = {
        "view": {"continuousHeight": HEIGHT, "discreteHeight": HEIGHT, "stroke": None},
        "mark": {"aria": False, "color": BLUE[0]},
        "line": {"strokeWidth": 2.2},
        "axis": {"titlePadding": 10, "labelFontSize": 12, "titleFontSize": 13, "grid": True},
        "legend": {
            **{"orient": "top", "labelFontSize": 12, "titleFontSize": 13},
            # a band's own opacity would make its legend all but invisible
            **{"symbolSize": 90, "symbolOpacity": 1},
        },
        "range": {"category": [light for light, _ in SERIES]},
    }
    themed: Any = {"config": config, "width": "container", "usermeta": {"dark": _dark_colours()}}
    return themed


class _Captions:
    """Numbers the charts of a page and prints the description of each one below it."""

    def __init__(self) -> None:
        self.printed = 0
        self.pending: list[str] = []

    def flush(self) -> None:
        """Print the captions of the charts that the cell which has just run has shown."""
        from IPython.display import display

        pending, self.pending = self.pending, []
        for text in pending:
            self.printed += 1
            display(_Caption(self.printed, text))


class _Caption:
    """A line below a chart."""

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = f"Figure {number}.", text

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        words = f"<strong>{self.number}</strong> {html.escape(self.text)}"
        style = "font-size: .9em; color: var(--pst-color-text-muted); margin: 0"
        return {
            "text/html": f'<p class="chart-caption" style="{style}">{words}</p>',
            "text/plain": f"{self.number} {self.text}",
        }


_captions = _Captions()


def _bundle(spec: dict[str, Any]) -> dict[str, Any]:
    import vl_convert

    narrowed = {**spec, "width": STATIC_WIDTH} if spec.get("width") == "container" else spec
    if "description" in spec:
        _captions.pending.append(spec["description"])
    described = html.escape(spec.get("description", "chart"))
    picture = vl_convert.vegalite_to_svg(narrowed)
    return {
        VEGALITE_MIME: spec,
        "image/svg+xml": picture.replace("<svg ", f'<svg role="img" aria-label="{described}" ', 1),
        "text/plain": spec.get("description", "chart"),
    }


def enable() -> None:
    """Draw the charts of this process offline, in the book's look; call it once a page.

    In a notebook each chart is followed by its number and description.
    """
    alt.theme.enable("simlib")
    alt.renderers.register("simlib", _bundle)
    alt.renderers.enable("simlib")
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell and _captions.flush not in shell.events.callbacks["post_execute"]:
        shell.events.register("post_execute", _captions.flush)


__all__: Sequence[str] = [
    "BLUE",
    "DENSE",
    "FITTED",
    "GREEN",
    "GREY",
    "MEASURED",
    "ORANGE",
    "PUBLISHED",
    "PURPLE",
    "SERIES",
    "STATIC_WIDTH",
    "VEGALITE_MIME",
    "band",
    "describe",
    "enable",
    "log_x",
    "log_y",
    "loss_against",
    "quantity_axis",
    "rows",
    "slider",
    "sparsity_colour",
    "sparsity_scale",
]
