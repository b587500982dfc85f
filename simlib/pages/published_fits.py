"""Charts, tables and sentences of the page that holds published fits to their own objective."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from simlib.analysis.numbers import number, percent
from simlib.analysis.publishedfits import Audit, Conclusion
from simlib.pages import charts
from simlib.pages.tables import Table
from simlib.pages.words import out_of

REPRODUCED = 0.005  # objectives that are printed with few digits agree to this share
BEYOND = 1e6  # a number of passes, or anything else, past which no run can tell it from infinity


def objective_table(audits: Sequence[Audit]) -> Table:
    """Objective at the published coefficients and at its minimum, and what the authors report."""
    header = ("fit", "runs", "they report", "at their coefficients", "minimum", "lower by")
    return Table(
        (*header, "starts that agree"),
        [
            (
                a.name,
                str(a.runs),
                "–" if a.reported is None else number(a.reported, 6),
                number(a.published, 6),
                number(a.least, 6),
                percent(a.gap, 2),
                percent(a.agreeing),
            )
            for a in audits
        ],
    )


def stated_table(audits: Sequence[Audit]) -> Table:
    """The objective and the search that the authors state."""
    return Table(("fit", "objective and search"), [(a.name, a.stated) for a in audits])


def bounded(value: float) -> str:
    """A number, unless the runs cannot tell it from infinity or from zero."""
    if value > BEYOND:
        return "no limit"
    return "0" if abs(value) < 1 / BEYOND else number(value)


def conclusion_table(audits: Sequence[Audit]) -> Table:
    """What follows from the coefficients: as published, at the minimum, and its interval."""
    return Table(
        (
            "fit",
            "what follows",
            "as published",
            "at the minimum",
            "90% of refits",
            "published lies",
        ),
        [
            (
                a.name,
                c.what,
                bounded(c.published),
                bounded(c.least),
                f"{bounded(c.low)} to {bounded(c.high)}",
                "inside" if c.inside else "outside",
            )
            for a in audits
            for c in a.conclusions
        ],
    )


def gaps(audits: Sequence[Audit]) -> alt.Chart:
    """By how much each published objective lies above the minimum."""
    values = [{"fit": a.name, "gap": a.published / a.least - 1} for a in audits]
    order = [a.name for a in audits]
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_bar(color=charts.FITTED)
        .encode(
            x=alt.X(
                "gap:Q",
                title="Objective at the published coefficients, above its minimum",
                axis=alt.Axis(format=".0%"),
            ),
            y=alt.Y("fit:N", title=None, sort=order, axis=alt.Axis(labelLimit=240)),
            tooltip=["fit:N", alt.Tooltip("gap:Q", format=".3%")],
        )
    )
    worst = max(audits, key=lambda a: a.gap)
    text = f"""By what share the objective at the published coefficients lies above its minimum. The
        largest is that of {worst.name}, {percent(worst.published / worst.least - 1, 1)}."""
    described: alt.Chart = charts.describe(chart.properties(height=220), text)
    return described


def changes(conclusion: Conclusion) -> bool:
    """Whether the number moves by more than a tenth between the published fit and the minimum."""
    larger, smaller = (
        max(conclusion.published, conclusion.least),
        min(conclusion.published, conclusion.least),
    )
    return larger > 1.1 * max(smaller, 1 / BEYOND) and larger > 1 / BEYOND


def moved(audits: Sequence[Audit]) -> str:
    """The fits of which a number moves by more than a tenth, in a sentence."""
    names = [a.name for a in audits if any(changes(c) for c in a.conclusions)]
    return "; ".join(names) or "none of them"


def at_minimum(audits: Sequence[Audit]) -> str:
    """`1 of 6 fits`: how many are at the minimum of their objective."""
    return out_of(sum(a.at_minimum for a in audits), len(audits), "fit")


def reproduced(audits: Sequence[Audit]) -> str:
    """How many of the objectives that authors report come out again at their coefficients."""
    asked = [a for a in audits if a.reported is not None]
    good = [a for a in asked if a.reported and abs(a.published / a.reported - 1) <= REPRODUCED]
    return out_of(len(good), len(asked), "case")


def loose(audits: Sequence[Audit]) -> str:
    """Numbers that the runs do not fix, beyond a factor of ten between the ends of an interval."""
    found = [
        f"{c.what} ({a.name})"
        for a in audits
        for c in a.conclusions
        if c.high > 10 * max(c.low, 1 / BEYOND) and c.high > 1 / BEYOND
    ]
    return "; ".join(found) or "none"
