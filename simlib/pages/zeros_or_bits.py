"""Charts, tables and sentences of the page on the bytes of a model: zeros, or few bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from simlib.analysis.bitforecast import ENOUGH, LARGEST, SPARSE, Route
from simlib.analysis.byteworth import BestSplit, ByteWorth, best_split, byte_worth
from simlib.analysis.fewbits import Crossing, Excess
from simlib.analysis.numbers import count, number, percent, with_interval
from simlib.analysis.splitcheck import SplitCheck
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.precision import FULL
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.simulate.footprint import STORAGE

MASKS = {"bitmask": "one bit a place", "entropy": "the shortest code"}
SPARSITIES = 40  # points of a curve
NO_LAW = "nothing"  # what zeros are worth where no law of pruned models says


def formats(law_files: Mapping[str, FittedLaw]) -> Table:
    """By table: what is rounded, the worth of each number of bits, scatter and status."""
    known = sorted({bits for f in law_files.values() for bits in f.by_bits[0].bits}, reverse=True)
    return Table(
        (
            "runs",
            *(f"{bits} bits" for bits in known),
            "how many",
            "log-RMSE",
            "size, data: not identified",
        ),
        [
            (
                what,
                *(
                    with_interval(*worth_of(f, bits), 2) if bits in f.by_bits[0].bits else "–"
                    for bits in known
                ),
                str(f.runs),
                percent(f.log_rmse, 2),
                ", ".join(f.unidentified) or ("none" if f.profile_intervals else "not fitted"),
            )
            for what, f in law_files.items()
        ],
    )


def worth_of(law_file: FittedLaw, bits: int) -> tuple[float, tuple[float, float]]:
    """What a weight of so many bits is worth, with its interval over the refits."""
    law, ensemble = law_file.by_bits
    low, high = np.quantile(
        ensemble.worth(bits), [(1 - law_file.level) / 2, (1 + law_file.level) / 2]
    )
    return float(law.worth(bits)), (float(low), float(high))


def dense_bytes(law_files: Mapping[str, FittedLaw]) -> alt.LayerChart:
    """What a byte of dense weights is worth by bits, one colour a set of runs."""
    values = []
    for what, f in law_files.items():
        for bits in (FULL, *f.by_bits[0].bits):
            found = byte_worth(f, None, 0.0, bits, STORAGE["bitmask"], f.level)
            values.append({"runs": what, "bits": bits, **_ends(found, 0)})
    axis = alt.Axis(values=[1, 2, 3, 4, 8, 16], grid=False)
    scale = alt.Scale(type="log", base=2, domain=[0.9, 18], nice=False)
    x = alt.X("bits:Q", title="Bits of a weight", scale=scale, axis=axis)
    legend = alt.Legend(columns=2, labelLimit=300)
    title = "Worth of a byte (dense, 16 bits = 1)"
    colour = alt.Color("runs:N", title=None, sort=list(law_files), legend=legend)
    base = alt.Chart(alt.Data(values=values)).encode(x=x, color=colour)
    rule = base.mark_rule(strokeWidth=2.5).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    line = base.mark_line(point=True).encode(
        y=alt.Y("value:Q", title=title),
        tooltip=["runs:N", "bits:Q", alt.Tooltip("value:Q", format=".2f")],
    )
    tops = {what: best_split(f, None, 0.0, STORAGE["bitmask"]) for what, f in law_files.items()}
    said = "; ".join(
        f"{what}: {top.bits} bits, {number(top.worth, 2)}" for what, top in tops.items()
    )
    text = f"""How many bytes in full precision a byte of weights of few bits stands for, dense
        models, with intervals. Highest: {said}."""
    layered: alt.LayerChart = charts.describe(alt.layer(rule, line), text)
    return layered


def _ends(found: ByteWorth, at: int) -> dict[str, float]:
    return {
        "value": float(found.value[at]),
        "low": float(found.low[at]),
        "high": float(found.high[at]),
    }


def route_name(route: str) -> str:
    """What zeros are worth along a route, in words."""
    return f"as in {spoken(route)}" if route else NO_LAW


def errors(routes: Sequence[Route]) -> alt.LayerChart:
    """Error of every forecast run by group and route, and the mean of each with its interval."""
    order = [_route_label(r) for r in routes]
    named = list(zip(order, routes, strict=True))
    points = [{"route": name, "error": e} for name, r in named for e in r.errors]
    means = [{"route": name, "mean": r.mean, "low": r.low, "high": r.high} for name, r in named]
    lines = alt.Axis(labelLimit=200, labelExpr="split(datum.label, ', ')")  # a phone is narrow
    y = alt.Y("route:N", title=None, sort=order, axis=lines)
    title, axis = "Loss measured over loss forecast", alt.Axis(format="+.1%")
    zero = alt.Chart(alt.Data(values=[{"x": 0}])).mark_rule(color=charts.GREY[0]).encode(x="x:Q")
    dots = (
        alt.Chart(alt.Data(values=points))
        .mark_point(size=45, color=charts.MEASURED)
        .encode(x=alt.X("error:Q", title=title, axis=axis), y=y)
    )
    base = alt.Chart(alt.Data(values=means)).encode(y=y)
    rule = base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(
        x=alt.X("low:Q", title=title, axis=axis), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=90, color=charts.FITTED).encode(
        x=alt.X("mean:Q", title=title, axis=axis)
    )
    said = "; ".join(f"{label}: {r.mean:+.1%}, {r.verdict}" for label, r in named)
    text = f"""Errors of forecasts of runs that no law here was fitted to, one ring a run, with the
        mean of each route and its interval. To the right of zero the models are worse than
        forecast. {said}."""
    layered: alt.LayerChart = charts.describe(
        alt.layer(zero, dots, rule, point).properties(height=200), text
    )
    return layered


def _route_label(route: Route) -> str:
    if route.group == LARGEST:
        return "largest models, dense"
    return f"half zeros, worth {route_name(route.route)}"


def route_table(routes: Sequence[Route]) -> Table:
    """Each route: runs, mean error, interval, verdict, and how surely the rule tells it apart."""
    return Table(
        ("forecast of", "runs", "mean error", "interval", "verdict", "told from others"),
        [
            (
                _route_label(r),
                str(len(r.errors)),
                f"{r.mean:+.2%}",
                f"{r.low:+.2%} to {r.high:+.2%}",
                r.verdict,
                "–" if r.power is None else percent(r.power),
            )
            for r in routes
        ],
    )


def costs(found: Crossing) -> alt.LayerChart:
    """What few bits cost by sparsity, measured, beside what a dense model's cost foretells."""
    spread = found.deviation * np.sqrt(1 / found.counts + 1 / found.counts[:, :1])
    values = [
        {
            "sparsity": s,
            "bits": f"{bits} bits",
            "cost": float(found.cost[i, j]),
            "low": float(found.cost[i, j] - spread[i, j]),
            "high": float(found.cost[i, j] + spread[i, j]),
            "foretold": float(found.factor[i] * found.cost[0, j]),
        }
        for i, s in enumerate(found.sparsities)
        for j, bits in enumerate(found.bits)
        if bits != FULL
    ]
    few = [f"{bits} bits" for bits in found.bits if bits != FULL]
    x = alt.X("sparsity:Q", title="Sparsity", axis=alt.Axis(format=".0%", values=found.sparsities))
    title = "What few bits cost (nats per byte)"
    colour = alt.Color("bits:N", title=None, sort=few)
    base = alt.Chart(alt.Data(values=values)).encode(x=x, color=colour)
    rule = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    point = base.mark_point(filled=True, size=80).encode(y=alt.Y("cost:Q", title=title))
    line = base.mark_line(strokeDash=[5, 4]).encode(y=alt.Y("foretold:Q", title=title))
    text = """Loss of models of few bits less that of models in full precision, by sparsity, with
        one standard error of the seeds. Dashed: what the cost in dense models foretells for sparse
        ones if zeros and bits do not interact. Points above it: the two cost each other."""
    layered: alt.LayerChart = charts.describe(alt.layer(line, rule, point), text)
    return layered


