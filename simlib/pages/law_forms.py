"""A comparison of forms of law: errors, tests, forecasts, which form for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from simlib.analysis.numbers import number, percent, with_interval
from simlib.fit.compare import Assessment, TargetForecast
from simlib.fit.comparefile import ComparisonFile
from simlib.fit.nested import NestedTest
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.pages.words import listed

HELD_OUT = ("one size", "one sparsity", "largest size", "longest training")
PURPOSES = {
    "a size between those measured": "one size",
    "a sparsity between those measured": "one sparsity",
    "a larger model": "largest size",
    "longer training": "longest training",
}
GRANTED = {
    "saturation": "the worth of sparsity does not saturate",
    "power of density": "the multiplier is a saturating power of the density and nothing else",
    "exponent of size": "sparsity multiplies the size term by one constant at every size",
    "amount of data": "sparsity does not change how much data is worth",
    "exponent of data": "sparsity changes neither amount nor exponent of the data term",
}
ABOUT = 0.05  # relative difference of two errors that is called none
MOST_SHOWN = 3.0  # times the least error, beyond which a cell of the map grows no darker
NO_DIFFERENCE = 2.0  # of BIC: less than this hardly tells two forms apart


def error_table(file: ComparisonFile) -> Table:
    """log-RMSE of each form in sample and on runs held out, and its criteria above the least."""
    rows = file.comparison.assessments
    least_bic = min(a.bic for a in rows)
    least_aicc = min(a.aicc for a in rows if a.aicc is not None)
    return Table(
        (f"form, {spoken(file.name)}", "coefficients", "in sample", *HELD_OUT, "AICc", "BIC"),
        [
            (
                a.form,
                str(a.parameters),
                percent(a.log_rmse, 2),
                *(error_cell(a, name) for name in HELD_OUT),
                "" if a.aicc is None else f"+{a.aicc - least_aicc:.1f}",
                f"+{a.bic - least_bic:.1f}",
            )
            for a in rows
        ],
    )


def error_cell(assessment: Assessment, name: str) -> str:
    """A held-out error in percent, or a dash where the table cannot tell."""
    found = assessment.holdout(name)
    if found.log_rmse is None:
        return "–"
    missing = f" ({found.unpredicted} not predicted)" if found.unpredicted else ""
    return percent(found.log_rmse, 2) + missing


def refusals(files: Sequence[ComparisonFile]) -> Table:
    """Why there is a dash: one row a reason."""
    said = {
        (spoken(file.name), h.name, h.refused.replace(f"{a.form} law", "law")): None
        for file in files
        for a in file.comparison.assessments
        for h in a.holdouts
        if h.refused
    }
    return Table(("runs", "held out", "why there is no error"), list(said))


def is_shown(test: NestedTest, significance: float) -> bool:
    """Whether a table rejects the smaller form, whichever way residuals are drawn."""
    return test.p_value <= significance


def test_table(files: Sequence[ComparisonFile], significance: float) -> Table:
    """Each question to each table: answer, p-value, and what believing the answer would change."""
    return Table(
        (
            "question",
            "runs",
            "answer",
            "p by runs",
            "p by curves",
            "largest change of a prediction",
            "error on the largest size",
        ),
        [
            (
                test.question,
                spoken(file.name),
                "yes" if is_shown(test, significance) else "not shown",
                f"{test.p_runs:.2g}",
                f"{test.p_curves:.2g}",
                percent(test.largest_change, 2),
                f"{error_cell(small, 'largest size')} to {error_cell(large, 'largest size')}",
            )
            for file, test, small, large in _tests(files)
        ],
    )


class _Tested(NamedTuple):
    file: ComparisonFile
    test: NestedTest
    small: Assessment
    large: Assessment


def _tests(files: Sequence[ComparisonFile]) -> list[_Tested]:
    by_question = sorted(
        ((i, file, test) for file in files for i, test in enumerate(file.comparison.tests)),
        key=lambda entry: entry[0],
    )
    return [
        _Tested(
            file,
            test,
            file.comparison.assessment(test.small),
            file.comparison.assessment(test.large),
        )
        for _, file, test in by_question
    ]


def verdict_table(files: Sequence[ComparisonFile], significance: float) -> Table:
    """What each smaller form takes for granted, and what each table says to it."""
    return Table(
        ("taken for granted", *(spoken(file.name) for file in files)),
        [
            (statement, *(verdict(file, name, significance) for file in files))
            for name, statement in GRANTED.items()
        ],
    )


def verdict(file: ComparisonFile, name: str, significance: float) -> str:
    """What a table says to one test, and whether believing the wider form predicts better."""
    for _, test, small, large in _tests([file]):
        if test.name == name:
            shown = "rejected" if is_shown(test, significance) else "not rejected"
            before, after = (a.holdout("largest size").log_rmse for a in (small, large))
            said = f"{shown}, p = {test.p_value:.2g}"
            if before is None or after is None:
                return said
            return f"{said}; the wider form predicts the largest size {_how(before, after)}"
    return file.comparison.untested.get(name, "not tested")


def _how(before: float, after: float) -> str:
    if abs(after / before - 1) < ABOUT:
        return "about as well"
    return "better" if after < before else "worse"


def forecast_table(file: ComparisonFile) -> Table:
    """Each form's prediction of each run beyond the table, against what was measured."""
    return Table(
        ("form", "run", "predicted", "measured", "error", "measured lies"),
        [
            (
                a.form,
                f.name,
                "outside its domain" if f.loss is None else with_interval(f.loss, f.interval, 4),
                "" if f.measured is None else number(f.measured, 5),
                "" if f.loss is None or f.measured is None else f"{f.loss / f.measured - 1:+.1%}",
                where_measured(f),
            )
            for a in file.comparison.assessments
            for f in a.forecasts
        ],
    )


