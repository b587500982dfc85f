"""Charts, tables and sentences of the page that puts weights and experts on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from simlib.analysis.calibration import ScoreFile
from simlib.analysis.experts import (
    SYSTEMS,
    System,
    idle_worth,
    left_share,
    with_ends,
    worth,
)
from simlib.analysis.numbers import count, number, percent, sparsity_text, with_interval
from simlib.datasets.adapter import adapter_names, load_adapter
from simlib.fit.fittedlaw import FittedLaw
from simlib.pages import charts
from simlib.pages.answer import MULTIPLES, expert_advice
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.pages.words import listed, out_of
from simlib.simulate.fixedtotal import LEAST_DENSITY, idle_share

NEAR_ALL = 0.05  # a share below this leaves next to nothing that sparsity does not remove
SPARSITIES = (0.5, 0.75, 0.9, 0.95, 0.99)
POINTS = 40  # of a curve in a chart


def tables_table() -> Table:
    """Every table with an adapter: its licence and what N counts in it."""
    found = [(name, load_adapter(name)) for name in adapter_names()]
    return Table(
        ("table", "holds", "licence", "N counts"),
        [(name, a.title, a.licence, a.counts) for name, a in found],
    )


def fit_table(law_files: Sequence[FittedLaw]) -> Table:
    """Each law: its runs, their range, the scatter about it and its status."""
    return Table(
        ("law", "runs", "sparsity up to", "active parameters", "log-RMSE", "status"),
        [
            (
                spoken(f.name),
                str(f.runs),
                percent(f.fitted_range.sparsity[1], 1),
                " to ".join(count(n) for n in f.fitted_range.nonzero_params),
                percent(f.log_rmse, 2),
                "decides" if f.decides else f"decides nothing: {f.why_not}",
            )
            for f in law_files
        ],
    )


def score_table(scores: Mapping[str, ScoreFile]) -> Table:
    """Held-out runs: error, coverage, and whether chance allows so many misses."""
    return Table(
        ("held out", "fitted", "predicted", "error", "bias", "inside", "misses"),
        [
            (
                what,
                str(file.score.fitted_runs),
                str(file.score.predicted_runs),
                percent(file.score.rmse, 2),
                f"{file.score.bias:+.2%}",
                f"{percent(file.score.coverage)} of {percent(file.score.level)}",
                misses(file),
            )
            for what, file in scores.items()
        ],
    )


def misses(file: ScoreFile) -> str:
    """How many measurements lie outside, against how many chance allows."""
    score = file.score
    if score.allowed is None:
        return str(score.missed)
    return f"{score.missed}, " + (
        f"as chance allows (up to {score.allowed})"
        if score.missed <= score.allowed
        else f"more than the {score.allowed} that chance allows"
    )


def share_of(law_file: FittedLaw) -> tuple[float, tuple[float, float]]:
    """The part of the size term that is left, with its interval over the ensemble."""
    value, interval = with_ends(law_file, left_share)
    return value, interval or (value, value)


def shares(law_files: Sequence[FittedLaw]) -> alt.LayerChart:
    """The part of a dense model's size term that no sparsity removes, by law, with its interval."""
    found = [(spoken(f.name), *share_of(f)) for f in law_files]
    values = [
        {"law": name, "share": value, "low": low, "high": high}
        for name, value, (low, high) in found
    ]
    scale = alt.Scale(domain=[0, 1])
    title = "Part of the size term that is left at any sparsity"
    order = [name for name, *_ in found]
    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("law:N", title=None, sort=order, axis=alt.Axis(labelLimit=200))
    )
    axis = alt.Axis(format=".0%")
    rule = base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(
        x=alt.X("low:Q", scale=scale, title=title, axis=axis), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=90, color=charts.FITTED).encode(
        x=alt.X("share:Q", scale=scale, title=title, axis=axis),
        tooltip=["law:N", *(alt.Tooltip(f"{c}:Q", format=".0%") for c in ("share", "low", "high"))],
    )
    said = "; ".join(f"{name} {percent(value)}" for name, value, _ in found)
    text = f"""Share of a dense model's size term that remains however sparse the model is, with
        {percent(law_files[0].level)} intervals: {said}. At 0 idle parameters go on helping as a
        power of their number; at 100% they would do nothing."""
    layered: alt.LayerChart = charts.describe(alt.layer(rule, point).properties(height=240), text)
    return layered


def worths(law_files: Sequence[FittedLaw]) -> alt.LayerChart:
    """Dense-equivalent size per active parameter against total per active, as far as measured."""
    values, ends = [], []
    for f in law_files:
        S = 1 - np.geomspace(1, 1 - f.fitted_range.sparsity[1], POINTS)
        centre = worth(f.law, S)
        low = high = centre
        if f.ensemble is not None:
            tails = [(1 - f.level) / 2, (1 + f.level) / 2]
            low, high = np.quantile(worth(f.ensemble.expand(1), S), tails, axis=0)
        columns = zip(1 / (1 - S), centre, low, high, strict=True)
        values += [
            {"law": spoken(f.name), "total": t, "worth": w, "low": lo, "high": hi}
            for t, w, lo, hi in columns
        ]
        last = (float(centre[-1]), float(1 / (1 - S[-1])))
        ends.append(f"{spoken(f.name)} {number(last[0], 2)} at {number(last[1], 2)}")
    colour = alt.Color(
        "law:N",
        title=None,
        scale=alt.Scale(
            domain=[spoken(f.name) for f in law_files], range=[light for light, _ in charts.SERIES]
        ),
        legend=alt.Legend(columns=2),
    )
    x = charts.log_x(
        "total", "Parameters under the mask, or of all experts, per active one", nice=False
    )
    y = charts.log_y("worth", "Dense parameters of equal loss per active one", nice=False)
    base = alt.Chart(alt.Data(values=values)).encode(x=x, color=colour)
    band = base.mark_area(opacity=0.15).encode(y=charts.log_y("low", "", nice=False), y2="high:Q")
    line = base.mark_line(strokeWidth=2.5).encode(y=y)
    text = f"""How large a dense model of equal loss is, per active parameter, against how many
        parameters there are per active one; each line ends where its table does
        ({"; ".join(ends)}).
        A straight line never saturates; a line that bends to the level does."""
    layered: alt.LayerChart = charts.describe(alt.layer(band, line), text)
    return layered