def cost_table(found: Crossing, judged: Mapping[int, Excess]) -> Table:
    """Loss by sparsity and bits, and the excess of each number of bits over all sparsities."""
    rows = [
        (percent(s), *(number(float(loss), 4) for loss in found.loss[i]))
        for i, s in enumerate(found.sparsities)
    ]
    few = [judged[bits] for bits in found.bits if bits != FULL]
    excess = (f"{e.value:+.3f} ({e.low:+.3f} to {e.high:+.3f})" for e in few)
    rows.append(("cost beyond that of dense models", "–", *excess))
    return Table(("sparsity", *(f"{bits} bits" for bits in found.bits)), rows)


def verdict(judged: Excess) -> str:
    """What our own runs say of zeros and bits together, in a sentence."""
    sure = f"{judged.value:+.3f} nats ({judged.low:+.3f} to {judged.high:+.3f})"
    if judged.verdict == "contradicted":
        more = "more" if judged.value > 0 else "less"
        return f"They do not: few bits cost sparse models {more} than dense ones, by {sure}"
    if judged.verdict == "holds":
        return (
            f"They do: the cost to sparse models differs by {sure}, and half as much again would "
            f"have been found in {percent(judged.power)} of cases"
        )
    return (
        f"That stays open: the cost to sparse models differs by {sure}, and half as much again "
        f"would have been found in only {percent(judged.power)} of cases, where {percent(ENOUGH)} "
        "were asked for"
    )


