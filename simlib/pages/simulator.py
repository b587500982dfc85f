"""The pages on planning, design, calibration, losses on the way and the reader's own runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import altair as alt
import numpy as np

from simlib.analysis.calibration import Calibration, Score
from simlib.analysis.numbers import count, number, percent, sparsity_text, with_interval
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import quantile_interval
from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import cost_model
from simlib.pages import charts
from simlib.pages.law_answers import bands
from simlib.pages.names import spoken
from simlib.pages.tables import Lines, Table
from simlib.pages.words import listed
from simlib.runs.cells import nominal_sparsities
from simlib.simulate.allocate import best_allocation, gain
from simlib.simulate.blocks import summarise
from simlib.simulate.design import Design
from simlib.simulate.front import pareto_front
from simlib.simulate.limits import FLOP_PER_SERVED_TOKEN, Limits
from simlib.simulate.measure import Measurement
from simlib.simulate.plan import Choice, Plan
from simlib.simulate.trajectory import (
    PHASES,
    AccountingScore,
    CurveResiduals,
    law_sparsity,
    rms,
    trajectory,
)

SPARSITIES = np.linspace(0, 0.95, 96)
SERVED = np.geomspace(1e-3, 1e3, 25)  # times what costs the budget at the size best without any
TITLES = {"dense": "Dense training cost", "sparse": "Sparse training cost"}


def gain_against_sparsity(
    law_files: Sequence[FittedLaw], cost: str, level: float = 0.9
) -> alt.LayerChart:
    """What sparsity multiplies a training budget with when size and data are free, with bands."""

    def worth(law: JointLaw, S: Array) -> Array:
        return gain(law, S, cost_model(cost))

    columns = []
    for f in law_files:
        found = summarise(f, worth, SPARSITIES, level=level)
        columns.append(
            charts.rows(
                law=spoken(f.name),
                sparsity=SPARSITIES,
                gain=found.value,
                low=found.low,
                high=found.high,
            )
        )
    even = (
        alt.Chart(alt.Data(values=[{"y": 1}]))
        .mark_rule(strokeDash=[5, 3], color=charts.GREY[0])
        .encode(y="y:Q")
    )
    chart = bands(columns, "sparsity", "gain", "Sparsity", "Worth of the budget, times") + even
    best = listed(
        f"{percent(float(SPARSITIES[np.argmax(worth(f.joint, SPARSITIES))]))} for {spoken(f.name)}"
        for f in law_files
    )
    text = f"""{TITLES[cost]}: by how much a sparse run stretches a training budget, against
        sparsity, with size and data free, one line and band a law. Above the dashed line at one
        sparsity pays. The best sparsity is {best}."""
    layered: alt.LayerChart = charts.describe(chart.properties(title=TITLES[cost]), text)
    return layered


def sparsity_against_serving(
    law_file: FittedLaw, flops: float, cost: str, limits: Limits, level: float = 0.9
) -> alt.LayerChart:
    """Best sparsity against the tokens that one budget has to serve besides training."""
    model = cost_model(cost)
    size = float(best_allocation(law_file.joint, flops, model, replace(limits, serve_tokens=0.0)).N)
    served = SERVED * flops / (FLOP_PER_SERVED_TOKEN * size)
    values = np.empty((3, len(SERVED)))
    for i, tokens in enumerate(served):
        within = replace(limits, serve_tokens=float(tokens))
        values[0, i] = best_allocation(law_file.joint, flops, model, within).S
        members = best_allocation(law_file.members(), flops, model, within).S
        values[1:, i] = quantile_interval(members, level)
    data = charts.rows(
        law=spoken(law_file.name), served=served, sparsity=values[0], low=values[1], high=values[2]
    )
    chart = bands([data], "served", "sparsity", "Tokens to serve", "Best sparsity", log=True)
    text = f"""Best sparsity against the number of tokens that a budget of {number(flops)} FLOP has
        to serve after training, {TITLES[cost].lower()}, with its band. It goes from
        {percent(values[0, 0])} at {count(served[0])} tokens to {percent(values[0, -1])} at
        {count(served[-1])}."""
    layered: alt.LayerChart = charts.describe(chart.properties(title=TITLES[cost]), text)
    return layered


def fronts(law_file: FittedLaw, flops: float, cost: str, limits: Limits) -> alt.LayerChart:
    """Least loss of every size within one budget, dense and sparse."""
    model, values, ends = cost_model(cost), [], {}
    for kind, within in (("dense", replace(limits, sparsity=0.0)), ("sparse", limits)):
        front = pareto_front(law_file.joint, flops, model, within, points=30)
        ends[kind] = front
        values += [
            {
                "run": kind,
                "nonzero_params": float(N),
                "loss": float(y),
                "sparsity": float(S),
                "data_seen": float(D),
            }
            for S, N, D, y in zip(front.S, front.N, front.D, front.loss, strict=True)
        ]
    scale = alt.Scale(domain=["dense", "sparse"], range=[charts.GREY[0], charts.BLUE[0]])
    base = alt.Chart(alt.Data(values=values)).encode(
        x=charts.log_x("nonzero_params", "Non-zero parameters"),
        y=alt.Y("loss:Q", title="Predicted loss (nats)", scale=alt.Scale(zero=False)),
        color=alt.Color("run:N", scale=scale, title=None),
    )
    chart = base.mark_line() + base.mark_point(filled=True, size=40)
    dense, sparse = ends["dense"], ends["sparse"]
    shared = [max(dense.N[0], sparse.N[0]), min(dense.N[-1], sparse.N[-1])]
    lower = [np.interp(np.log(shared), np.log(f.N), f.loss) for f in (dense, sparse)]
    gains = lower[0] - lower[1]
    text = f"""Least predicted loss of every number of non-zero parameters within {number(flops)}
        FLOP, {TITLES[cost].lower()}, one line dense and one sparse. The sparse line lies
        {gains[0]:.4f} nats below the dense one at {count(shared[0])} parameters and
        {gains[1]:.4f} at {count(shared[1])}; its sparsity goes from
        {percent(float(sparse.S[0]))} at its small end to {percent(float(sparse.S[-1]))} at its
        large one."""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def widths_against_span(
    widths: Array, counts: Sequence[int], spans: Sequence[float], goal: float, name: str
) -> alt.LayerChart:
    """Expected half-width of a coefficient against the span of the data, a line a count."""
    values = [
        {"values of D": str(count), "span": float(span), "width": float(width)}
        for count, row in zip(counts, widths, strict=True)
        for span, width in zip(spans, row, strict=True)
    ]
    order = [str(c) for c in counts]
    colours = alt.Scale(domain=order, range=[light for light, _ in charts.SERIES][: len(order)])
    base = alt.Chart(alt.Data(values=values)).encode(
        x=charts.log_x("span", "Most over least data", domain=[min(spans), max(spans)]),
        y=alt.Y("width:Q", title=f"Half-width of {name}, relative", axis=alt.Axis(format="%")),
        color=alt.Color("values of D:N", scale=colours, sort=order, title="Values of D"),
    )
    rule = (
        alt.Chart(alt.Data(values=[{"y": goal}]))
        .mark_rule(strokeDash=[5, 3], color=charts.GREY[0])
        .encode(y="y:Q")
    )
    chart = base.mark_line() + base.mark_point(filled=True, size=45) + rule
    text = f"""Expected half-width of the interval of {name} against the span of the amounts of
        data, one line for each number of them. With {counts[0]} amounts it goes from
        {percent(widths[0, 0])} at a span of {number(spans[0], 2)} to {percent(widths[0, -1])} at
        {number(spans[-1], 2)}, with {counts[-1]} from {percent(widths[-1, 0])} to
        {percent(widths[-1, -1])}; the dashed line is the goal of {percent(goal)}."""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def forecast_against_measured(found: Calibration, name: str) -> alt.LayerChart:
    """Forecast over measured loss of each run held out of the fit, with its interval about it."""
    compute = found.distance.compute
    order = np.argsort(compute)
    data = charts.rows(
        compute=compute[order],
        error=(found.loss / found.measured)[order] - 1,
        low=(found.loss / found.high)[order] - 1,
        high=(found.loss / found.low)[order] - 1,
    )
    x = charts.log_x("compute", "Compute, times the most that was fitted")
    y_title = "Forecast above measured loss"
    base = alt.Chart(data).encode(x=x)
    bars = base.mark_rule(strokeWidth=3, opacity=0.35, color=charts.FITTED).encode(
        y=alt.Y("low:Q", title=y_title, axis=alt.Axis(format="+.1%")), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=45, color=charts.ORANGE[0]).encode(
        y=alt.Y("error:Q", title=y_title)
    )
    text = f"""{name}: how far the forecast lies above the measured loss for {len(found)} runs held
        out of the fit, against their compute, each on a bar that is its {percent(found.level)}
        prediction interval. {percent(found.coverage)} of the points lie on their bars."""
    layered: alt.LayerChart = charts.describe((bars + points).properties(title=name), text)
    return layered


def plan_table(plan: Plan) -> Table:
    """Dense, sparse, 2:4 and, with a checkpoint, pruned run of one plan, side by side."""
    return choices_table(plan.choices)


def choices_table(choices: Sequence[Choice]) -> Table:
    """Runs side by side, one column each."""
    rows = [
        ("sparsity", *(_sparsity(c) for c in choices)),
        ("non-zero parameters", *(count(c.nonzero_params) for c in choices)),
        ("parameters under the mask", *(count(c.dense_params) for c in choices)),
        ("tokens or images", *(count(c.data_seen) for c in choices)),
        ("predicted loss", *(with_interval(c.loss, c.interval, 4) for c in choices)),
        ("training FLOP", *(number(c.train_flops) for c in choices)),
        ("serving FLOP", *(number(c.serve_flops) for c in choices)),
        ("stored weights, GB", *(number(c.inference_bytes / 1e9) for c in choices)),
        ("memory to train, GB", *(number(c.training_bytes / 1e9) for c in choices)),
    ]
    if any(c.effective_data != c.data_seen for c in choices):
        rows.insert(4, ("which count as", *(count(c.effective_data) for c in choices)))
    if choices[0].gpu_hours is not None:
        rows += [
            ("device-hours of training", *(number(c.gpu_hours) for c in choices)),
            ("days, restarts included", *(number(c.days) for c in choices)),
        ]
    if choices[0].energy is not None:
        energy = (number((c.energy or 0.0) / 1e3) for c in choices)
        rows.append(("energy of training, MWh", *energy))
    return Table(("", *(c.kind for c in choices)), rows)


def _sparsity(choice: Choice) -> str:
    text = percent(choice.sparsity)
    if choice.sparsity_interval is None:
        return text
    low, high = (percent(end) for end in choice.sparsity_interval)
    return f"{text} ({low} to {high})"


def story_table(plans: Mapping[str, Plan]) -> Table:
    """Several budgets or sizes, one row each: what is best and how sure that is."""
    header = (
        "",
        "sparsity",
        "non-zero parameters",
        "data",
        "loss, sparse",
        "loss, dense",
        "sparse wins in",
        "beyond the fitted compute",
    )
    rows = [
        (
            name,
            _sparsity(p.sparse),
            count(p.sparse.nonzero_params),
            count(p.sparse.data_seen),
            with_interval(p.sparse.loss, p.sparse.interval, 4),
            with_interval(p.dense.loss, p.dense.interval, 4),
            percent(p.probability_sparse_wins),
            number(float(p.sparse.distance.compute)) + " ×",
        )
        for name, p in plans.items()
    ]
    return Table(header, rows)


def measurement_table(found: Sequence[Measurement]) -> Table:
    """The most telling runs, each after those before it."""
    header = (
        "sparsity",
        "non-zero parameters",
        "data",
        "FLOP",
        "explains, with those above",
        "chance that the sign turns",
    )
    rows = [
        (
            sparsity_text(m.sparsity),
            count(m.nonzero_params),
            count(m.data_seen),
            number(m.flops),
            percent(m.explains),
            percent(m.changes_the_answer, 1),
        )
        for m in found
    ]
    return Table(header, rows or [("no run tells anything", *[""] * (len(header) - 1))])


def calibration_table(found: Mapping[str, Score | Calibration]) -> Table:
    """Forecasts of runs held out of the fit: coverage, bias and what they demand."""
    header = (
        "",
        "runs fitted",
        "runs predicted",
        "inside the interval",
        "bias",
        "rmse",
        "widening needed",
    )
    rows = [
        (
            name,
            str(c.fitted_runs),
            str(c.predicted_runs),
            f"{percent(c.coverage)} of {percent(c.level)}",
            f"{c.bias:+.1%}",
            percent(c.rmse, 1),
            number(c.widen, 2) + " ×",
        )
        for name, c in found.items()
    ]
    return Table(header, rows)


def design_table(designs: Sequence[Design]) -> Table:
    """Recommended grids with the half-widths to expect."""
    targets = list(designs[0].widths)
    header = ("runs", "sparsities", "sizes", "data", *(f"{t} ±" for t in targets))
    rows = [
        (
            str(len(d.grid)),
            _ends(d.grid.sparsities, percent),
            _ends(d.grid.sizes, count),
            _ends(d.grid.data, count),
            *(percent(d.widths[t], 1) for t in targets),
        )
        for d in designs
    ]
    return Table(header, rows)


def _ends(values: Sequence[float], text: object) -> str:
    assert callable(text)
    return f"{len(values)}: {text(min(values))} to {text(max(values))}"


def identified_table(law_file: FittedLaw) -> Table:
    """Each coefficient of a fitted law with both intervals and a verdict."""
    rows = []

    def verdict(name: str) -> str:
        return "not identified" if name in law_file.unidentified else "identified"

    for name in law_file.law.names():
        value = float(np.asarray(getattr(law_file.law, name)))
        cells = []
        for intervals in (law_file.intervals, law_file.profile_intervals):
            ends = intervals.get(name)
            cells.append("" if ends is None else f"{number(ends[0])} to {number(ends[1])}")
        rows.append((name, number(value), *cells, verdict(name)))
    return Table(("coefficient", "estimate", "resampled runs", "profile", "verdict"), rows)


def sentences(said: Sequence[str], none: str = "nothing to warn of") -> Lines:
    """Warnings as a list."""
    return Lines(spoken(s) for s in said or [none])


PHASE_NAMES = {
    "dense": "dense phase",
    "ramp": "ramp",
    "final": "after the ramp, rate still high",
}


def one_a_sparsity(score: AccountingScore) -> list[CurveResiduals]:
    """Of the runs held out, the longest and then largest one of every sparsity."""
    longest = sorted(score.held_out, key=lambda m: (m.record.data_seen, m.record.nonzero_params))
    best = dict(zip(_sparsities(longest), longest, strict=True))
    return [best[s] for s in sorted(best)]


def _sparsities(found: Sequence[CurveResiduals]) -> list[float]:
    sparsities: list[float] = nominal_sparsities([m.record.sparsity for m in found]).tolist()
    return sparsities


def ways(law_file: FittedLaw, score: AccountingScore, level: float = 0.9) -> alt.LayerChart:
    """Recorded training losses as points on the lines that the law draws, one run a sparsity."""
    shown = one_a_sparsity(score)
    recorded, lines, ends = [], [], []
    levels = _sparsities(shown)
    for miss, s in zip(shown, levels, strict=True):
        r = miss.record
        way = trajectory(
            law_file,
            r.sparsity,
            r.nonzero_params,
            r.data_seen,
            accounting=score.accounting,
            gap=score.gap,
            level=level,
        )
        lines += [
            {"data": float(d), "sparsity": s, "loss": float(y), "now": float(x)}
            for d, y, x in zip(way.data_seen, way.running, way.sparsity, strict=True)
        ]
        data = miss.done * r.data_seen
        effective = law_sparsity(miss.done, r.sparsity, score.accounting)
        size = r.nonzero_params / (1 - r.sparsity) * (1 - effective)
        loss = np.exp(miss.ratio) * law_file.joint(effective, size, data)
        recorded += [
            {"data": float(d), "sparsity": s, "loss": float(y)}
            for d, y in zip(data, loss, strict=True)
        ]
        ends.append({"data": r.data_seen, "sparsity": s, "loss": float(way.loss[-1])})
    x = charts.log_x("data", "Bytes seen")
    y = alt.Y("loss:Q", title="Loss (nats per byte)", scale=alt.Scale(zero=False))
    colour = charts.sparsity_colour(levels)
    line = alt.Chart(alt.Data(values=lines)).mark_line().encode(x=x, y=y, color=colour)
    point = alt.Chart(alt.Data(values=recorded)).mark_point(filled=True, size=26, opacity=0.7)
    end = alt.Chart(alt.Data(values=ends)).mark_point(shape="diamond", size=110, strokeWidth=2)
    chart = line + point.encode(x=x, y=y, color=colour) + end.encode(x=x, y=y, color=colour)
    text = f"""Training loss against bytes seen of {len(shown)} runs that were held out, one a
        sparsity: recorded points, the law's line raised by the measured gap, and a diamond for the
        law's loss at the end, after the learning rate has fallen. The lines of sparse runs bend
        upward while weights are pruned; the points leave the lines at the right end, where the
        rate falls. Root mean square distance before that: {percent(score.held_out_rms, 1)}."""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def accountings_table(scores: Sequence[AccountingScore]) -> Table:
    """Errors of every accounting on the runs that chose and on those held out, by phase."""
    header = (
        "accounting",
        "gap",
        "error, runs that chose",
        "error, runs held out",
        *(PHASE_NAMES[p] for p in PHASES),
    )
    rows = [
        (
            f"{f.accounting} density",
            f"{f.gap:+.1%}",
            percent(f.chosen_rms, 2),
            percent(f.held_out_rms, 2),
            *(percent(rms(f.held_out, f.gap, p), 2) for p in PHASES),
        )
        for f in scores
    ]
    return Table(header, rows)


def ends_table(score: AccountingScore) -> Table:
    """Gap by sparsity where the rate is high after the ramp, and at the very end."""
    groups: dict[float, list[CurveResiduals]] = {}
    for miss, s in zip(score.held_out, _sparsities(score.held_out), strict=True):
        groups.setdefault(s, []).append(miss)
    rows = []
    for s, found in sorted(groups.items()):
        late = [m.ratio[m.high_rate & (m.phase == PHASES.index("final"))] for m in found]
        before = float(np.mean([x.mean() for x in late if x.size]))
        after = float(np.mean([m.ratio[-1] for m in found]))
        rows.append(
            (
                sparsity_text(s),
                str(len(found)),
                f"{before:+.1%}",
                f"{after:+.1%}",
                number(before - after, 2),
            )
        )
    return Table(
        ("sparsity", "runs", "gap before the cool-down", "gap at its end", "cool-down, log loss"),
        rows,
    )
