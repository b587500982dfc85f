"""Charts and tables of predictions held against what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from simlib.analysis.numbers import number, percent, sparsity_text
from simlib.analysis.predictions import FormEvaluation, best_forms
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table


def misses(found: Sequence[FormEvaluation], level: float) -> alt.LayerChart:
    """Predicted over measured loss of every run, a row a form, on the form's mean interval."""
    points = [
        {"form": h.form, "error": float(p / m - 1), "sparsity": run.sparsity, "run": run.run_id}
        for h in found
        for run, m, p in zip(h.runs, h.measured, h.loss, strict=True)
    ]
    spans = [
        {
            "form": h.form,
            "low": float((h.loss / h.high).mean() - 1),
            "high": float((h.loss / h.low).mean() - 1),
        }
        for h in found
    ]
    y = alt.Y("form:N", title=None, sort=[h.form for h in found], axis=alt.Axis(labelLimit=200))
    axis = alt.Axis(format="+.1%")
    bar = alt.Chart(alt.Data(values=spans)).mark_bar(opacity=0.25, color=charts.FITTED, height=14)
    marks = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=55, opacity=0.8)
    layers = (
        bar.encode(
            x=alt.X("low:Q", title="Predicted above measured loss", axis=axis), x2="high:Q", y=y
        ),
        marks.encode(
            x=alt.X("error:Q", axis=axis),
            y=y,
            color=charts.sparsity_colour([run.sparsity for h in found for run in h.runs]),
            tooltip=["run:N", "form:N", alt.Tooltip("error:Q", format="+.2%")],
        ),
    )
    said = "; ".join(f"{h.form} {h.inside} of {len(h)}" for h in found)
    text = f"""How far the predicted loss lies above the measured one for every predicted run, a row
        a form, coloured by sparsity, on a bar of the mean {percent(level)} interval. Inside their
        own intervals: {said}."""
    chart = alt.layer(*layers).properties(height=max(60, 32 * len(found)))
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def predicted_losses(found: FormEvaluation) -> alt.LayerChart:
    """One form's predictions with their intervals and the measured losses, against sparsity."""
    data = charts.rows(
        sparsity=[sparsity_text(run.sparsity) for run in found.runs],
        loss=found.loss,
        low=found.low,
        high=found.high,
        measured=found.measured,
    )
    base = alt.Chart(data).encode(
        x=alt.X("sparsity:N", title="Sparsity", sort=None, axis=alt.Axis(labelAngle=0))
    )
    near = alt.Scale(zero=False)
    title = "Loss (nats)"
    y = alt.Y("loss:Q", title=title, scale=near)
    layers = (
        base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(
            y=alt.Y("low:Q", title=title, scale=near), y2="high:Q"
        ),
        base.mark_point(filled=True, size=90, color=charts.FITTED).encode(y=y),
        base.mark_point(shape="diamond", filled=True, size=110, color=charts.ORANGE[0]).encode(
            y=alt.Y("measured:Q", scale=near)
        ),
    )
    said = "; ".join(
        f"{sparsity_text(run.sparsity)}: predicted {number(p, 4)}, measured {number(m, 4)}"
        for run, p, m in zip(found.runs, found.loss, found.measured, strict=True)
    )
    text = f"""Loss against sparsity: circles with intervals are predictions of the {found.form}
        form, diamonds are measured. {said}."""
    layered: alt.LayerChart = charts.describe(alt.layer(*layers), text)
    return layered


def held_table(found: Sequence[FormEvaluation], level: float) -> Table:
    """Each form's runs inside their intervals, its bias and its error."""
    rows = [
        (
            h.form,
            f"{h.inside} of {len(h)}",
            f"{h.bias:+.2%}",
            percent(h.rmse, 2),
            percent(h.width, 1),
        )
        for h in found
    ]
    header = (
        "form",
        f"inside {percent(level)}",
        "bias of the prediction",
        "log-RMSE",
        "width of the interval",
    )
    return Table(header, rows)


def ranking(sets: Mapping[str, Sequence[FormEvaluation]], tie: float) -> Table:
    """log-RMSE of each form on each set of predicted runs; a star marks those within a tie."""
    forms = list(dict.fromkeys(h.form for found in sets.values() for h in found))
    best = {name: {h.form for h in best_forms(found, tie)} for name, found in sets.items() if found}
    rows = []
    for form in forms:
        cells = []
        for name, found in sets.items():
            row = next((h for h in found if h.form == form), None)
            star = " *" if form in best.get(name, ()) else ""
            cells.append("–" if row is None else percent(row.rmse, 2) + star)
        rows.append((form, *cells))
    return Table(("form", *map(spoken, sets)), rows)


def falls(found: FormEvaluation) -> tuple[int, int]:
    """In how many steps of sparsity the measured loss falls, and the number of steps."""
    order = np.argsort([run.sparsity for run in found.runs], kind="stable")
    steps = np.diff(found.measured[order])
    return int((steps < 0).sum()), len(steps)
