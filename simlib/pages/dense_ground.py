"""Charts, tables and sentences of the page on the dense terms of other people's runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from simlib.analysis.experts import with_ends
from simlib.analysis.numbers import percent, with_interval
from simlib.fit.fittedlaw import FittedLaw
from simlib.fit.profile import Interval
from simlib.laws.law import Array
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.pages.words import listed


def size_share(law: Any) -> Array:
    """Exponent of the compute-optimal size, `N ~ C^(beta / (alpha + beta))`."""
    return np.asarray(law.beta / (law.alpha + law.beta))


def law_table(law_files: Mapping[str, FittedLaw]) -> Table:
    """Each dense law: runs, scatter, exponents, floor, and what follows for compute."""
    header = ("runs of", "runs", "log-RMSE", "exponent of size", "of data", "floor")
    return Table(
        (*header, "exponent of the optimal size", "not identified"),
        [
            (
                spoken(what),
                str(f.runs),
                percent(f.log_rmse, 2),
                *(
                    with_interval(f.coefficients[name], f.intervals.get(name), 2)
                    for name in ("alpha", "beta", "E")
                ),
                with_interval(*with_ends(f, size_share), 2),
                listed(f.unidentified),
            )
            for what, f in law_files.items()
        ],
    )


def shares(law_files: Mapping[str, FittedLaw]) -> alt.LayerChart:
    """Exponent of the compute-optimal size by table, with its interval; 0.5 splits evenly."""
    found = {}
    for what, f in law_files.items():
        value, interval = with_ends(f, size_share)
        found[spoken(what)] = (value, *(interval or (value, value)))
    values = [
        {"runs": what, "share": value, "low": low, "high": high}
        for what, (value, low, high) in found.items()
    ]
    scale = alt.Scale(domain=[0, 1])
    title = "Exponent of the compute-optimal size"
    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("runs:N", title=None, sort=list(found), axis=alt.Axis(labelLimit=240))
    )
    rule = base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(
        x=alt.X("low:Q", scale=scale, title=title), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=90, color=charts.FITTED).encode(
        x=alt.X("share:Q", scale=scale, title=title),
        tooltip=[
            "runs:N",
            *(alt.Tooltip(f"{c}:Q", format=".2f") for c in ("share", "low", "high")),
        ],
    )
    even = alt.Chart(alt.Data(values=[{"x": 0.5}])).mark_rule(
        color=charts.GREY[0], strokeDash=[5, 3]
    )
    said = "; ".join(f"{what} {value:.2f}" for what, (value, *_) in found.items())
    text = f"""How fast the compute-optimal size grows with compute, with
        {percent(next(iter(law_files.values())).level)} intervals: {said}. At 0.5, the dashed line,
        size and data grow alike."""
    layers = alt.layer(even.encode(x="x:Q"), rule, point)
    layered: alt.LayerChart = charts.describe(layers.properties(height=220), text)
    return layered


def apart(whole: FittedLaw, parts: Sequence[FittedLaw], names: tuple[str, ...]) -> str:
    """`beta and E (Farseer at one budget)`: where a part's interval does not meet the whole's."""
    found = {}
    for part in parts:
        far = [
            name for name in names if _apart(whole.intervals.get(name), part.intervals.get(name))
        ]
        if far:
            found[spoken(part.name)] = listed(far)
    return listed(f"{far} ({part})" for part, far in found.items())


def _apart(a: Interval | None, b: Interval | None) -> bool:
    """Whether two intervals are closed and do not meet."""
    if a is None or b is None:
        return False
    (low, high), (other_low, other_high) = a, b
    if low is None or high is None or other_low is None or other_high is None:
        return False
    return high < other_low or other_high < low