def worth_table(law_files: Sequence[FittedLaw]) -> Table:
    """What an idle parameter stands for, by sparsity; empty beyond the table's sparsest run."""

    def cell(f: FittedLaw, S: float) -> str:
        if f.fitted_range.sparsity[1] < S - 0.005:
            return "–"
        return with_interval(*with_ends(f, lambda law: idle_worth(law, S)), 2)

    return Table(
        ("dense parameters per idle one, at", *(sparsity_text(S) for S in SPARSITIES)),
        [(spoken(f.name), *(cell(f, S) for S in SPARSITIES)) for f in law_files],
    )


def within(law_file: FittedLaw) -> System:
    """The largest budget inside a table: its largest network at its sparsest, on all its data."""
    found = law_file.fitted_range
    active = found.nonzero_params[1]
    total = active / (1 - found.sparsity[1])
    return System("the table's own largest", "", total, active, found.data_seen[1])


def best(law_file: FittedLaw, system: System) -> tuple[float, tuple[float, float]]:
    """Best sparsity at a system's total parameters and compute, with its interval."""
    value, interval = with_ends(law_file, lambda law: idle_share(law, system.total, system.flops))
    return value, interval or (value, value)


def best_table(law_files: Sequence[FittedLaw], systems: Sequence[System] = SYSTEMS) -> Table:
    """Best sparsity at given total parameters and compute, beside what was chosen."""
    rows = []
    for f in law_files:
        for system in (within(f), *systems):
            value, (low, high) = best(f, system)
            known = system in systems
            far = (
                system.active / f.fitted_range.nonzero_params[1],
                system.data_seen / f.fitted_range.data_seen[1],
            )
            rows.append(
                (
                    spoken(f.name),
                    system.name,
                    count(system.total),
                    f"{percent_of(value)} ({percent_of(low)} to {percent_of(high)})",
                    percent(system.sparsity, 1) if known else "–",
                    _side(system.sparsity, low, high) if known else "",
                    " / ".join(f"{number(x, 2)} ×" for x in far),
                )
            )
    header = ("law", "at the budget of", "total", "best sparsity", "chosen", "which is")
    return Table((*header, "size / data, in those of the table"), rows)


def multiple_table(law_files: Sequence[FittedLaw]) -> Table:
    """Best share of idle parameters by law and budget in dense compute optima of the total."""
    return Table(
        ("best share of idle parameters, at", *(f"{m} ×" for m in MULTIPLES)),
        [(f.name, *(expert_advice(f, m)[0] for m in MULTIPLES)) for f in law_files],
    )


def _side(chosen: float, low: float, high: float) -> str:
    if low <= chosen <= high:
        return "inside the interval"
    return "sparser" if chosen > high else "denser"


def percent_of(sparsity: float) -> str:
    """A sparsity, as far as it was looked for."""
    return "above 99.9%" if sparsity > 1 - 10 * LEAST_DENSITY else percent(sparsity, 1)


def saturation(law_files: Sequence[FittedLaw]) -> str:
    """Which routers saturate, in a sentence."""
    groups: dict[str, list[str]] = {"does": [], "does not show": []}
    for f in law_files:
        _, (low, _) = share_of(f)
        groups["does" if low > NEAR_ALL else "does not show"].append(spoken(f.name))
    parts = []
    if groups["does"]:
        parts.append(f"saturates with {listed(groups['does'])}")
    if groups["does not show"]:
        parts.append(f"is not shown to saturate with {listed(groups['does not show'])}")
    return "What more experts buy " + ", and ".join(parts)


def form_table(groups: Mapping[str, Sequence[tuple[FittedLaw, ScoreFile]]]) -> Table:
    """For each table: the forms, the scatter about each, and its error on the largest models."""
    return Table(
        ("table", "form", "in sample", "largest models, held out", "bias there"),
        [
            (
                spoken(table),
                f.form.replace("-", " "),
                percent(f.log_rmse, 2),
                percent(s.score.rmse, 2),
                f"{s.score.bias:+.2%}",
            )
            for table, found in groups.items()
            for f, s in found
        ],
    )


def interaction(groups: Mapping[str, Sequence[tuple[FittedLaw, ScoreFile]]]) -> str:
    """Whether a size exponent that sparsity bends helps, held out, in a sentence."""
    better = []
    for table, found in groups.items():
        errors = {f.form: s.score.rmse for f, s in found}
        if errors["size-exponent"] < errors["joint"]:
            better.append(spoken(table))
    if not better:
        return "predicts the largest models no better on any of these tables"
    where = out_of(len(better), len(groups), "table")
    return f"predicts the largest models better on {where} ({listed(better)})"
