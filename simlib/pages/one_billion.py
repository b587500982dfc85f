"""Charts, tables and sentences of the page that tests laws on eight models at 1B."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from simlib.analysis.numbers import count, number, percent
from simlib.analysis.twins import Difference, Judgement, MeasuredDifference, Pair
from simlib.pages import charts
from simlib.pages.tables import Table

DECIDING_POWER = 0.8  # chance to find a wrong route wrong, below which to find none says little
FORMS = {
    "t5-c4-refit": "joint",
    "t5-c4-density-power": "density power",
    "t5-c4-average-params": "average parameters",
}


def route_name(law: str, size_term: str) -> str:
    """A route in words: the form, and whose size term turns sizes into losses."""
    own = "its own" if law == size_term else "that of Clark's models"
    return f"{FORMS[law]}, size term {own}"


def pair_table(pairs: Sequence[Pair], measured: Sequence[MeasuredDifference]) -> Table:
    """The pairs, with what was measured."""
    header = ("sparse model", "zeros at the end", "non-zero", "average", "dense twin", "tokens")
    return Table(
        (*header, "measured difference"),
        [
            (
                p.name,
                percent(p.sparsity),
                *(count(n) for n in (p.nonzero, p.average, p.twin)),
                count(p.tokens),
                f"{m.difference:+.4f} ± {m.stderr:.4f}",
            )
            for p, m in zip(pairs, measured, strict=True)
        ],
    )


def differences(
    forecasts: Sequence[Difference], measured: Sequence[MeasuredDifference], size_term: str
) -> alt.LayerChart:
    """Forecast and measured differences by pair; joint and density power by one size term."""
    shown = [
        d
        for d in forecasts
        if d.size_term == size_term or (size_term == "own" and d.law == d.size_term)
    ]
    values = [
        {"pair": d.pair, "what": FORMS[d.law], "value": d.difference, "low": d.low, "high": d.high}
        for d in shown
    ] + [
        {
            "pair": m.pair,
            "what": "measured",
            "value": m.difference,
            "low": m.difference - m.stderr,
            "high": m.difference + m.stderr,
        }
        for m in measured
    ]
    kinds = [*FORMS.values(), "measured"]
    colours = [charts.BLUE[0], charts.GREEN[0], charts.PURPLE[0], charts.ORANGE[0]]
    colour = alt.Color(
        "what:N",
        title=None,
        scale=alt.Scale(domain=kinds, range=colours),
        legend=alt.Legend(columns=2),
    )
    title = "Loss of the sparse model less that of its twin (nats per token)"
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("pair:N", title=None, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("what:N", sort=kinds),
        color=colour,
    )
    rule = base.mark_rule(strokeWidth=3).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    point = base.mark_point(filled=True, size=80).encode(
        y=alt.Y("value:Q", title=title),
        tooltip=["pair:N", "what:N", alt.Tooltip("value:Q", format="+.4f")],
    )
    zero = alt.Chart(alt.Data(values=[{"y": 0}])).mark_rule(color=charts.GREY[0]).encode(y="y:Q")
    widest = max(m.stderr for m in measured)
    largest = max(abs(d.difference) for d in shown)
    text = f"""Forecast differences of each pair with their intervals, and the measured with the
        standard error that their losses state, up to {number(widest, 2)}. The largest forecast is
        {number(largest, 2)}. Below zero the sparse model is the better one."""
    layered: alt.LayerChart = charts.describe(alt.layer(zero, rule, point), text)
    return layered


def judgement_table(found: Sequence[Judgement]) -> Table:
    """Each route against all pairs together."""
    return Table(
        ("route", "measured less forecast", "interval", "pairs inside", "verdict"),
        [
            (
                route_name(*j.route),
                f"{j.error:+.4f}",
                f"{j.low:+.4f} to {j.high:+.4f}",
                f"{j.inside} of {j.pairs}",
                verdict(j),
            )
            for j in found
        ],
    )


def verdict(judgement: Judgement) -> str:
    """Contradicted, or undecided where a wrong route would often have passed, or holds."""
    if judgement.contradicted:
        return "contradicted"
    least = min(judgement.power.values())
    return "holds" if least >= DECIDING_POWER else "undecided"


def power_table(found: Sequence[Judgement]) -> Table:
    """How often the rule would contradict a route (row) if another (column) were true."""
    names = [route_name(*j.route) for j in found]
    return Table(
        ("would be contradicted, if true were", *names),
        [
            (
                route_name(*j.route),
                *(percent(j.power[o.route]) if o is not j else "–" for o in found),
            )
            for j in found
        ],
    )


def answer(found: Sequence[Judgement]) -> str:
    """What the eight models say of all routes, in a sentence."""
    wrong = [route_name(*j.route) for j in found if j.contradicted]
    held = [route_name(*j.route) for j in found if verdict(j) == "holds"]
    if wrong:
        return f"The measured differences contradict these forecasts: {'; '.join(wrong)}"
    if held:
        return (
            "The measured differences contradict no forecast, and would have where one is wrong; "
            f"these hold: {'; '.join(held)}"
        )
    strongest = max(max(j.power.values()) for j in found)
    return (
        "The measured differences contradict none of the forecasts and confirm none: were one "
        f"true, the rule would find another wrong in at most {percent(strongest)} of cases"
    )


def errors_needed(found: Sequence[Judgement], measured: Sequence[MeasuredDifference]) -> float:
    """Standard error of one loss in nats at which the first route and the last would come apart.

    Their mean forecasts then lie as far from each other as a rule of this level, with
    `DECIDING_POWER`, needs; twins have errors of equal size, each independent.
    """
    first, last = found[0], found[-1]
    gap = abs(first.error - last.error)
    normal = 1.6449 + 0.8416  # of a 90% interval, and of a power of 80%
    return float(gap / normal * (len(measured) / 2) ** 0.5)