def where_measured(forecast: TargetForecast) -> str:
    """Whether the measured loss lies inside, above or below the interval."""
    if forecast.measured is None or forecast.interval is None:
        return ""
    low, high = forecast.interval
    if low is not None and forecast.measured < low:
        return "below"
    return "above" if high is not None and forecast.measured > high else "inside"


def best_forms(file: ComparisonFile, held_out: str, tie: float) -> list[Assessment]:
    """Forms by their error on what was held out, up to `tie` (relative) above the least."""
    errors = [
        (error, a)
        for a in file.comparison.assessments
        if (error := a.holdout(held_out).log_rmse) is not None
        and not a.holdout(held_out).unpredicted
    ]
    errors.sort(key=lambda pair: pair[0])
    return [a for error, a in errors if error <= errors[0][0] * (1 + tie)]


def simplest_forms(file: ComparisonFile) -> list[Assessment]:
    """Forms by BIC, up to a difference that hardly tells two of them apart."""
    rows = sorted(file.comparison.assessments, key=lambda a: a.bic)
    return [a for a in rows if a.bic <= rows[0].bic + NO_DIFFERENCE]


def use_table(files: Sequence[ComparisonFile], tie: float) -> Table:
    """Which form to use for what: the best on each table, and those that are as good."""
    rows = [
        (purpose, *(_names(best_forms(file, held_out, tie)) for file in files))
        for purpose, held_out in PURPOSES.items()
    ]
    rows.append(("fit against number of coefficients", *(_names(simplest_forms(f)) for f in files)))
    return Table(("to predict", *(spoken(file.name) for file in files)), rows)


def _names(forms: list[Assessment]) -> str:
    return ", ".join(a.form for a in forms) or "–"


def times_among_best(files: Sequence[ComparisonFile], form: str, tie: float) -> tuple[int, int]:
    """In how many of the decided uses a form is best or as good, and how many there are."""
    decided = [
        {a.form for a in found}
        for file in files
        for found in (
            *(best_forms(file, name, tie) for name in PURPOSES.values()),
            simplest_forms(file),
        )
        if found
    ]
    return sum(form in names for names in decided), len(decided)


class Rank(NamedTuple):
    """How a form does over all uses: how often best or as good, its usual error over the least."""

    form: str
    coefficients: int
    among: int
    decided: int
    ratio: float


def ranked_best(ranks: Sequence[Rank]) -> str:
    """Which forms predict best most often, in a sentence; the joint law is always spoken of."""
    most, joint = ranks[0].among, next(rank for rank in ranks if rank.form == "joint")
    first = [rank.form for rank in ranks if rank.among == most and rank is not joint]
    uses = f"{most} of {joint.decided} uses"
    if joint.among < most:
        return (
            f"Most often best, or as good as the best, {'is' if len(first) == 1 else 'are'} "
            f"{listed(first)} ({uses}); the joint law is in {joint.among}."
        )
    if first:
        return (
            f"The joint law is best, or as good as the best, in {uses}, more often than any form "
            f"but {listed(first)}, which is so as often."
        )
    return (
        f"Use the joint law: it is best, or as good as the best, in {uses}, more often than any "
        "other form."
    )


def ranking(files: Sequence[ComparisonFile], tie: float) -> list[Rank]:
    """Every form that some table compares, best first: most often among the best, then nearest."""
    forms = {a.form: a.parameters for file in files for a in file.comparison.assessments}
    ratios = _over_least(files)
    found = [
        Rank(
            form,
            count,
            *times_among_best(files, form, tie),
            float(np.median([r["ratio"] for r in ratios if r["form"] == form] or [np.nan])),
        )
        for form, count in forms.items()
    ]
    return sorted(found, key=lambda rank: (-rank.among, rank.ratio))


