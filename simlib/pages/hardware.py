"""Tables and a chart of measured sparse products: what skips zeros, and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from simlib.analysis.contrasts import FAMILIES
from simlib.analysis.numbers import number, sparsity_text
from simlib.pages import charts
from simlib.pages.tables import Table
from simlib.pages.words import out_of
from simlib.runs.timings import TRAINING_ROWS, ServingTiming, StepTiming, Timing
from simlib.simulate.kerneltimes import pays, step_speedup, step_speedups
from simlib.simulate.speedup import SpeedupCost

EXTRA = ("sparseprop",)  # kernels that the book's requirements do not install


def levels(timings: Sequence[Timing]) -> list[float]:
    """The sparsities that were measured."""
    return sorted({t.sparsity for t in timings})


def widths(timings: Sequence[Timing]) -> list[int]:
    """The widths at which a training step was measured."""
    return sorted({t.width for t in timings if t.rows == TRAINING_ROWS})


def installed_only(timings: Sequence[Timing]) -> list[Timing]:
    """Timings of the kernels that the book's requirements install."""
    return [t for t in timings if t.kernel not in EXTRA]


def products_table(timings: Sequence[Timing], width: int) -> Table:
    """Speed-up with its quartiles of every kernel and product of a training step at one width."""
    at = [t for t in timings if (t.width, t.rows) == (width, TRAINING_ROWS)]
    found = {(t.kernel, t.product, t.sparsity): t for t in at}
    pairs = list(dict.fromkeys((t.kernel, t.product) for t in at))
    rows = [(k, p, *(_cell(found.get((k, p, s))) for s in levels(at))) for k, p in pairs]
    return Table(("kernel", "product", *(sparsity_text(s) for s in levels(at))), rows)


def _cell(timing: Timing | None) -> str:
    if timing is None:
        return ""
    return _spread(timing)


def _gap(gap: float) -> str:
    return number(gap, 1) if gap else "not at all"


def _spread(timing: Timing | StepTiming | ServingTiming) -> str:
    return f"{number(timing.speedup, 2)} × ({number(timing.low, 2)} to {number(timing.high, 2)})"


def steps_table(timings: Sequence[Timing]) -> Table:
    """Speed-up of a step's products by the best mix of kernels, at every width and sparsity."""
    rows = []
    for name, some in (("installed", installed_only(timings)), ("all", list(timings))):
        rows += [
            (str(w), name, *(f"{number(step_speedup(some, w, s), 3)} ×" for s in levels(some)))
            for w in widths(some)
        ]
    return Table(("width", "kernels", *(sparsity_text(s) for s in levels(timings))), rows)


def run_speedup(timings: Sequence[Timing], width: int, sparsity: float) -> float:
    """How much faster the products of a whole run go: its dense quarter and its ramp count too."""
    cost = SpeedupCost(step_speedups(timings, width))
    return float(1 / ((1 - sparsity) * cost.multiplier(sparsity)))


def runs_table(timings: Sequence[Timing]) -> Table:
    """Speed-up of a whole run's products under the usual schedule, at every width."""
    rows = [
        (str(w), *(f"{number(run_speedup(timings, w, s), 3)} ×" for s in levels(timings)))
        for w in widths(timings)
    ]
    return Table(("width", *(sparsity_text(s) for s in levels(timings))), rows)


def serving_table(timings: Sequence[Timing]) -> Table:
    """Fastest kernel of the forward product for few tokens at once, with its quartiles."""
    serving = [t for t in timings if t.rows != TRAINING_ROWS]
    rows = []
    for shape in sorted({(t.rows, t.width) for t in serving}):
        best = [
            max(
                (t for t in serving if (t.rows, t.width, t.sparsity) == (*shape, s)),
                key=lambda t: t.speedup,
                default=None,
            )
            for s in levels(serving)
        ]
        cells = [f"{_cell(t)} {t.kernel}" if t else "" for t in best]
        rows.append((*map(str, shape), *cells))
    return Table(("tokens", "width", *(sparsity_text(s) for s in levels(serving))), rows)


def whole_steps_table(steps: Sequence[StepTiming]) -> Table:
    """Whole training steps, after the ramp, with sparse kernels against masks."""
    rows = [
        (
            FAMILIES[s.family],
            str(s.width),
            sparsity_text(s.sparsity),
            str(s.tokens),
            number(s.masks_ms, 3),
            number(s.sparse_ms, 3),
            _spread(s),
            _gap(s.loss_gap),
        )
        for s in steps
    ]
    header = (
        "family",
        "width",
        "sparsity",
        "tokens",
        "masks, ms",
        "sparse, ms",
        "speed-up",
        "losses apart",
    )
    return Table(header, rows)