def splits(
    bits_law: FittedLaw, zeros_law: FittedLaw | None, most_sparse: float, mask: str
) -> alt.LayerChart:
    """What a byte is worth by sparsity, one colour a number of bits, with bands over the refits."""
    S = 0.0 - np.expm1(np.linspace(0.0, np.log1p(-most_sparse), SPARSITIES))
    values = []
    for bits in (FULL, *bits_law.by_bits[0].bits):
        found = byte_worth(bits_law, zeros_law, S, bits, STORAGE[mask], bits_law.level)
        values += [
            {"sparsity": float(s), "bits": f"{bits} bits", **_ends(found, i)}
            for i, s in enumerate(S)
        ]
    best = best_split(bits_law, zeros_law, most_sparse, STORAGE[mask], bits_law.level)
    order = [f"{bits} bits" for bits in (FULL, *bits_law.by_bits[0].bits)]
    x = alt.X("sparsity:Q", title="Sparsity", axis=alt.Axis(format=".0%"))
    title = "Worth of a byte (dense, 16 bits = 1)"
    colour = alt.Color("bits:N", title=None, sort=order)
    base = alt.Chart(alt.Data(values=values)).encode(x=x, color=colour)
    area = base.mark_area(opacity=0.18, line=False).encode(
        y=alt.Y("low:Q", title=title), y2="high:Q"
    )
    line = base.mark_line().encode(y=alt.Y("value:Q", title=title))
    text = f"""How many bytes of a dense model in full precision a byte stands for, by sparsity and
        bits, where the positions of zeros take {MASKS[mask]}. Highest: {best.bits} bits at
        {percent(best.sparsity)} sparsity, {number(best.worth, 3)}. The step beside zero is the
        mask, which a dense model does not need."""
    layered: alt.LayerChart = charts.describe(alt.layer(area, line), text)
    return layered


def split_table(
    sources: Sequence[tuple[str, FittedLaw, FittedLaw | None, float]], level: float
) -> Table:
    """The best split by where the worths of bits and zeros come from, for both masks."""
    rows = []
    for what, bits_law, zeros_law, most in sources:
        for mask, words in MASKS.items():
            if zeros_law is None and mask != "bitmask":
                continue
            best = best_split(bits_law, zeros_law, most, STORAGE[mask], level)
            rows.append(
                (
                    what,
                    words if zeros_law is not None else "no mask",
                    str(best.bits),
                    percent(best.sparsity) + _percents(best.sparsity_interval),
                    with_interval(best.worth, best.worth_interval, 3),
                    _shares(best),
                )
            )
    header = ("worths from", "zeros' positions", "bits", "sparsity", "worth of a byte")
    return Table((*header, "best in refits"), rows)


def _percents(ends: tuple[float, float]) -> str:
    return f" ({percent(ends[0])} to {percent(ends[1])})"


