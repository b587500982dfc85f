"""Charts, tables and sentences of the page that holds the laws of three families side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import altair as alt

from simlib.analysis.agreement import ALIKE, DETECTED, Answer, PairRatio, Verdict
from simlib.analysis.numbers import number, percent, with_interval
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.pages.words import sentence

USED, UNUSED = "may be used", "must not be used"
MARKS = {True: USED, False: UNUSED}
PANELS = 2
ROOM = 1.5  # factor by which a panel reaches beyond what may be used
FAR = 10.0  # the same, from the middle of all values, where nothing may
SAID: dict[Verdict, str] = {"differ": "differ", "alike": "are alike", "open": "not told apart"}


def intervals(found: Sequence[Answer], level: float) -> alt.FacetChart:
    """Every number of every law with its intervals: a panel a quantity, a row a law."""
    windows = {q: _window([a for a in found if a.quantity == q]) for q in _quantities(found)}
    values = [_row(a, windows[a.quantity]) for a in found]
    laws = [_name(a) for a in found if a.quantity == found[0].quantity]
    axis = alt.Axis(labelLimit=170, labelFontSize=11)
    colour = alt.Color(
        "use:N",
        title=None,
        scale=alt.Scale(domain=[USED, UNUSED], range=[charts.FITTED, charts.GREY[0]]),
    )
    base = alt.Chart().encode(y=alt.Y("law:N", title=None, sort=laws, axis=axis), color=colour)

    def x(field: str) -> alt.X:
        return charts.log_x(field, "", nice=False, padding=8)

    tooltip = ["law:N", "quantity:N", alt.Tooltip("value:Q", format=".3g"), "use:N", "why:N"]
    point = base.encode(x=x("value"), tooltip=tooltip)
    layers = [
        base.mark_rule(strokeWidth=6, opacity=0.3).encode(x=x("low"), x2="high:Q"),
        base.mark_rule(strokeWidth=1.5).encode(x=x("profile_low"), x2="profile_high:Q"),
        point.transform_filter(f"datum.use == '{USED}'").mark_point(filled=True, size=70),
        point.transform_filter(f"datum.use == '{UNUSED}'").mark_point(
            filled=False, size=70, strokeWidth=1.5
        ),
    ]
    facet = alt.Facet("quantity:N", title=None, sort=list(windows))
    panels = alt.layer(*layers).properties(width=190, height=26 * len(laws))
    chart = panels.facet(facet, columns=PANELS, data=alt.Data(values=values)).resolve_scale(
        x="independent"
    )
    beyond = [f"{row['law']} ({row['quantity']})" for row in values if row["place"] == "beyond"]
    off = f"Beyond the panels lie {'; '.join(beyond)}." if beyond else ""
    used = sum(a.usable for a in found)
    text = f"""{len(windows)} numbers without a unit, one a panel on a logarithmic axis, of
        {len(laws)} laws, one a row: bootstrap intervals of {percent(level)} as broad bars,
        profile intervals as thin lines, cut off where a panel ends. Look for bars that overlap from
        row to row. Filled marks, {used} of {len(found)}, may be used; open ones must not be and
        decide nothing.
        {off}"""
    faceted: alt.FacetChart = charts.describe(chart, text)
    return faceted


def _quantities(found: Iterable[Answer]) -> list[str]:
    return list(dict.fromkeys(a.quantity for a in found))


def _name(answer: Answer) -> str:
    return spoken(answer.law_file.name)


def _window(found: Sequence[Answer]) -> tuple[float, float]:
    """What a panel shows: all that may be used, with room; or else about the middle value."""
    ends = [
        end
        for a in found
        if a.usable
        for end in (a.value, *(a.bootstrap or ()), *(a.profile or ()))
        if end
    ]
    if ends:
        return min(ends) / ROOM, max(ends) * ROOM
    values = sorted(a.value for a in found if 0 < a.value < float("inf")) or [1.0]
    middle = values[len(values) // 2]
    return middle / FAR, middle * FAR


def _row(answer: Answer, window: tuple[float, float]) -> dict[str, object]:
    inside = window[0] <= answer.value <= window[1]
    low, high = _cut(answer.bootstrap, window)
    profile_low, profile_high = _cut(answer.profile, window)
    return {
        "law": _name(answer),
        "quantity": answer.quantity,
        "value": answer.value if inside else None,
        "place": "inside" if inside else "beyond",
        "low": low,
        "high": high,
        "profile_low": profile_low,
        "profile_high": profile_high,
        "use": MARKS[answer.usable],
        "why": spoken(answer.why_not),
    }


def _cut(
    interval: tuple[float | None, float | None] | None, window: tuple[float, float]
) -> tuple[float | None, float | None]:
    """The part of an interval that a panel shows, an open end at the panel's; none without one."""
    if interval is None:
        return None, None
    low = window[0] if interval[0] is None else max(interval[0], window[0])
    high = window[1] if interval[1] is None else min(interval[1], window[1])
    return (low, high) if low <= high else (None, None)


def number_table(found: Sequence[Answer], level: float) -> Table:
    """A row a quantity, a column a law: bootstrap intervals; in brackets what must not be used."""
    laws = list(dict.fromkeys(_name(a) for a in found))
    cells = {(a.quantity, _name(a)): _cell(a) for a in found}
    header = (f"bootstrap intervals of {percent(level)}", *laws)
    return Table(header, [(q, *(cells[q, law] for law in laws)) for q in _quantities(found)])


def _cell(answer: Answer) -> str:
    text = with_interval(answer.value, answer.bootstrap)
    return text if answer.usable else f"[{text}]"


