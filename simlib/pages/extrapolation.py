"""Charts and tables of predictions held against what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from simlib.analysis.numbers import number, percent, sparsity_text
from simlib.analysis.predictions import FormEvaluation, PredictedRun, best_forms
from simlib.fit.fittedlaw import Range
from simlib.laws.law import Array
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.runs.cells import SAME_SIZE, Indices, combined_index, size_index

PANELS = 3  # of a chart, side by side


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


def places(runs: Sequence[PredictedRun]) -> dict[str, Indices]:
    """The runs of each size and amount of data, in order of both: indices by a name in words."""
    size, data = (
        np.array([getattr(run, name) for run in runs]) for name in ("nonzero_params", "data_seen")
    )
    place, found = combined_index(size_index(size), size_index(data)), {}
    for index in range(place.max() + 1):
        mine = np.flatnonzero(place == index)
        name = f"{size[mine].mean():,.0f} non-zero, {data[mine].mean():,.0f} of data"
        found[name] = mine
    return found


def beyond(runs: Sequence[PredictedRun], fitted: Range) -> list[str]:
    """How far each place lies beyond the fitted runs: `4.0 times the largest size`."""
    ends = {
        "the largest size": ("nonzero_params", fitted.nonzero_params[1]),
        "the most data": ("data_seen", fitted.data_seen[1]),
    }
    said = []
    for mine in places(runs).values():
        far = {
            words: float(np.mean([getattr(runs[i], name) for i in mine]) / most)
            for words, (name, most) in ends.items()
        }
        parts = [f"{number(v, 2)} times {words}" for words, v in far.items() if v > 1 + SAME_SIZE]
        said.append(" and ".join(parts) or "within the fitted range")
    return said


def predicted_losses(found: FormEvaluation) -> alt.FacetChart:
    """One form's predictions with their intervals and the measured losses, against sparsity.

    A panel for each size and amount of data.
    """
    values = [
        {
            "place": name,
            "sparsity": sparsity_text(found.runs[i].sparsity),
            "loss": float(found.loss[i]),
            "low": float(found.low[i]),
            "high": float(found.high[i]),
            "measured": float(found.measured[i]),
        }
        for name, mine in places(found.runs).items()
        for i in mine
    ]
    base = alt.Chart().encode(
        x=alt.X("sparsity:N", title="Sparsity", sort=None, axis=alt.Axis(labelAngle=0))
    )
    near = alt.Scale(zero=False)
    title = "Loss (nats)"
    layers = (
        base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(
            y=alt.Y("low:Q", title=title, scale=near), y2="high:Q"
        ),
        base.mark_point(filled=True, size=90, color=charts.FITTED).encode(
            y=alt.Y("loss:Q", title=title, scale=near)
        ),
        base.mark_point(shape="diamond", filled=True, size=110, color=charts.ORANGE[0]).encode(
            y=alt.Y("measured:Q", title=title, scale=near)
        ),
    )
    names = list(places(found.runs))
    panels = alt.layer(*layers).properties(width=560 // min(len(names), PANELS) - 40, height=220)
    facet = alt.Facet("place:N", title=None, sort=names)
    chart = panels.facet(facet, columns=PANELS, data=alt.Data(values=values))
    said = "; ".join(
        f"{name}, {sparsity_text(found.runs[i].sparsity)}: predicted "
        f"{number(float(found.loss[i]), 4)}, measured {number(float(found.measured[i]), 4)}"
        for name, mine in places(found.runs).items()
        for i in mine
    )
    text = f"""Loss against sparsity, a panel for each size and amount of data: circles with
        intervals are predictions of the {found.form} form, diamonds are measured. {said}."""
    faceted: alt.FacetChart = charts.describe(chart.resolve_scale(y="independent"), text)
    return faceted


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


def steps(found: FormEvaluation) -> tuple[Array, Array]:
    """Steps from one sparsity to the next at equal size and data, as changes of log loss, (steps,).

    First as predicted, then as measured.
    """
    said, measured = [], []
    for mine in places(found.runs).values():
        order = mine[np.argsort([found.runs[i].sparsity for i in mine], kind="stable")]
        said += np.diff(np.log(found.loss[order])).tolist()
        measured += np.diff(np.log(found.measured[order])).tolist()
    return np.array(said), np.array(measured)
