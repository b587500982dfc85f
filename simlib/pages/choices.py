"""What each choice changes, how surely and what that is worth; and sparse training from inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import altair as alt
import numpy as np

from simlib.analysis.contrasts import (
    FAMILIES,
    OPTIMIZERS,
    Estimate,
    Pairs,
    against_dense,
    arms,
    match,
)
from simlib.analysis.numbers import number, percent, sparsity_text, with_interval
from simlib.analysis.stability import SpreadRatio
from simlib.analysis.worth import log_multipliers, multiplier, trend, unexplained
from simlib.claims.estimates import ends
from simlib.claims.training import ONE_LAW_REGION
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import JointLaw
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.pages.words import counted
from simlib.runs.cells import Spread, nominal_sizes, nominal_sparsities
from simlib.runs.table import RunTable

VERDICTS = {1: "worse", -1: "better", 0: "not told apart"}


def change(estimate: Estimate) -> str:
    """A mean difference of log loss as a change of the loss in percent, with its interval."""
    found = estimate.map(np.expm1)
    low, high = (f"{end:+.1%}" if end is not None else "open" for end in found.interval)
    return f"{found.mean:+.1%} ({low} to {high})"


def verdict(pairs: Pairs) -> str:
    """Whether the other arm is better or worse, judged by the wider of its two intervals."""
    signs = {pairs.effect().sign, pairs.effect_over_cells().sign}
    return VERDICTS[signs.pop() if len(signs) == 1 else 0]


def named(contrasts: Sequence[Pairs], said: str) -> str:
    """The arms of one verdict, listed."""
    return "; ".join(p.label for p in contrasts if verdict(p) == said) or "none"


def cost_ratio(pairs: Pairs) -> float:
    """Training FLOP of the other arm over the reference's where zeros are skipped, mean of pairs.

    NaN where a run did not record its FLOP.
    """
    return float(np.mean([(b.flops or np.nan) / (a.flops or np.nan) for a, b in pairs.runs]))


def cells(pairs: Pairs) -> str:
    """How many pairs, over how many seeds."""
    seeds = len({first.seed for first, _ in pairs.runs})
    lost = f", {pairs.lost} diverged" if pairs.lost else ""
    return f"{len(pairs)} ({counted(seeds, 'seed')}{lost})"


def contrast_table(contrasts: Sequence[Pairs], law_file: FittedLaw) -> Table:
    """Every arm against the reference, best first: loss, cost, worth in size, verdict."""
    rows = []
    for pairs in sorted(contrasts, key=lambda p: p.effect().mean):
        worth = multiplier(pairs, law_file)
        rows.append(
            (
                pairs.label,
                cells(pairs),
                change(pairs.effect()),
                change(pairs.effect_over_cells()),
                number(cost_ratio(pairs), 2) + " ×",
                with_interval(*worth[:2]),
                verdict(pairs),
            )
        )
    return Table(
        (
            "arm",
            "pairs",
            "loss, over pairs",
            "loss, over cells",
            "training FLOP",
            "worth in size",
            "verdict",
        ),
        rows,
    )


def group_table(
    contrasts: Sequence[Pairs], groups: Mapping[Any, str], field: str = "family"
) -> Table:
    """Change of loss of every arm, one column a group: a value of a field of the reference runs."""
    split = [pairs.split(lambda r: getattr(r, field)) for pairs in contrasts]
    rows = []
    for pairs, found in zip(contrasts, split, strict=True):
        columns = [change(found[g].effect()) if g in found else "not trained" for g in groups]
        rows.append((pairs.label, *columns))
    return Table(("arm", *groups.values()), rows)


def disagreements(contrasts: Sequence[Pairs], groups: Mapping[str, str]) -> str:
    """Arms whose interval in one family lies wholly above that in another, listed."""
    found = []
    for pairs in contrasts:
        ends = {
            family: part.effect().interval
            for family, part in pairs.split(lambda r: r.family).items()
            if family in groups
        }
        found += [
            f"{pairs.label} (costs {groups[a]} more than {groups[b]})"
            for (a, (low, _)), (b, (_, high)) in permutations(ends.items(), 2)
            if low is not None and high is not None and low > high
        ]
    return "; ".join(found) or "none"


def awareness_table(runs: RunTable) -> Table:
    """What it costs if the optimizer does not know the masks, one row an optimizer and a way."""
    rows = []
    for optimizer in sorted({r.optimizer for r in runs}):
        group = runs.where(optimizer=optimizer)
        for arm in arms(group):
            if arm.aware:
                continue
            pairs = match(group, arm, reference=arm._replace(aware=True))
            rows.append(
                (
                    OPTIMIZERS[optimizer],
                    str(pairs.reference),
                    cells(pairs),
                    change(pairs.effect()),
                    change(pairs.effect_over_cells()),
                    verdict(pairs),
                )
            )
    return Table(
        (
            "optimizer",
            "way of pruning",
            "pairs",
            "loss if it ignores the masks",
            "over cells",
            "verdict",
        ),
        rows,
    )


def size_table(contrasts: Sequence[Pairs], law_file: FittedLaw) -> Table:
    """Worth of a weight of each arm, at each size and over all: 1 is that of the reference."""
    nominal = sizes_of(contrasts)
    sizes = sorted(set(nominal.values()))
    rows = []
    for pairs in contrasts:
        by_size = pairs.split(lambda r: nominal[r.nonzero_params])
        groups = [by_size.get(size) for size in sizes] + [pairs]
        worth = ["not trained" if g is None else _worth(g, law_file) for g in groups]
        rows.append((pairs.label, *worth, verdict(pairs)))
    heads = (f"about {rounded(size):,.0f} weights" for size in sizes)
    return Table(("pattern", *heads, "all sizes", "verdict"), rows)


def sizes_of(contrasts: Sequence[Pairs]) -> dict[float, float]:
    """The nominal size of every non-zero size of the reference runs."""
    N = np.unique(np.concatenate([pairs.points[1] for pairs in contrasts]))
    return dict(zip(N.tolist(), nominal_sizes(N).tolist(), strict=True))


def rounded(nonzero_params: float) -> float:
    """A size to two digits, as it is shown."""
    return float(f"{nonzero_params:.2g}")


def _worth(pairs: Pairs, law_file: FittedLaw) -> str:
    return with_interval(*multiplier(pairs, law_file)[:2])


def trend_table(contrasts: Sequence[Pairs], law_file: FittedLaw) -> Table:
    """Whether one number a pattern is enough: its drift with size and with data."""
    rows = []
    for pairs in contrasts:
        found = trend(pairs, law_file)
        cells: tuple[str, ...] = ("undetermined",) * 4
        if found is not None:
            cells = tuple(text(slope) for slope in found for text in (_factor, says))
        rows.append((pairs.label, *cells, percent(unexplained(pairs, law_file.joint), 2)))
    doublings = ("each doubling of size", "one law?", "each doubling of data", "one law?")
    return Table(("pattern", *doublings, "loss left unexplained"), rows)


def dense_table(runs: RunTable) -> Table:
    """Every arm at each of its sparsities against dense runs of equal size, data and seed."""
    rows = []
    for arm in arms(runs):
        found = against_dense(runs, arm)
        levels = nominal_sparsities([run.sparsity for _, run in found.runs]).tolist()
        for level, part in found.grouped(levels).items():
            row = (
                str(arm),
                sparsity_text(level),
                cells(part),
                change(part.effect()),
                verdict(part),
            )
            rows.append(row)
    return Table(("arm", "sparsity", "pairs", "loss against dense", "verdict"), rows)


def says(slope: Estimate) -> str:
    """What a drift of log worth says to one multiplier everywhere, by the rule of claim C12."""
    low, high = ends(slope.map(lambda v: float(np.exp(v))).interval)
    answers = {"supports": "yes", "contradicts": "no", "undecided": "undecided"}
    return answers[ONE_LAW_REGION.answer((low, high))]


def _factor(slope: Estimate) -> str:
    return "× " + with_interval(*slope.map(lambda v: float(np.exp(v)))[:2])


def spread_table(spreads: Mapping[str, Spread]) -> Table:
    """Standard deviation of log loss over seeds, one row a group of runs."""
    return Table(
        ("runs", "cells", "degrees of freedom", "deviation over seeds"),
        [(name, str(s.cells), str(s.degrees), spread_cell(s)) for name, s in spreads.items()],
    )


def spread_cell(spread: Spread) -> str:
    """A deviation of log loss in percent of the loss, with its interval."""
    low, high = (percent(end, 2) for end in spread.interval if end is not None)
    return f"{percent(spread.deviation, 2)} ({low} to {high})"


def spread_said(found: SpreadRatio) -> str:
    """How widely seeds of sparse runs scatter beside those of dense ones, in a sentence."""
    low, high = found.interval
    verdict = "more widely" if low > 1 else "less widely" if high < 1 else "not told apart"
    ratio = with_interval(found.value, found.interval)
    return (
        f"the spread of sparse runs is {ratio} times that of dense ones, {verdict}, from "
        f"{found.sparse} sparse and {found.dense} dense cells at {found.places} sizes and amounts "
        f"of data that have both"
    )


def diverged_table(tables: Mapping[str, RunTable]) -> Table:
    """How many runs of each table diverged, and which."""
    rows = []
    for name, runs in tables.items():
        gone = [r for r in runs if r.diverged]
        which = "; ".join(
            f"{FAMILIES[r.family]}, {r.nonzero_params:,} non-zero, {sparsity_text(r.sparsity)} "
            f"sparse, rate {number(r.lr)}, seed {r.seed}"
            for r in gone
        )
        rows.append((spoken(name), str(len(runs)), str(len(gone)), which or "none"))
    return Table(("table", "runs", "diverged", "which"), rows)


Side = Mapping[str, Any]
LABELS = alt.Axis(labelLimit=260)


def effects(contrasts: Sequence[Pairs]) -> alt.LayerChart:
    """Change of the loss of every arm against the reference: each pair, the mean, its interval."""
    ordered = sorted(contrasts, key=lambda p: p.effect().mean)
    order = [p.label for p in ordered]
    points: list[dict[str, Any]] = []
    means: list[dict[str, Any]] = []
    for pairs in ordered:
        found = pairs.effect().map(np.expm1)
        low, high = found.interval
        means.append({"arm": pairs.label, "mean": found.mean, "low": low, "high": high})
        levels = nominal_sparsities(pairs.points[0]).tolist()
        for level, d in zip(levels, np.expm1(pairs.differences), strict=True):
            points.append({"arm": pairs.label, "change": float(d), "sparsity": level})
    near = alt.Axis(format="+.1%", tickCount=7)
    y = alt.Y("arm:N", title=None, sort=order, axis=LABELS)
    dots = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=35, opacity=0.75)
    dots = dots.encode(
        x=alt.X("change:Q", title="Loss against the reference", axis=near),
        y=y,
        color=charts.sparsity_colour([p["sparsity"] for p in points]),
    )
    base = alt.Chart(alt.Data(values=means)).encode(y=y)
    bars = base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(x="low:Q", x2="high:Q")
    ticks = base.mark_tick(thickness=4, size=16, color=charts.FITTED).encode(x="mean:Q")
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(strokeDash=[5, 3]).encode(x="zero:Q")
    said = f"best is {order[0]}, {change(ordered[0].effect())}; worst {order[-1]}, "
    text = f"""Change of the validation loss against the reference ({ordered[0].reference}) for
        {counted(len(order), "way")} to make a model sparse: dots are pairs of runs, coloured by
        sparsity, bars 90% intervals of their mean. The {said}{change(ordered[-1].effect())}."""
    layers = alt.layer(zero, bars, ticks, dots).properties(height=max(160, 30 * len(order)))
    described: alt.LayerChart = charts.describe(layers, text)
    return described


def worth_by_size(contrasts: Sequence[Pairs], law: JointLaw) -> alt.LayerChart:
    """Worth of a weight under each arm against size, one dot a pair, a line through the means."""
    nominal = sizes_of(contrasts)
    values: list[dict[str, Any]] = [
        {"arm": pairs.label, "size": rounded(nominal[N]), "worth": float(np.exp(m))}
        for pairs in contrasts
        for N, m in zip(pairs.points[1], log_multipliers(pairs, law), strict=True)
    ]
    names = [p.label for p in contrasts]
    scale = alt.Scale(domain=names)
    legend = alt.Legend(title=None, columns=2, labelLimit=260)
    y = alt.Y("worth:Q", title="Worth of a weight", scale=alt.Scale(zero=False))
    base = alt.Chart(alt.Data(values=values)).encode(
        x=charts.log_x("size", "Non-zero parameters", nice=False, padding=20),
        color=alt.Color("arm:N", scale=scale, legend=legend),
        shape=alt.Shape("arm:N", scale=scale, legend=legend),
    )
    dots = base.mark_point(size=45, opacity=0.8).encode(y=y)
    lines = base.mark_line().encode(y=alt.Y("mean(worth):Q"))
    one = alt.Chart(alt.Data(values=[{"one": 1}])).mark_rule(strokeDash=[5, 3]).encode(y="one:Q")
    said = "; ".join(
        f"{p.label} {number(float(np.exp(np.mean(log_multipliers(p, law)))))}" for p in contrasts
    )
    text = f"""Worth of a non-zero weight against non-zero parameters, in weights of unstructured
        models of the same sparsity, one dot a pair of runs and a line through the means of each of
        {len(names)} patterns. Mean worth: {said}."""
    described: alt.LayerChart = charts.describe(alt.layer(one, dots, lines), text)
    return described


def gradient_norms(sides: Sequence[Side]) -> alt.Chart:
    """Norm of the gradient of the weights that are kept against the step, a line a sparsity."""
    values = [
        {"step": step, "norm": norm, "sparsity": side["config"]["sparsity"]}
        for side in sides
        for step, norm in zip(side["curve"]["step"], side["curve"]["grad_norm"], strict=True)
    ]
    levels = [side["config"]["sparsity"] for side in sides]
    chart = alt.Chart(alt.Data(values=values)).mark_line()
    chart = chart.encode(
        x=alt.X("step:Q", title="Optimizer step"),
        y=charts.log_y("norm", "Gradient norm"),
        color=charts.sparsity_colour(levels),
    )
    worst = max(values, key=lambda v: float(v["norm"]))
    text = f"""Norm of the gradient, averaged over the steps between two points, against the
        optimizer step for {len(sides)} runs, one colour a final sparsity. The largest value,
        {number(worst["norm"])}, is at step {worst["step"]:,.0f} of the run at
        {sparsity_text(worst["sparsity"])} sparsity."""
    described: alt.Chart = charts.describe(chart, text)
    return described


def spikes(side: Side, start: float = 0.25) -> tuple[float, int]:
    """Largest gradient norm over the median, and points above twice it, after a share `start`."""
    norms = np.array(side["curve"]["grad_norm"], dtype=float)
    norms = norms[int(start * len(norms)) :]
    ratio = norms / np.median(norms)
    return float(ratio.max()), int(np.sum(ratio > 2))


def kept_by_tensor(density: Mapping[str, float], overall: float) -> alt.LayerChart:
    """Share of weights that each tensor keeps under one budget for all of them."""
    values = [{"tensor": name, "kept": share} for name, share in density.items()]
    y = alt.Y("tensor:N", title=None, sort=list(density), axis=LABELS)
    x = alt.X("kept:Q", title="Weights kept", axis=alt.Axis(format="%"))
    bars = alt.Chart(alt.Data(values=values)).mark_bar(color=charts.FITTED).encode(x=x, y=y)
    rule = alt.Chart(alt.Data(values=[{"all": overall}])).mark_rule(
        color=charts.ORANGE[0], strokeWidth=2, strokeDash=[5, 3]
    )
    most, least = max(density, key=density.__getitem__), min(density, key=density.__getitem__)
    text = f"""Share of weights that each matrix keeps where all matrices compete for one total of
        {percent(overall)}, marked by a dashed line. {most} keeps most, {percent(density[most])};
        {least} least, {percent(density[least])}."""
    layers = alt.layer(bars, rule.encode(x="all:Q")).properties(height=22 * len(density))
    described: alt.LayerChart = charts.describe(layers, text)
    return described