def whole_models_table(serving: Sequence[ServingTiming]) -> Table:
    """Forward passes of whole models, dense against sparse kernels."""
    rows = [
        (
            FAMILIES[s.family],
            str(s.width),
            sparsity_text(s.sparsity),
            str(s.tokens),
            f"{s.dense_per_second:,.0f}",
            f"{s.sparse_per_second:,.0f}",
            _spread(s),
            _gap(s.logit_gap),
        )
        for s in serving
    ]
    header = (
        "family",
        "width",
        "sparsity",
        "tokens",
        "dense, tokens/s",
        "sparse, tokens/s",
        "speed-up",
        "logits apart",
    )
    return Table(header, rows)


def switches_table(switches: Sequence[Mapping[str, Any]]) -> Table:
    """What a run's side file says of its kernels: what was measured, and what was chosen."""
    rows = [
        (
            f"{s['inputs']} to {s['outputs']}",
            str(len(s["layers"])),
            str(s["tokens"]),
            f"{number(s['speedup'], 2)} ×",
            f"{number(s['low'], 2)} ×",
            "sparse" if s["sparse"] else "masks",
        )
        for s in switches
    ]
    header = ("shape", "layers", "tokens", "median", "lower quartile", "chosen")
    return Table(header, rows or [("nothing measured: no kernel here", "", "", "", "", "masks")])


def gains(timings: Sequence[StepTiming | ServingTiming]) -> str:
    """`17 of 20 cases, by up to 2.0 times (...)`: where sparse kernels win beyond their scatter."""
    if not timings:
        return "none, since none was measured"
    won = [t for t in timings if pays(t)]
    best = max(timings, key=lambda t: t.speedup)
    return (
        f"{out_of(len(won), len(timings), 'case')}, by up to {number(best.speedup, 2)} times "
        f"({FAMILIES[best.family]} of width {best.width} at {sparsity_text(best.sparsity)} "
        "sparsity)"
    )


def least_paying(timings: Sequence[Timing], width: int) -> float | None:
    """The least measured sparsity at which some product of a training step is faster sparse."""
    at = [t for t in timings if (t.width, t.rows) == (width, TRAINING_ROWS) and pays(t)]
    return min((t.sparsity for t in at), default=None)


def break_even(timings: Sequence[Timing]) -> alt.LayerChart:
    """Speed-up of the forward product of a step against sparsity, one line a kernel and width."""
    at = [t for t in timings if t.rows == TRAINING_ROWS and t.product == "forward"]
    values = [
        {
            "sparsity": sparsity_text(t.sparsity),
            "speedup": t.speedup,
            "kernel": t.kernel,
            "width": str(t.width),
            "series": f"{t.kernel} {t.width}",
        }
        for t in at
    ]
    names = list(dict.fromkeys(t.kernel for t in at))
    colours = alt.Scale(domain=names, range=[light for light, _ in charts.SERIES][: len(names)])
    x = alt.X("sparsity:O", title="Sparsity", axis=alt.Axis(labelAngle=0))
    y = charts.log_y("speedup", "Dense time over sparse time")
    base = alt.Chart(alt.Data(values=values)).encode(
        x=x, y=y, color=alt.Color("kernel:N", scale=colours, title="Kernel"), detail="series:N"
    )
    even = (
        alt.Chart(alt.Data(values=[{"y": 1}]))
        .mark_rule(strokeDash=[5, 3], color=charts.GREY[0])
        .encode(y=alt.Y("y:Q"))
    )
    order = [str(w) for w in widths(at)]
    shape = alt.Shape("width:N", title="Width", scale=alt.Scale(domain=order))
    marks = base.mark_line() + base.mark_point(filled=True, size=50).encode(shape=shape)
    faster = sum(pays(t) for t in at)
    text = f"""Dense over sparse time of the forward product against sparsity, one line a kernel and
        width, on a logarithmic axis with a dashed line where both are equally fast. {faster} of the
        {len(at)} points lie above that line beyond the scatter of their measurements."""
    layered: alt.LayerChart = charts.describe(marks + even, text)
    return layered
