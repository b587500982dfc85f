"""Charts, tables and sentences of the page on the bytes of a model: zeros, or few bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from simlib.analysis.bitforecast import ENOUGH, LARGEST, SPARSE, Route
from simlib.analysis.byteworth import BestSplit, ByteWorth, best_split, byte_worth
from simlib.analysis.fewbits import Crossing, Excess
from simlib.analysis.numbers import number, percent, with_interval
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
        ("runs", *(f"{bits} bits" for bits in known), "runs of them", "log-RMSE", "not identified"),
        [
            (
                what,
                *(
                    with_interval(*worth_of(f, bits), 2) if bits in f.by_bits[0].bits else "–"
                    for bits in known
                ),
                str(f.runs),
                percent(f.log_rmse, 2),
                ", ".join(f.unidentified) or "none",
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
    x = alt.X("bits:Q", title="Bits of a weight", scale=alt.Scale(type="log", base=2), axis=axis)
    title = "Worth of a byte (dense, 16 bits = 1)"
    colour = alt.Color("runs:N", title=None, sort=list(law_files), legend=alt.Legend(columns=2))
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
    name = {r: _route_label(r) for r in routes}
    order = list(name.values())
    points = [{"route": name[r], "error": e} for r in routes for e in r.errors]
    means = [{"route": name[r], "mean": r.mean, "low": r.low, "high": r.high} for r in routes]
    y = alt.Y("route:N", title=None, sort=order, axis=alt.Axis(labelLimit=320))
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
    said = "; ".join(f"{label}: {r.mean:+.1%}, {r.verdict}" for r, label in name.items())
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
    """Each route: runs, mean error, interval, verdict, and the power that it rests on."""
    return Table(
        ("forecast of", "runs", "mean error", "interval", "verdict", "power"),
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
        return f"few bits cost sparse models {more} than they cost dense ones, by {sure}"
    if judged.verdict == "holds":
        return (
            f"few bits cost sparse models what they cost dense ones: the difference is {sure}, and "
            f"half as much again would have been found in {percent(judged.power)} of cases"
        )
    return (
        f"whether few bits cost sparse models more stays open: the difference is {sure}, and half "
        f"as much again would have been found in only {percent(judged.power)} of cases, where "
        f"{percent(ENOUGH)} were asked for"
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


def answer(alike: BestSplit, alone: BestSplit, routes: Mapping[tuple[str, str], Route]) -> str:
    """What QuEST's models say of bits, and of zeros beside them, in two sentences."""
    share = alone.shares[alone.bits]
    return (
        f"By QuEST's models of up to 822M parameters, few bits are the way: dense weights of "
        f"{alike.bits} bits, activations alike, do per byte what "
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


def own_answer(both: BestSplit, dense: BestSplit) -> str:
    """What our own models say of the split, in half a sentence."""
    gain = both.worth / dense.worth - 1
    best = (
        f"{both.bits} bits at {percent(both.sparsity)} sparsity{_percents(both.sparsity_interval)}"
    )
    sure = f"{both.bits} bits are best in {percent(both.shares[both.bits])} of refits"
    if both.sparsity == 0:
        return f"dense weights of {both.bits} bits are best, too; {sure}"
    return (
        f"with weights pruned one by one, the best split is {best}, masks counted: a byte is worth "
        f"{percent(gain)} more than in the best dense model, of {dense.bits} bits; {sure}"
    )


def needed(bits: int, S: float) -> str:
    """What a non-zero weight takes with its mask, beside a dense one, in words."""
    with_mask = bits + 1 / (1 - S)
    return (
        f"{bits} bits a non-zero weight takes {number(with_mask, 2)} bits instead of {bits}, "
        f"and has to be worth {number(with_mask / bits, 3)} dense ones to pay"
    )
