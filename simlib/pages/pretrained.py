"""The page on pruning trained models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import attrgetter

import altair as alt

from simlib.analysis.datamultiple import Multiple, from_scratch, published
from simlib.analysis.numbers import number, percent, sparsity_text
from simlib.pages import charts
from simlib.pages.tables import Table
from simlib.pages.words import listed, out_of
from simlib.paper import DATA_MULTIPLES
from simlib.runs.cells import nominal_sparsities
from simlib.runs.table import RunRecord, RunTable


def multiple_table(found: Sequence[Multiple]) -> Table:
    """Data multiples with their intervals, one row a setting, beside the paper's."""
    header = (
        "non-zero parameters",
        "sparsity",
        "data pruned over",
        "runs",
        "loss",
        "better than from scratch by",
        "from scratch needs, times the data",
        "the paper's",
    )
    return Table(header, [_multiple_row(m) for m in found])


def _multiple_row(found: Multiple) -> tuple[str, ...]:
    gain = "not measured"
    if found.gain is not None:
        low, high = (0.0 if end is None else end for end in found.gain_interval)
        gain = f"{percent(found.gain, 1)} ({percent(low, 1)} to {percent(high, 1)})"
    paper = published(found.sparsity)
    return (
        f"{found.nonzero_params:,}",
        sparsity_text(found.sparsity),
        f"{found.data_seen:,}",
        str(found.seeds),
        number(found.loss, 4),
        gain,
        multiple_text(found),
        "" if paper is None else number(paper),
    )


def multiple_text(found: Multiple) -> str:
    """`4.4 (3.6 to 5.3)`, or the bound where the multiple lies beyond what was measured."""
    low, high = (None if end is None else number(end, 2) for end in found.ends)
    if found.value is None:
        side = "more" if found.above else "less"
        return f"{side} than {number(found.bound, 2)}{_beyond(low, high)}"
    return f"{number(found.value, 2)}{_beyond(low, high)}"


