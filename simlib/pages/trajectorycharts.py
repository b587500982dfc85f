"""Chart and tables of losses on the way: recorded curves against what a law says of them."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from simlib.analysis.numbers import number, percent
from simlib.laws.lawfile import LawFile
from simlib.pages import charts
from simlib.pages.tables import Table
from simlib.simulate.trajectory import PHASES, Fare, Miss, law_sparsity, rms, trajectory

PHASE_NAMES = {
    "dense": "dense phase", "ramp": "ramp", "final": "after the ramp, rate still high",
}  # fmt: skip


def one_a_sparsity(fare: Fare) -> list[Miss]:
    """Of the runs kept out, the longest and then largest one of every sparsity."""
    longest = sorted(fare.held_out, key=lambda m: (m.record.data_seen, m.record.nonzero_params))
    best = {round(m.record.sparsity, 3): m for m in longest}
    return [best[s] for s in sorted(best)]


def ways(law_file: LawFile, fare: Fare, level: float = 0.9) -> alt.LayerChart:
    """Recorded training losses as points on the lines that the law draws, one run a sparsity."""
    shown = one_a_sparsity(fare)
    recorded, lines, ends = [], [], []
    for miss in shown:
        r, s = miss.record, round(miss.record.sparsity, 3)
        way = trajectory(law_file, r.sparsity, r.nonzero_params, r.data_seen,
                         accounting=fare.accounting, gap=fare.gap, level=level)  # fmt: skip
        lines += [
            {"data": float(d), "sparsity": s, "loss": float(y), "now": float(x)}
            for d, y, x in zip(way.data_seen, way.running, way.sparsity, strict=True)
        ]
        data = miss.done * r.data_seen
        effective = law_sparsity(miss.done, r.sparsity, fare.accounting)
        size = r.nonzero_params / (1 - r.sparsity) * (1 - effective)
        loss = np.exp(miss.ratio) * law_file.joint(effective, size, data)
        recorded += [
            {"data": float(d), "sparsity": s, "loss": float(y)}
            for d, y in zip(data, loss, strict=True)
        ]
        ends.append({"data": r.data_seen, "sparsity": s, "loss": float(way.loss[-1])})
    levels = [round(m.record.sparsity, 3) for m in shown]
    x = charts.log_x("data", "Tokens seen")
    y = alt.Y("loss:Q", title="Loss (nats per token)", scale=alt.Scale(zero=False))
    colour = charts.sparsity_colour(levels)
    line = alt.Chart(alt.Data(values=lines)).mark_line().encode(x=x, y=y, color=colour)
    point = alt.Chart(alt.Data(values=recorded)).mark_point(filled=True, size=26, opacity=0.7)
    end = alt.Chart(alt.Data(values=ends)).mark_point(shape="diamond", size=110, strokeWidth=2)
    chart = (
        line + point.encode(x=x, y=y, color=colour) + end.encode(x=x, y=y, color=colour)
    )  # fmt: skip
    text = f"""Training loss against tokens seen of {len(shown)} runs that were kept out, one a
        sparsity: recorded points, the law's line raised by the measured gap, and a diamond for the
        law's loss at the end, after the learning rate has fallen. The lines of sparse runs bend
        upward while weights are pruned; the points leave the lines at the right end, where the
        rate falls. Root mean square distance before that: {percent(fare.held_out_rms, 1)}."""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def fares_table(fares: Sequence[Fare]) -> Table:
    """Errors of every accounting on the runs that chose and on those kept out, by phase."""
    header = ("accounting", "gap", "error, runs that chose", "error, runs kept out",
              *(PHASE_NAMES[p] for p in PHASES))  # fmt: skip
    rows = [
        (
            f"{f.accounting} density", f"{f.gap:+.1%}", percent(f.chosen_rms, 2),
            percent(f.held_out_rms, 2), *(percent(rms(f.held_out, f.gap, p), 2) for p in PHASES),
        )
        for f in fares
    ]  # fmt: skip
    return Table(header, rows)


def ends_table(fare: Fare) -> Table:
    """Gap by sparsity where the rate is high after the ramp, and at the very end."""
    groups: dict[float, list[Miss]] = {}
    for miss in fare.held_out:
        groups.setdefault(round(miss.record.sparsity, 3), []).append(miss)
    rows = []
    for s, found in sorted(groups.items()):
        late = [m.ratio[m.high_rate & (m.phase == PHASES.index("final"))] for m in found]
        before = float(np.mean([x.mean() for x in late if x.size]))
        after = float(np.mean([m.ratio[-1] for m in found]))
        rows.append((percent(s, 1), str(len(found)), f"{before:+.1%}", f"{after:+.1%}",
                     number(before - after, 2)))  # fmt: skip
    return Table(
        ("sparsity", "runs", "gap before the cool-down", "gap at its end", "cool-down, log loss"),
        rows,
    )
