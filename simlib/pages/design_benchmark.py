"""Charts, tables and sentences of the page that holds designs against a benchmark."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import numpy as np

from simlib.analysis.numbers import number, percent
from simlib.analysis.regret import (
    CHEAPEST,
    D_OPTIMAL,
    DEAREST,
    PRINTED,
    RANDOM,
    V_OPTIMAL,
    AtBudget,
    Regret,
)
from simlib.pages import charts
from simlib.pages.tables import Table

CHOSEN = (V_OPTIMAL, D_OPTIMAL, CHEAPEST)  # as the rule has them, in the order of tables
SHOWN = (*CHOSEN, DEAREST)  # and what was added after the results were seen
COMPARED = (RANDOM, CHEAPEST, D_OPTIMAL, V_OPTIMAL, "theirs")
BAND = (0.05, 0.95)  # quantiles of random draws
KINDS = {
    "scalebench-sparsity": "upcycled mixtures",
    "scalebench-moe": "routed models",
    "farseer": "dense models",
}


def kind(found: Regret) -> str:
    """What a table's models are, in words."""
    return KINDS.get(found.name, found.name)


def against_chance(at: AtBudget, design: str) -> float:
    """Error of a design over that of a typical random choice of the same cost."""
    error = at.of(design).error
    return math.inf if error is None else error / at.quantile(0.5)


def answer(found: Sequence[Regret], design: str = V_OPTIMAL) -> str:
    """Error of a design in errors of a typical random choice, by table, over its budgets."""
    parts = []
    for each in found:
        ratios = [against_chance(at, design) for at in each.budgets]
        span = dict.fromkeys(number(r, 2) for r in (min(ratios), max(ratios)))
        parts.append(f"{' to '.join(span)} times on {kind(each)}")
    return ", ".join(parts)


def wins(found: Sequence[Regret], design: str) -> int:
    """At how many budgets of all tables a design beats chance."""
    return sum(at.beats_chance(design) for each in found for at in each.budgets)


def best_of(found: Sequence[Regret]) -> str:
    """The design that beats chance most often; several where they tie, none where none does."""
    count = {design: wins(found, design) for design in CHOSEN}
    most = max(count.values())
    if most == 0:
        return "no design beats chance anywhere"
    named = " and ".join(design for design in CHOSEN if count[design] == most)
    return f"{named} beat{'s' * (' and ' not in named)} chance most often, at {most}"


def trust(found: Regret) -> str:
    """What the least budget of a table says of trusting the law's form, in a few sentences."""
    at, share = found.budgets[0], whole_beaten(found)
    chosen = at.of(V_OPTIMAL)
    said = (
        f"On {kind(found)}, at {percent(at.share)} of the cost, the V-optimal design buys "
        f"{chosen.runs} runs and errs {_error(chosen.error)}; a typical random choice buys "
        f"{number(at.random_runs, 2)} and errs {_error(at.quantile(0.5))}. All candidates together "
        f"err {_error(found.whole.error)}, and {percent(share)} of the random choices at "
        f"{percent(found.budgets[-1].share)} of the cost err less"
    )
    if share < 0.5 and against_chance(at, V_OPTIMAL) < 1:
        return f"{said}: the form holds well enough there to be trusted."
    if against_chance(at, V_OPTIMAL) < 1:
        return f"{said}, so that more runs are no remedy."
    return (
        f"{said}: the {found.case.form} form bends on that table, and small runs pull it to them."
    )


def whole_beaten(found: Regret) -> float:
    """Share of random draws of the largest budget that err less than the fit to all candidates."""
    error, last = found.whole.error, found.budgets[-1]
    if error is None:
        return 1.0
    return float(np.mean([e is not None and e < error for e in last.random_errors]))


def _error(error: float | None) -> str:
    return "none" if error is None or math.isinf(error) else percent(error, 1)


def error_table(found: Sequence[Regret]) -> Table:
    """By table and budget: error, regret and share of random choices beaten of each design."""
    rows = []
    for each in found:
        for at in each.budgets:
            low, high = (_error(at.quantile(q)) for q in BAND)
            chance = f"{_error(at.quantile(0.5))} ({low} to {high})"
            cells = (_cell(each, at, design) for design in SHOWN)
            rows.append((kind(each), percent(at.share), chance, *cells, _error(each.whole.error)))
    return Table(("held out", "of the cost", RANDOM, *SHOWN, "all candidates"), rows)


