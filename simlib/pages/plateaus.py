"""A table whose shortest runs lie on a plateau of learning, beside one in the regime of the law."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt

from simlib.analysis.regime import Regime, regime
from simlib.pages import charts
from simlib.pages.words import sentence
from simlib.runs.table import RunTable


def falls_chart(tables: Mapping[str, RunTable], unit: str) -> alt.LayerChart:
    """What a doubling of data saves, against the data before it, one line a table by its name.

    `unit` is that of the data, such as "bytes". Raises InputError as `regime` does.
    """
    regimes = {name: regime(runs) for name, runs in tables.items()}
    sides = [
        (n, s.data_seen / 2, s.data_seen, s.falls) for n, r in regimes.items() for s in r.steps
    ]
    points = {(n, D): fall for n, *at, falls in sides for D, fall in zip(at, falls, strict=True)}
    names, data = zip(*points, strict=True)
    x = charts.log_x("data_seen", f"{sentence(unit)} before the doubling")
    y = alt.Y("fall:Q", title="Nats that a doubling saves")
    colour = alt.Color("table:N", title=None, sort=list(tables))
    base = alt.Chart(charts.rows(table=names, data_seen=data, fall=list(points.values())))
    lines = base.encode(x=x, y=y, color=colour)
    text = f"""Nats that a doubling of data saves, mean over sparsities and sizes, against the
        data before it. {" ".join(_said(name, r, unit) for name, r in regimes.items())}"""
    chart: alt.LayerChart = charts.describe(
        lines.mark_line() + lines.mark_point(filled=True, size=45), text
    )
    return chart


def _said(name: str, found: Regime, unit: str) -> str:
    """Until where a table's loss falls ever faster, in one sentence."""
    if any(step.rises for step in found.steps):
        until = f"up to {found.start:,.0f} {unit} each saves more than the one before"
        return f"In {name} {until}: the plateau."
    return f"In {name} each saves less than the one before, from the shortest run on."
