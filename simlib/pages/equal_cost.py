"""Sparse against dense models of equal non-zero size and cost of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from simlib.analysis.numbers import (
    number,
    percent,
    percent_with_interval,
    sparsity_text,
    with_interval,
)
from simlib.analysis.regime import regime
from simlib.claims import counts
from simlib.claims.crossover import (
    Crossover,
    at_equal_cost,
    beyond,
    data_at,
    dense_law,
    in_units,
    multiples,
    noise,
)
from simlib.claims.estimates import of_law
from simlib.claims.pairs import SHORT, DensePairs, pairs
from simlib.errors import InputError
from simlib.fit import FittedLaw
from simlib.laws.law import DenseLaw, JointLaw
from simlib.laws.optimum import COSTS, CostModel, break_even_multiple
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.pages.words import counted, listed, out_of, sentence, some
from simlib.runs.cells import nominal_sparsities
from simlib.runs.table import RunTable

DIGITS = 2  # of a multiple of the dense optimum
SAVINGS = {
    "dense": "if zeros cost as much as weights while training",
    "sparse": "if multiplications with zeros are skipped while training",
}
PANELS = 3  # of the chart, side by side


def _level(found: Crossover) -> str:
    return sparsity_text(found.sparsity)


def _names(found: Sequence[Crossover]) -> str:
    return f"{listed([_level(c) for c in found])} sparsity"


def crossover_text(found: Crossover) -> str:
    """`6.9 (5.1 to 9.4)`, or on which side of the runs the crossover lies."""
    if found.side < 0:
        return f"less than {number(found.reach[0], DIGITS)}"
    if found.side > 0 or found.multiple is None:
        return f"not up to {number(found.reach[1], DIGITS)}"
    return with_interval(found.multiple, found.interval, DIGITS)


def answer(found: Sequence[Crossover], cost: str) -> str:
    """One sentence: who is better beyond doubt, from how much training on, and by how much."""
    by = {v: [c for c in found if c.verdict == v] for v in ("ahead", "overtakes", "behind", "open")}
    parts = []
    if by["ahead"]:
        parts.append(f"{_names(by['ahead'])} wins from the shortest runs on")
    if by["overtakes"]:
        each = listed([f"{_level(c)} from {crossover_text(c)}" for c in by["overtakes"]])
        parts.append(f"sparsity overtakes dense training at {each} times the dense optimum")
    if not parts:
        parts.append("sparse is never seen to win")
    if by["behind"]:
        least = number(min(c.typical[1] for c in by["behind"]), DIGITS)
        names = _names(by["behind"])
        parts.append(f"dense is still ahead of {names} at {least} times the dense optimum")
    if by["open"]:
        parts.append(f"of {_names(by['open'])} these runs cannot tell")
    text = f"{SAVINGS[cost]}, {'; '.join(parts)}.{_most(by['ahead'] + by['overtakes'])}"
    return sentence(text)


def no_answer(dense: FittedLaw, cost: str) -> str:
    """The same where the fit to the dense runs decides nothing; empty where it does."""
    if dense.status == "converged":
        return ""
    return sentence(
        f"{SAVINGS[cost]}, these runs cannot tell how much training sparsity needs to win: "
        f"{_no_optimum(dense)}."
    )


def _no_optimum(dense: FittedLaw) -> str:
    how = {
        "at bound": "ends at a bound of a coefficient",
        "not converged": "did not converge",
    }
    ended = how.get(str(dense.status), f"has the status {dense.status}")
    return f"the law of the dense runs {ended}, so their dense optimum is not known"


def _most(winners: Sequence[Crossover]) -> str:
    best = max(winners, key=lambda c: c.last.mean, default=None)
    if best is None or best.last.sign <= 0:
        return ""
    gain, far = (
        percent_with_interval(best.last.mean, best.last.interval),
        number(best.typical[1], DIGITS),
    )
    level = f"{_level(best)} sparsity"
    return f" The largest gain is {gain} of the loss, by {level} at {far} times the dense optimum."


def reach_sentence(found: DensePairs, dense: FittedLaw, runs: RunTable) -> str:
    """How far these pairs reach, so that readers know what they cannot show."""
    assert isinstance(dense.law, DenseLaw)
    times = multiples(found, dense.law)
    past, extended = int((times > 1).sum()), int(beyond(found, runs).sum())
    ends = " to ".join(number(float(end), DIGITS) for end in (times.min(), times.max()))
    behind = "all past it" if past == len(found) else f"{some(past, 'of them', 'of them')} past it"
    text = (
        f"The {counted(len(found), 'pair')} reach from {ends} times the dense optimum, {behind}; "
        "longer training is not seen here."
    )
    if extended:
        text += (
            f" For {out_of(extended, len(found), 'pair')} the dense curve is drawn past its "
            f"longest run, by a factor of {number(SHORT, DIGITS)} at most."
        )
    if dense.status != "converged":
        text += (
            f" {sentence(_no_optimum(dense))}: no multiple of it on this page, and no line "
            "through the pairs, decides anything."
        )
    return text


def seen_sentence(found: DensePairs, dense: DenseLaw, runs: RunTable) -> str:
    """In how many pairs each side wins, and how long those were trained."""
    half = noise(found, runs)
    told = "by more than seeds explain"
    if np.isnan(half).all():
        half, told = np.zeros(len(found)), "with nothing known of the noise of seeds"
    above, below = found.gain > half, found.gain < -half
    sparse = out_of(int(above.sum()), len(found), "pair")
    text = (
        f"The sparse model is better {told} in {sparse}, the dense one in {below.sum() or 'none'}"
    )
    if above.any() and below.any():
        times = multiples(found, dense)
        middle = [number(float(np.median(times[side])), DIGITS) for side in (above, below)]
        text += (
            f"; in the median pair of the former the dense model is trained to {middle[0]} times "
            f"its dense optimum, in that of the latter to {middle[1]}"
        )
    return f"{text}."


def law_sentence(
    found: Sequence[Crossover], dense: DenseLaw, law_file: FittedLaw | None, cost: CostModel
) -> str:
    """At how many sparsities the joint law says the same of who wins and from where."""
    told = [c for c in found if c.verdict != "open"]
    if law_file is None:
        return "No law of these runs can be held against that."
    if not told:
        return "Where the runs cannot tell who wins, no law can be held against them."
    law = law_file.joint
    said = [float(in_units(law, c.sparsity, c.nonzero_params, cost, dense)) for c in told]
    apart = [c for c, multiple in zip(told, said, strict=True) if not _agrees(c, multiple)]
    agreeing = out_of(len(told) - len(apart), len(told), "sparsity", "sparsities")
    text = f"The joint law of the same runs agrees at {agreeing} of which the runs can tell"
    some = 0 < len(apart) < len(told)
    return f"{text}{f', not at {_names(apart)}' if some else ''}."


def _agrees(found: Crossover, law: float) -> bool:
    if found.verdict == "behind":
        return law > found.typical[1]
    if found.verdict == "ahead":
        return law < found.typical[0]
    low, high = (
        end if own is None else own for own, end in zip(found.interval, found.reach, strict=True)
    )
    return low < law < high


def crossover_table(
    found: Sequence[Crossover],
    dense: DenseLaw,
    law_file: FittedLaw | None,
    published: Mapping[str, JointLaw],
    cost: CostModel,
) -> Table:
    """Measured and predicted crossover of every sparsity, in multiples of the dense optimum.

    The published laws' are in multiples of the optimum of their own models.
    """
    names = [f"{name} law" for name in published]
    header = ("sparsity", "sizes", "pairs", "measured", "our law", *names)

    def row(c: Crossover) -> tuple[str, ...]:
        S = c.sparsity
        laws = [number(float(break_even_multiple(p, S, cost)), DIGITS) for p in published.values()]
        counted = (_level(c), str(c.sizes), str(c.pairs), crossover_text(c))
        return (*counted, _by_law(law_file, c, cost, dense), *laws)

    return Table(header, [row(c) for c in found])


def _by_law(law_file: FittedLaw | None, c: Crossover, cost: CostModel, dense: DenseLaw) -> str:
    if law_file is None:
        return "decides nothing"
    found = of_law(law_file, lambda law: in_units(law, c.sparsity, c.nonzero_params, cost, dense))
    return with_interval(found.value, found.interval, DIGITS)


def gain_table(
    found: Sequence[Crossover], dense: DenseLaw, law_file: FittedLaw | None, cost: CostModel
) -> Table:
    """By how much sparse is better after the least and the most training of a typical size."""
    header = ("sparsity", "least training", "gain", "our law", "most training", "gain", "our law")

    def row(c: Crossover) -> tuple[str, ...]:
        cells = [_level(c)]
        for multiple, gain in zip(c.typical, (c.first, c.last), strict=True):
            law = "decides nothing"
            if law_file is not None:
                D = data_at(dense, multiple, c.nonzero_params)
                own = D / cost.multiplier(c.sparsity)
                said = _law_gain(law_file.joint, c.sparsity, c.nonzero_params, D, own)
                law = percent(float(said), 1)
            cells += [
                f"{number(multiple, DIGITS)} ×",
                percent_with_interval(gain.mean, gain.interval),
                law,
            ]
        return tuple(cells)

    return Table(header, [row(c) for c in found])


def _law_gain(
    law: JointLaw, S: np.ndarray | float, N: np.ndarray | float, D: np.ndarray, own: np.ndarray
) -> np.ndarray:
    return np.log(law(0.0, N, D) / law(S, N, own))


def gain_chart(
    found: DensePairs, dense: DenseLaw, law_file: FittedLaw | None, runs: RunTable, cost: CostModel
) -> alt.FacetChart:
    """Gain of sparse over dense at equal size and cost, along training; a panel a size."""
    x = charts.log_x("multiple", "In dense optima", nice=False, padding=10)
    sign = "datum.value ? format(datum.value, '+.0%') : '0%'"
    y = alt.Y("gain:Q", title=None, axis=alt.Axis(labelExpr=sign))
    base = alt.Chart().encode(
        x=x,
        color=charts.sparsity_colour(found.sparsity),
        detail=alt.Detail("size:N", title="Model"),  # for the table of numbers
    )
    layers = [
        alt.Chart().mark_rule(color=charts.GREY[0]).encode(y=alt.YDatum(0, title=None)),
        base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(
            y=alt.Y("low:Q", title=None), y2="high:Q"
        ),
        base.mark_point(filled=True, size=40).encode(y=y),
    ]
    if law_file is not None:
        lines = base.mark_line(strokeWidth=1.5).encode(y=alt.Y("law:Q", title=None))
        layers.insert(1, lines)
    panels = alt.layer(*layers).properties(width=175, height=170)
    order = [_size(N) for N in _sizes(found)]
    facet = alt.Facet("size:N", title=None, sort=order)
    rows = _rows(found, dense, law_file, runs)
    chart = panels.facet(facet, columns=PANELS, data=rows).properties(
        title="How far the sparse loss lies below the dense one, along training"
    )
    text = f"""How far the loss of a sparse model lies below that of the dense one of as many
        non-zero parameters and the same training cost, {SAVINGS[cost.name]}, against the training
        of the dense one in multiples of its dense optimum; {counted(len(order), "panel")} by size,
        a colour a sparsity. Bars hold the noise of seeds, lines are the joint law's; above zero
        the sparse model is better."""
    faceted: alt.FacetChart = charts.describe(chart, text)
    return faceted


def _sizes(found: DensePairs) -> list[float]:
    size = found.size
    return [float(found.nonzero_params[size == i].mean()) for i in range(int(size.max()) + 1)]


def _size(N: float) -> str:
    return f"{N:,.0f} non-zero"


def _rows(
    found: DensePairs, dense: DenseLaw, law_file: FittedLaw | None, runs: RunTable
) -> alt.Data:
    half = noise(found, runs)
    columns = {
        "size": np.array([_size(N) for N in _sizes(found)])[found.size],
        "sparsity": found.sparsity,
        "multiple": multiples(found, dense),
        "gain": found.gain,
        "low": found.gain - half,
        "high": found.gain + half,
    }
    if law_file is not None:
        columns["law"] = _law_gain(
            law_file.joint,
            found.sparsity,
            found.nonzero_params,
            found.data_seen,
            found.own_data_seen,
        )
    return charts.rows(**columns)


def head_sentence(
    body: Sequence[Crossover], whole: Sequence[Crossover] | InputError, cost: str
) -> str:
    """What changes if the cost of output layer and embeddings counts, too."""
    if isinstance(whole, InputError):
        return f"{sentence(SAVINGS[cost])}, that cannot be told: {whole}."
    after = {_level(c): c for c in whole}
    pairs = [(c, after[_level(c)]) for c in body if _level(c) in after]
    pairs = [(a, b) for a, b in pairs if a.side == b.side == 0]
    if not pairs:
        return f"{sentence(SAVINGS[cost])}, that moves no crossover among the runs."
    each = listed(
        [
            f"at {_level(a)} from {number(a.multiple, DIGITS)} to {number(b.multiple, DIGITS)}"
            for a, b in pairs
        ]
    )
    return f"{sentence(SAVINGS[cost])}, that moves the crossovers {each} times the optimum."


def count_table(tables: Mapping[str, RunTable]) -> Table:
    """What a weight at 75% is worth by each count of the size, a row a table and count."""
    header = (
        "runs",
        "embeddings",
        "counted as size",
        "smallest dense model",
        "smallest model at 75% sparsity",
        "worth of a weight at 75%",
    )
    rows = []
    for name, runs in tables.items():
        kind = "pruned" if counts.pruned_embeddings(runs) else "dense"
        for count in counts.COUNTS:
            try:
                sizes = [f"{counts.smallest(runs, count, S):,}" for S in (0.0, counts.SPARSITY)]
                found = counts.worth(runs, count)
                cells = (*sizes, with_interval(found.mean, found.interval))
            except InputError as refusal:
                cells = ("", "", str(refusal))
            rows.append((spoken(name), kind, count, *cells))
    return Table(header, rows)


EQUAL = ("equal data", "equal training cost, zeros not skipped")


def in_regime(runs: RunTable) -> RunTable:
    """The runs in the regime of a law; all of them where learning still speeds up at the end."""
    try:
        return regime(runs).holds(runs)
    except InputError:
        return runs


def both_comparisons(runs: RunTable) -> dict[str, DensePairs]:
    """Sparse settings beside dense ones of equal size: once on equal data, once at equal cost.

    Raises InputError where a setting has no such partner in the table.
    """
    law = dense_law(runs)
    found = pairs(runs, law), at_equal_cost(runs, law, COSTS["dense"])
    return dict(zip(EQUAL, found, strict=True))


def side_by_side(found: Mapping[str, DensePairs], runs: RunTable, data: str) -> alt.FacetChart:
    """Gain of sparsity along training, a panel for what is held equal; `data` names the data."""
    columns = [
        charts.rows(
            equal=name,
            data=part.own_data_seen,
            gain=part.gain,
            sparsity=nominal_sparsities(part.sparsity),
            nonzero_params=part.nonzero_params,
        ).values
        for name, part in found.items()
    ]
    values = [row for rows in columns for row in rows]
    sparsities = [row["sparsity"] for row in values]
    x = charts.log_x("data", f"{data} seen by the sparse model", nice=False, padding=10)
    y = alt.Y("gain:Q", title="Loss below that of dense", axis=alt.Axis(format="+.0%"))
    base = alt.Chart().encode(x=x, color=charts.sparsity_colour(sparsities))
    layers = [
        alt.Chart().mark_rule(color=charts.GREY[0]).encode(y=alt.YDatum(0)),
        base.mark_point(filled=True, size=35, opacity=0.6).encode(y=y),
        base.mark_line().encode(y=alt.Y("mean(gain):Q")),
    ]
    panels = alt.layer(*layers).properties(width=270, height=220)
    facet = alt.Facet("equal:N", title=None, sort=list(found))
    chart = panels.facet(facet, columns=2, data=alt.Data(values=values))
    text = f"""How far the loss of a sparse model lies below that of the dense model of as many
        non-zero parameters, against the data of the sparse one, a colour a sparsity, a dot a
        setting, a line through the means over sizes. On the left both see the same data, on the
        right both cost the same to train. {both_sentence(found, runs)}"""
    faceted: alt.FacetChart = charts.describe(chart, text)
    return faceted


def both_sentence(found: Mapping[str, DensePairs], runs: RunTable) -> str:
    """In how many pairs sparse is better, by more than seeds explain, in each comparison."""
    data, cost = found.values()
    better = [int((part.gain > noise(part, runs)).sum()) for part in (data, cost)]
    return (
        f"On equal data the sparse model is better, by more than seeds explain, in "
        f"{out_of(better[0], len(data), 'pair')}; at equal training cost, where zeros cost as "
        f"much as weights, in {out_of(better[1], len(cost), 'pair')}."
    )