def _cell(found: Regret, at: AtBudget, design: str) -> str:
    own, whole = at.of(design).error, found.whole.error
    if own is None or whole is None:
        return "no law"
    beaten = percent(at.beaten(design)) + " *" * at.beats_chance(design)
    return f"{_error(own)} ({own - whole:+.1%}), {beaten}"


def errors(found: Sequence[Regret]) -> alt.HConcatChart:
    """Error on held-out runs against the budget, a panel a table: designs over the random band."""
    panels = [_panel(each, first=not place) for place, each in enumerate(found)]
    said = "; ".join(
        f"{kind(e)} at {percent(e.budgets[0].share)}: {V_OPTIMAL} "
        f"{_error(e.budgets[0].of(V_OPTIMAL).error)}, random {_error(e.budgets[0].quantile(0.5))}"
        for e in found
    )
    text = f"""Error on held-out, larger models against the budget, as a share of what all
        candidates cost, a panel a table. The band holds {percent(BAND[1] - BAND[0])} of random
        choices of equal cost, the grey line is their median, the dashed one the fit to all
        candidates. {said}."""
    chart = alt.hconcat(*panels).resolve_scale(color="shared", y="independent")
    described: alt.HConcatChart = charts.describe(chart, text)
    return described


def _panel(found: Regret, first: bool) -> alt.LayerChart:
    at_each = found.budgets
    band = [
        {
            "share": at.share,
            "low": _drawn(at.quantile(BAND[0])),
            "high": _drawn(at.quantile(BAND[1])),
        }
        for at in at_each
    ]
    lines = [
        {"share": at.share, "design": design, "error": _drawn(at.of(design).error)}
        for at in at_each
        for design in SHOWN
    ]
    lines += [
        {"share": at.share, "design": RANDOM, "error": _drawn(at.quantile(0.5))} for at in at_each
    ]
    shares = [at.share for at in at_each]
    x = alt.X(
        "share:Q",
        title="Budget",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(format=".0%", values=shares),
    )
    title = "Error on held-out runs" if first else None
    y = alt.Y("error:Q", title=title, axis=alt.Axis(format=".0%", tickCount=5))
    series = (charts.BLUE, charts.ORANGE, charts.GREEN, charts.PURPLE, charts.GREY)
    colours = [light for light, _ in series]
    colour = alt.Color(
        "design:N", title=None, scale=alt.Scale(domain=[*SHOWN, RANDOM], range=colours)
    )
    spread = charts.band(alt.Data(values=band), x, "low", "high", charts.GREY[0])
    base = alt.Chart(alt.Data(values=lines)).encode(x=x, y=y, color=colour)
    tooltip = [
        "design:N",
        alt.Tooltip("share:Q", format=".0%"),
        alt.Tooltip("error:Q", format=".2%"),
    ]
    drawn = base.mark_line(strokeWidth=2.5) + base.mark_point(filled=True, size=60).encode(
        tooltip=tooltip
    )
    whole = alt.Chart(alt.Data(values=[{"error": _drawn(found.whole.error)}]))
    rule = whole.mark_rule(strokeDash=[5, 3], color=charts.GREY[0]).encode(y=y)
    return alt.layer(spread, drawn, rule).properties(width=145, height=230, title=kind(found))


def _drawn(error: float | None) -> float | None:
    return None if error is None or math.isinf(error) else error


def printed_table(found: Sequence[Regret]) -> Table:
    """Our coefficients of determination beside those that the authors of ScaleBench print."""
    rows = []
    for each in found:
        theirs = PRINTED.get(each.name)
        if theirs is None:
            continue
        for place, at in enumerate(each.budgets):
            drawn = np.array(at.random_r2)
            ours = {d: number(at.of(d).r2, 2) for d in CHOSEN}
            ours[RANDOM] = _spread(float(drawn.mean()), float(drawn.std()))
            cells = [
                f"{ours.get(design, '–')} | {_spread(*theirs.rows[design][place])}"
                for design in COMPARED
            ]
            whole = f"{number(each.whole.r2, 2)} | {_spread(*theirs.all_data)}"
            rows.append((kind(each), percent(at.share), *cells, whole))
    return Table(("R², ours | printed", "of the cost", *COMPARED, "all candidates"), rows)


def _spread(mean: float, deviation: float) -> str:
    return f"{mean:.2f} ± {deviation:.2f}"