def _shares(best: BestSplit) -> str:
    found = sorted(best.shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{bits} bits {percent(share)}" for bits, share in found if share >= 0.01)


def answer(
    alike: BestSplit, alone: BestSplit, routes: Mapping[tuple[str, str], Route], largest: float
) -> str:
    """What QuEST's models, up to the largest, say of bits, and of zeros beside them."""
    share = alone.shares[alone.bits]
    return (
        f"By QuEST's models of up to {count(largest)} parameters, few bits are the way: dense "
        f"weights of {alike.bits} bits, activations alike, do per byte what "
        f"{with_interval(alike.worth, alike.worth_interval, 2)} bytes in full precision do; where "
        f"weights alone are rounded it is {alone.bits} bits and "
        f"{with_interval(alone.worth, alone.worth_interval, 2)}, best in {percent(share)} of "
        f"refits. {sparse_answer(routes)}"
    )


def sparse_answer(routes: Mapping[tuple[str, str], Route]) -> str:
    """What the models of half zeros say, in a sentence."""
    nothing = routes[SPARSE, ""]
    wrong = [r for (group, route), r in routes.items() if group == SPARSE and route]
    if nothing.verdict == "holds" and all(r.verdict == "contradicted" for r in wrong):
        return (
            "Zeros on top, half of the weights in a pattern of 4:8, gained nothing there that "
            "would pay for their mask."
        )
    if nothing.verdict == "contradicted":
        return "Half of the weights at zero, in a pattern of 4:8, were worth more than nothing."
    return "What half of the weights at zero are worth beside few bits stays open there."


def own_answer(both: BestSplit, dense: BestSplit, full: BestSplit) -> str:
    """What our own models say: the best split, the best dense one, the best in full precision."""
    worths = [with_interval(b.worth, b.worth_interval, 2) for b in (full, dense, both)]
    zeros = [percent(b.sparsity) + _percents(b.sparsity_interval) for b in (full, both)]
    sure = f"{both.bits} bits are best in {percent(both.shares[both.bits])} of refits"
    said = (
        f"{zeros[0]} zeros bring a byte of full precision to {worths[0]}, "
        f"{dense.bits} bits without a zero to {worths[1]}, and "
    )
    if both.sparsity == 0:
        return f"{said}zeros beside {both.bits} bits do not pay for their mask; {sure}"
    return f"{said}{zeros[1]} zeros beside {both.bits} bits to {worths[2]}; {sure}"


def zeros_would(best: BestSplit, dense: BestSplit, of: str) -> str:
    """What zeros would add to few bits if they were worth what a law of pruned models says."""
    gain = best.worth / dense.worth - 1
    if best.sparsity == 0:
        return f"Even if zeros were worth what they are in {of}, they would not pay for their mask"
    return (
        f"If zeros beside few bits were worth what they are in {of}, "
        f"{percent(best.sparsity)}{_percents(best.sparsity_interval)} of them and {best.bits} bits "
        f"would do {percent(gain)} more per byte than the best dense model"
    )


def needed(bits: int, S: float) -> str:
    """What a non-zero weight takes with its mask, beside a dense one, in words."""
    with_mask = bits + 1 / (1 - S)
    return (
        f"{bits} bits a non-zero weight takes {number(with_mask, 2)} bits instead of {bits}, "
        f"and has to be worth {number(with_mask / bits, 3)} dense ones to pay"
    )


def split_name(bits: int, S: float) -> str:
    """A split in words."""
    return f"{bits} bits, dense" if S == 0 else f"{bits} bits, {percent(S)} zeros"


def split_losses(check: SplitCheck) -> alt.LayerChart:
    """Forecast and measured loss of every split, in the order of the forecasts."""
    values: list[dict[str, Any]] = [
        {
            "split": split_name(f.bits, f.sparsity),
            "forecast": f.loss,
            "low": f.low,
            "high": f.high,
            "measured": float(loss),
        }
        for f, loss in zip(check.forecasts, check.loss, strict=True)
    ]
    order = [v["split"] for v in sorted(values, key=lambda v: v["forecast"])]
    scale, title = alt.Scale(zero=False), "Loss (nats per byte)"
    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("split:N", title=None, sort=order, axis=alt.Axis(labelLimit=200))
    )
    rule = base.mark_rule(strokeWidth=3, color=charts.FITTED).encode(
        x=alt.X("low:Q", title=title, scale=scale), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=60, color=charts.FITTED).encode(
        x=alt.X("forecast:Q", title=title, scale=scale)
    )
    ring = base.mark_point(size=80, color=charts.ORANGE[0], strokeWidth=2.5).encode(
        x=alt.X("measured:Q", title=title, scale=scale),
        tooltip=[
            "split:N",
            *(alt.Tooltip(f"{c}:Q", format=".4f") for c in ("forecast", "measured")),
        ],
    )
    best = check.forecasts[check.best]
    text = f"""Splits of one number of bytes: what the law forecast (dots, with intervals) and
        what was measured (rings, means of {check.seeds} seeds), best forecast on top. The least
        measured loss is that of {split_name(best.bits, best.sparsity)}."""
    layered: alt.LayerChart = charts.describe(
        alt.layer(rule, point, ring).properties(height=300), text
    )
    return layered


def choice(check: SplitCheck) -> str:
    """Whether the split that the law chose was the best that was trained, in two sentences."""
    chosen, best = check.forecasts[check.chosen], check.forecasts[check.best]
    first = f"The law chose {split_name(chosen.bits, chosen.sparsity)}"
    if check.chosen == check.best:
        first += ", and of those trained it was the best"
    else:
        first += (
            f"; {split_name(best.bits, best.sparsity)} turned out better by {check.regret:.3f} nats"
        )
        beyond = "more than" if check.regret > check.allowed else "no more than"
        first += f", {beyond} the {check.allowed:.3f} that chance allows the best of so many"
    agree = check.low <= 0 <= check.high
    level = "as the law has it" if agree else "where the rule contradicts the law"
    return (
        f"{first}. Over all splits losses lie {check.error:+.2%} ({check.low:+.2%} to "
        f"{check.high:+.2%}) from the forecasts, {level}."
    )