def _beyond(low: str | None, high: str | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" ({low} or more)"
    return f" ({high} or less)" if low is None else f" ({low} to {high})"


def agrees(found: Multiple) -> bool | None:
    """Whether the interval holds the paper's multiple; None where the paper states none."""
    paper = published(found.sparsity)
    if paper is None:
        return None
    low, high = found.ends
    return (low is None or low <= paper) and (high is None or paper <= high)


def break_even_table(found: Sequence[Multiple]) -> Table:
    """How many models must be pruned from one trained model until that costs less in all."""
    header = (
        "non-zero parameters",
        "sparsity",
        "data pruned over",
        "trained on, times that",
        "break even, sparse cost",
        "break even, dense cost",
    )
    rows = [
        (
            f"{m.nonzero_params:,}",
            sparsity_text(m.sparsity),
            f"{m.data_seen:,}",
            number(m.start_data / m.data_seen, 2),
            *(break_even_text(m, c) for c in COSTS),
        )
        for m in found
    ]
    return Table(header, rows)


COSTS = ("sparse", "dense")


def break_even_text(found: Multiple, cost: str) -> str:
    """Models at break even with the interval, or its bound."""
    value, ends = found.break_even(found.matched, cost), found.break_even_ends(cost)
    low, high = (None if end is None else _models(end) for end in ends)
    if value is not None:
        return f"{_models(value)}{_beyond(low, high)}"
    if not found.above:
        return "never seen"
    return f"less than {_models(found.break_even(found.measured[1], cost) or math.inf)}"


def _models(value: float) -> str:
    return "no number" if math.isinf(value) else number(value, 2)


def charge_verdicts(found: Sequence[Multiple]) -> Table:
    """Which way is cheaper for a single model that pays for the dense training, by cost model."""
    rows = []
    for cost in COSTS:
        signs = [cheaper(m, cost) for m in found]
        rows.append((cost, *(str(signs.count(sign)) for sign in (1, -1, 0))))
    return Table(("cost", "pruning", "from scratch", "not told apart"), rows)


def losing(found: Sequence[Multiple]) -> str:
    """The settings where from scratch is surely better on equal data, in words."""
    lost = [m for m in found if m.gain is not None and (m.gain_interval[1] or 0.0) < 0]
    named = [
        f"{sparsity_text(m.sparsity)} sparsity and {m.nonzero_params:,} non-zero parameters, "
        f"pruned over {m.data_seen:,} bytes"
        for m in lost
    ]
    return f"only at {listed(named)}" if lost else "in none"


def cheaper(found: Multiple, cost: str) -> int:
    """1 if pruning costs less, surely, though one model pays for the dense training; -1 if surely
    more; 0 if neither is sure."""
    low, high = found.break_even_ends(cost)
    if high is not None and high < 1:
        return 1
    return -1 if low is not None and low > 1 else 0


def falling(found: Sequence[Multiple], along: str) -> str:
    """`all 4 combinations`: those in which a larger value of a field goes with a lower multiple.

    `along` is "sparsity" or "data_seen". A multiple beyond what was measured counts as its bound.
    """
    found = sorted(found, key=attrgetter(along))
    keys = {
        "nonzero_params": [m.nonzero_params for m in found],
        "sparsity": nominal_sparsities([m.sparsity for m in found]).tolist(),
        "data_seen": [m.data_seen for m in found],
    }
    del keys[along]
    groups: dict[tuple[float, ...], list[Multiple]] = {}
    for m, key in zip(found, zip(*keys.values(), strict=True), strict=True):
        groups.setdefault(key, []).append(m)
    rows = [[m.value or m.bound for m in group] for group in groups.values() if len(group) > 1]
    fall = sum(all(a > b for a, b in pairwise(row)) for row in rows)
    return out_of(fall, len(rows), "combination")


def ends_text(values: Iterable[int]) -> str:
    """`2`, or `256,000 to 512,000` where values differ."""
    ends = sorted(set(values))
    return f"{ends[0]:,}" if len(ends) == 1 else f"{ends[0]:,} to {ends[-1]:,}"


def scratch_and_pruned(runs: RunTable, nonzero_params: int) -> alt.LayerChart:
    """Loss against data of runs from scratch, as lines, and of pruned ones, as triangles."""
    pruned = [
        run
        for run in runs.finished
        if run.pruner == "from_checkpoint" and run.nonzero_params == nonzero_params
    ]
    shapes = {run.dense_params: run for run in pruned}
    scratch = [run for like in shapes.values() for run in from_scratch(runs.finished, like)]
    levels = sorted(set(nominal_sparsities([run.sparsity for run in scratch]).tolist()))
    title = f"{nonzero_params:,} non-zero parameters"
    x = charts.log_x("data", "Data seen, or pruned over (bytes)")
    y = alt.Y("loss:Q", title="Loss (nats per byte)", scale=alt.Scale(zero=False))
    colour = charts.sparsity_colour(levels)
    base = alt.Chart(_points(scratch)).encode(x=x, color=colour)
    mean = base.mark_line().encode(y=alt.Y("mean(loss):Q", title="Loss (nats per byte)"))
    marks = base.mark_point(filled=True, size=30, opacity=0.6).encode(y=y)
    triangles = (
        alt.Chart(_points(pruned))
        .mark_point(shape="triangle-up", filled=True, size=130)
        .encode(x=x, y=y, color=colour)
    )
    text = f"""{title}: loss against data, a line a sparsity for training from scratch and a
        triangle for each of {len(pruned)} runs that pruned a trained model over that data. How far
        right of a triangle the line of its colour reaches its height is the data multiple."""
    layered: alt.LayerChart = charts.describe(
        (mean + marks + triangles).properties(title=title), text
    )
    return layered


def _points(runs: Sequence[RunRecord]) -> alt.Data:
    table = RunTable(runs)
    sparsity = nominal_sparsities(table.sparsity)
    return charts.rows(data=table.data_seen, loss=table.loss, sparsity=sparsity)


def multiples(found: Sequence[Multiple]) -> alt.FacetChart:
    """Data multiples against the data that pruning saw, a colour a sparsity, a panel a size."""
    levels = nominal_sparsities([m.sparsity for m in found]).tolist()
    values = [_row(m, S) for m, S in zip(found, levels, strict=True)]
    title = "Data from scratch, times that"
    base = alt.Chart().encode(
        x=charts.log_x("data", "Data that pruning saw (bytes)", nice=False, padding=20),
        color=charts.sparsity_colour(sorted(set(levels))),
    )
    even = alt.Chart().mark_rule(strokeDash=[5, 3], color=charts.GREY[0]).encode(y=alt.YDatum(1))
    bars = base.mark_rule(strokeWidth=3, opacity=0.4).encode(
        y=charts.log_y("low", title, nice=False), y2="high:Q"
    )
    marks = base.mark_line(point=alt.OverlayMarkDef(filled=True, size=60)).encode(
        y=charts.log_y("multiple", title, nice=False)
    )
    panels = alt.layer(even, bars, marks).properties(width=260, height=240)
    facet = alt.Facet("size:N", title=None, sort=list(dict.fromkeys(v["size"] for v in values)))
    chart = panels.facet(facet, columns=2, data=alt.Data(values=values))
    paper = listed([f"{number(v)} at {sparsity_text(S)}" for S, v in DATA_MULTIPLES.items()])
    text = f"""Data that a model from scratch needs to be as good, as a multiple of what pruning a
        trained one saw, against the latter, with intervals, a colour a sparsity, a panel a size. At
        the dashed line a trained model is worth nothing. The paper's multiples are {paper}."""
    faceted: alt.FacetChart = charts.describe(chart, text)
    return faceted


def _row(found: Multiple, sparsity: float) -> dict[str, object]:
    """A multiple beyond the measured data is drawn as its interval alone, up to where it ends."""
    least, most = (end / found.data_seen for end in found.measured)
    low, high = found.ends
    return {
        "size": f"{found.nonzero_params:,} non-zero",
        "sparsity": sparsity,
        "data": found.data_seen,
        "multiple": found.value,
        "low": least if low is None else low,
        "high": most if high is None else high,
    }
