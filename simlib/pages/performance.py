"""Tables of the benchmark suite: ours and the other's, each target and whether it is reached."""

from __future__ import annotations

import altair as alt

from simlib.analysis.numbers import number
from simlib.pages import charts
from simlib.pages.benchfile import TITLES, BenchFile, Case, Goal, Row
from simlib.pages.tables import Table
from simlib.pages.words import out_of, sentence


def overview(measured: BenchFile) -> Table:
    """One line a row of the suite: targets reached, or why there is nothing to say."""
    known = {row.name: row for row in measured.rows}
    rows = [(TITLES[name], *_standing(known.get(name))) for name in TITLES]
    return Table(("row", "targets reached", "missed"), rows)


def _standing(row: Row | None) -> tuple[str, str]:
    if row is None:
        return "not measured", ""
    aimed = [case for case in row.cases if case.goal]
    missed = "; ".join(_versus(case) for case in aimed if not case.reached)
    counted = (
        f"{sum(bool(case.reached) for case in aimed)} of {len(aimed)}" if aimed else "none set"
    )
    if row.failed:
        return f"failed after {counted}", row.failed
    return counted, missed


def _versus(case: Case) -> str:
    return f"{case.name}, against {case.against}" if case.against else case.name


def ratios(measured: BenchFile) -> alt.LayerChart:
    """How many times better than its rival each case is, with quartiles, a row of dots a row."""
    values = [
        {
            "row": TITLES[row.name],
            "case": f"{case.name}, against {case.against}",
            "ratio": case.ratio,
            "low": case.low or case.ratio,
            "high": case.high or case.ratio,
        }
        for row in measured.rows
        for case in row.cases
        if case.ratio is not None and case.against
    ]
    y = alt.Y("row:N", title=None, sort=list(TITLES.values()), axis=alt.Axis(labelLimit=260))
    base = alt.Chart(alt.Data(values=values)).encode(y=y)
    title = "Times better than the rival"
    dots = base.mark_point(filled=True, size=60, opacity=0.8, color=charts.FITTED).encode(
        x=charts.log_x("ratio", title), tooltip=["case:N", alt.Tooltip("ratio:Q", format=".3")]
    )
    bars = base.mark_rule(color=charts.FITTED).encode(x=charts.log_x("low", title), x2="high:Q")
    even = alt.Chart(alt.Data(values=[{"even": 1}])).mark_rule(strokeDash=[5, 3]).encode(x="even:Q")
    ahead = sum(float(str(v["ratio"])) > 1 for v in values)
    text = f"""How many times better than its rival this library is, in time or in memory, a dot a
        case with its quartiles, a row for each row of the suite, logarithmic. Right of the dashed
        line ours is better: in {ahead} of {len(values)} cases."""
    layered: alt.LayerChart = charts.describe(alt.layer(even, bars, dots), text)
    return layered


def row_table(row: Row) -> Table:
    """Every case of a row: ours, the other's, the ratio with its quartiles, the target."""
    cells = [
        (
            case.name,
            _amount(number(case.ours), case.unit),
            case.against,
            _other(case),
            _ratio(case),
            _goal(case.goal, case.unit),
            _verdict(case),
            case.note,
        )
        for case in row.cases
    ]
    if row.failed:
        cells.append(("failed", "", "", "", "", "", "failed", row.failed))
    header = ("case", "ours", "against", "theirs", "ratio", "target", "reached", "note")
    kept = [i for i in range(len(header)) if i in (0, 1) or any(line[i] for line in cells)]
    return Table(tuple(header[i] for i in kept), [tuple(line[i] for i in kept) for line in cells])


def _other(case: Case) -> str:
    return "" if case.other is None else _amount(number(case.other), case.unit)


def _amount(value: str, unit: str) -> str:
    return f"{value}{unit}" if unit == "%" else f"{value} {unit}".strip()


def _ratio(case: Case) -> str:
    if case.ratio is None:
        return ""
    if case.low is None or case.high is None or case.rounds == 1:
        return f"{number(case.ratio)} ×"
    return f"{number(case.ratio)} × ({number(case.low)} to {number(case.high)})"


def _goal(goal: Goal | None, unit: str) -> str:
    if goal is None:
        return ""
    unit = "×" if goal.of == "ratio" else unit
    bounds = (("at least", goal.least), ("at most", goal.most))
    said = [f"{word} {_amount(_bound(bound), unit)}" for word, bound in bounds if bound is not None]
    return " and ".join(said)


def _bound(value: float) -> str:
    return number(value, 7).rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"


def _verdict(case: Case) -> str:
    return {True: "yes", False: "no", None: ""}[case.reached]


def reasons_table(measured: BenchFile) -> Table:
    """What a profile says of the rows that miss a target, and what would reach it."""
    said = [(TITLES[row.name], row.why, row.needed) for row in measured.rows if row.why]
    return Table(
        ("row", "what the time goes to", "what would be needed"),
        said or [("every target measured is reached", "", "")],
    )


def standing(measured: BenchFile) -> str:
    """One sentence: how many targets are set, reached, missed and not measured."""
    cases = [case for row in measured.rows for case in row.cases if case.goal]
    reached = sum(bool(case.reached) for case in cases)
    reaching = sentence(out_of(reached, len(cases), "target"))
    said = f"{reaching} {'is' if 1 in (reached, len(cases)) else 'are'} reached"
    rest = [TITLES[name] for name in TITLES if name not in {row.name for row in measured.rows}]
    failed = [TITLES[row.name] for row in measured.rows if row.failed]
    said += f"; not measured: {', '.join(rest)}" if rest else ""
    return said + (f"; failed: {', '.join(failed)}" if failed else "") + "."