def ranking_table(ranks: Sequence[Rank]) -> Table:
    """The ranking, one row a form."""
    rows = [
        (r.form, str(r.coefficients), f"{r.among} of {r.decided}", f"{number(r.ratio)} ×")
        for r in ranks
    ]
    header = ("form", "coefficients", "best or as good", "median held-out error, over the least")
    return Table(header, rows)


def _over_least(files: Sequence[ComparisonFile]) -> list[dict[str, Any]]:
    """Held-out errors of every form as multiples of the least on the same runs."""
    values = []
    for file in files:
        for held_out in HELD_OUT:
            known = {
                a.form: error
                for a in file.comparison.assessments
                if (error := a.holdout(held_out).log_rmse) is not None
                and not a.holdout(held_out).unpredicted
            }
            where = f"{spoken(file.name).removesuffix(', published')}: {held_out}"
            values += [
                {"form": form, "held out": where, "error": e, "ratio": e / min(known.values())}
                for form, e in known.items()
            ]
    return values


def error_map(files: Sequence[ComparisonFile], order: Sequence[str]) -> alt.LayerChart:
    """Held-out error of every form by what was held out, darker the farther above the least."""
    values = _over_least(files)
    columns = list(dict.fromkeys(v["held out"] for v in values))
    x = alt.X(
        "held out:N",
        title=None,
        sort=columns,
        axis=alt.Axis(labelAngle=-45, labelLimit=240, grid=False),
    )
    y = alt.Y("form:N", title=None, sort=list(order), axis=alt.Axis(labelLimit=200, grid=False))
    base = alt.Chart(alt.Data(values=values)).encode(x=x, y=y)
    legend = alt.Legend(title="Error over the least", format=".1f")
    scale = alt.Scale(scheme="tealblues", domain=[1, MOST_SHOWN], clamp=True)
    cells = base.mark_rect().encode(
        color=alt.Color("ratio:Q", scale=scale, legend=legend),
        tooltip=["form:N", "held out:N", alt.Tooltip("error:Q", format=".2%")],
    )
    dark = f"datum.ratio > {(1 + MOST_SHOWN) / 2}"
    texts = base.mark_text(fontSize=10).encode(
        text=alt.Text("error:Q", format=".1%"),
        color=alt.condition(dark, alt.value("white"), alt.value("black")),
    )
    text = """log-RMSE of each form on runs that were held out of its fit, a column for each set of
        runs and what was held out, darker the farther above the least of its column. A form that
        is light all along predicts well everywhere."""
    # wider than a phone, where it scrolls: numbers in narrower cells would run into each other
    chart = alt.layer(cells, texts).properties(width=42 * len(columns), height=30 * len(order))
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def coefficient_table(file: ComparisonFile) -> Table:
    """Coefficients of every form with their intervals, one row a form."""
    return Table(
        (f"form, {spoken(file.name)}", "coefficients in raw units"),
        [
            (
                a.form,
                "; ".join(
                    f"{name} = {with_interval(value, a.intervals.get(name))}"
                    for name, value in a.coefficients.items()
                ),
            )
            for a in file.comparison.assessments
        ],
    )


NO_TITLE = alt.Axis(labelLimit=200)


def forecasts(file: ComparisonFile, run: str) -> alt.LayerChart:
    """Prediction of one run beyond the table by each form, with its interval, and the measured."""
    found = [
        (a.form, f)
        for a in file.comparison.assessments
        for f in a.forecasts
        if f.name == run and f.loss is not None
    ]
    values = [
        {
            "form": form,
            "loss": f.loss,
            "low": (f.interval or (None, None))[0],
            "high": (f.interval or (None, None))[1],
        }
        for form, f in found
    ]
    near = alt.Scale(zero=False)
    y = alt.Y("form:N", title=None, sort=[form for form, _ in found], axis=NO_TITLE)
    x = alt.X("loss:Q", title=f"Loss of {run} (nats per token)", scale=near)
    base = alt.Chart(alt.Data(values=values)).encode(y=y)
    bars = base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(
        x=alt.X("low:Q", scale=near), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=110, color=charts.FITTED).encode(x=x)
    layers: Sequence[alt.Chart] = [bars, points]
    said = "; ".join(f"{form} {number(f.loss, 4)}" for form, f in found)
    measured = found[0][1].measured if found else None
    if measured is not None:
        rule = alt.Chart(alt.Data(values=[{"loss": measured}]))
        layers = [
            *layers,
            rule.mark_rule(color=charts.ORANGE[0], strokeWidth=2, strokeDash=[5, 3]).encode(x=x),
        ]
    text = f"""Predicted loss of {run} by each form with its interval ({said}), against the
        measured loss of {number(measured, 5)} as a dashed line."""
    layered: alt.LayerChart = charts.describe(alt.layer(*layers).properties(height=280), text)
    return layered