def reason_table(found: Sequence[Answer]) -> Table:
    """What must not be used, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for a in found:
        if not a.usable:
            reasons.setdefault((_name(a), a.why_not), []).append(a.quantity)
    every = len(_quantities(found))
    return Table(
        ("law", "must not be used", "why"),
        [
            (law, "anything" if len(what) == every else ", ".join(what), sentence(spoken(why)))
            for (law, why), what in reasons.items()
        ],
    )


def ratio_table(compared: Sequence[PairRatio], level: float) -> Table:
    """Every pair of laws that may both decide: their ratio, the verdict, and what would be seen."""
    rows = [
        (
            r.quantity,
            f"{_name(r.first)} over {_name(r.second)}",
            with_interval(r.value, r.interval),
            SAID[r.verdict],
            f"{number(r.detectable)} ×",
        )
        for r in compared
    ]
    header = ("number", "laws", f"ratio ({percent(level)})", "they", "told from 1 if beyond")
    return Table(header, rows)


def by_verdict(compared: Iterable[PairRatio]) -> dict[Verdict, list[str]]:
    """Quantities by what all pairs together say: they differ where any pair does."""
    groups: dict[Verdict, list[str]] = {"differ": [], "alike": [], "open": []}
    pairs: dict[str, set[Verdict]] = {}
    for r in compared:
        pairs.setdefault(r.quantity, set()).add(r.verdict)
    for quantity, said in pairs.items():
        verdict: Verdict = "differ" if "differ" in said else "open" if "open" in said else "alike"
        groups[verdict].append(quantity)
    return groups


def headline(found: Sequence[Answer], compared: Sequence[PairRatio]) -> str:
    """Whether one law describes the families, in sentences: its numbers, as far as identified."""
    across = [r for r in compared if r.across]
    if not across:
        return (
            "Not known yet: no number is identified by laws of two families, so none can be "
            "compared"
        )
    groups = by_verdict(across)
    parts = []
    if groups["differ"]:
        parts.append(
            f"One form, not one set of numbers: families differ in {_list(groups['differ'])}"
        )
    elif groups["open"]:
        parts.append(
            "No difference between families is seen, which is not to say that there is none"
        )
    else:
        parts.append("One law, its numbers included, as far as they can be compared")
    if groups["alike"]:
        parts.append(f"within a factor of {ALIKE:g} alike: {_list(groups['alike'])}")
    if groups["open"]:
        parts.append(f"not told apart: {_open(groups['open'], across)}")
    alone = [q for q in _quantities(found) if q not in {r.quantity for r in across}]
    if alone:
        parts.append(f"not identified by laws of two families: {_list(alone)}")
    return "; ".join(parts)


def _open(quantities: Sequence[str], compared: Sequence[PairRatio]) -> str:
    """Quantities that are not told apart, with how many of their pairs are alike, if any is."""
    groups: dict[str, list[str]] = {}
    for quantity in quantities:
        said = [r.verdict for r in compared if r.quantity == quantity]
        alike = said.count("alike")
        note = f" (alike in {alike} of {len(said)} pairs)" if alike else ""
        groups.setdefault(note, []).append(quantity)
    return "; ".join(f"{_list(names)}{note}" for note, names in groups.items())


def meaning(compared: Sequence[PairRatio]) -> str:
    """What that says about the claim that one law describes vision and language."""
    groups = by_verdict(r for r in compared if r.across)
    parts = []
    if groups["differ"]:
        parts.append(
            f"What one family shows of {_list(groups['differ'])} does not hold for another: a plan "
            "needs a law of its own kind of model"
        )
    if groups["alike"]:
        parts.append(
            f"What one family shows of {_list(groups['alike'])} is a fair guess for another"
        )
    if groups["open"]:
        parts.append(
            f"Of {_list(groups['open'])} these runs could have missed a ratio of up to "
            f"{number(max(r.detectable for r in compared if r.across and r.verdict == 'open'))} "
            f"in more than {percent(1 - DETECTED)} of tables like them"
        )
    if not parts:
        parts.append("That one law describes vision and language stays a statement about its form")
    return ". ".join(parts)


def within(compared: Sequence[PairRatio]) -> str:
    """What laws of one family say of each other: whether it is the family that makes a number."""
    inside = [r for r in compared if not r.across]
    if not inside:
        return (
            "No family has two laws that may be held against each other, so whether the family "
            "makes these numbers, or the data, the scale and the recipe, is not known"
        )
    groups = by_verdict(inside)
    words: dict[Verdict, str] = {
        "differ": "laws of one family differ in",
        "alike": f"they are alike within a factor of {ALIKE:g} in",
        "open": "they are not told apart in",
    }
    parts = [f"{text} {_list(groups[said])}" for said, text in words.items() if groups[said]]
    families = _list(list(dict.fromkeys(r.first.family for r in inside)))
    end = (
        ": data, scale and recipe move them, too, not the family alone" if groups["differ"] else ""
    )
    return f"Compared within {families}, {'; '.join(parts)}{end}"


def unused(found: Sequence[Answer]) -> str:
    """The laws of which nothing may be used, each with its reason, in a sentence."""
    laws = {_name(a): a.why_not for a in found}
    whole = [law for law in laws if not any(a.usable for a in found if _name(a) == law)]
    if not whole:
        return "Of every law something may be used"
    return "Nothing may be used of the law of " + "; nor of that of ".join(
        f"{law}: {spoken(laws[law])}" for law in whole
    )


def _list(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "none"
