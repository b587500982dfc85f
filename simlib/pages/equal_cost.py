"""Sparse against dense models of equal non-zero size and cost of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from simlib import charts
from simlib.claims.crossover import Crossover, multiples
from simlib.claims.estimates import of_law
from simlib.claims.pairs import Pairs
from simlib.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.errors import InputError
from simlib.law import DenseLaw, JointLaw
from simlib.lawfile import LawFile
from simlib.optimum import CostModel, break_even_multiple, chinchilla_flops
from simlib.tables import Table, number, percent, with_interval

DIGITS = 2  # of a multiple of the dense optimum
SAVINGS = {"dense": "if zeros cost as much as weights while training",
           "sparse": "if multiplications with zeros are skipped while training"}  # fmt: skip


def _level(found: Crossover) -> str:
    return f"{100 * found.sparsity:.3g}%"


def crossover_text(found: Crossover) -> str:
    """`6.9 (5.1 to 9.4)`, or on which side of the runs the crossover lies."""
    if found.side < 0:
        return f"before {number(found.reach[0], DIGITS)}"
    if found.side > 0 or found.multiple is None:
        return f"not up to {number(found.reach[1], DIGITS)}"
    return with_interval(found.multiple, found.interval, DIGITS)


def answer(found: Sequence[Crossover], cost: str) -> str:
    """One sentence: from how much training on each sparsity is the better choice."""
    measured = [c for c in found if c.side == 0]
    never = [c for c in found if c.side > 0]
    always = [c for c in found if c.side < 0]
    parts = []
    if measured:
        each = ", ".join(f"{_level(c)} from {crossover_text(c)}" for c in measured)
        parts.append(f"sparsity overtakes dense training at {each} times the dense optimum")
    if always:
        names = _names(always)
        parts.append(f"{names} sparsity is ahead from the shortest runs on")
    if never:
        most = number(max(c.reach[1] for c in never), DIGITS)
        parts.append(f"{_names(never)} sparsity stays behind up to {most} times the dense optimum, "
                     "as far as runs can be compared")  # fmt: skip
    text = f"{SAVINGS[cost]}, {'; '.join(parts)}."
    return text[0].upper() + text[1:]


def _names(found: Sequence[Crossover]) -> str:
    texts = [_level(c) for c in found]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def crossover_table(
    found: Sequence[Crossover], law_file: LawFile | None, published: Mapping[str, JointLaw],
    cost: CostModel,
) -> Table:  # fmt: skip
    """Measured and predicted crossover of every sparsity, and the gain of the longest runs."""
    header = (
        "sparsity", "pairs", "measured", "our law", *(f"{name} law" for name in published),
        "gain, shortest runs", "gain, longest runs",
    )  # fmt: skip

    def row(c: Crossover) -> tuple[str, ...]:
        S = c.sparsity
        laws = [number(float(break_even_multiple(p, S, cost)), DIGITS) for p in published.values()]
        return (
            _level(c), str(c.pairs), crossover_text(c), _by_law(law_file, S, cost), *laws,
            _gain(c.first.mean, c.first.interval), _gain(c.last.mean, c.last.interval),
        )  # fmt: skip

    return Table(header, [row(c) for c in found])


def _by_law(law_file: LawFile | None, S: float, cost: CostModel) -> str:
    if law_file is None:
        return "decides nothing"
    found = of_law(law_file, lambda law: break_even_multiple(law, S, cost))
    return with_interval(found.value, found.interval, DIGITS)


def _gain(mean: float, interval: tuple[float | None, float | None]) -> str:
    ends = [percent(end, 1) if end is not None else "open" for end in interval]
    return f"{percent(mean, 1)} ({ends[0]} to {ends[1]})"


def gain_chart(
    found: Pairs, dense: DenseLaw, law_file: LawFile | None, cost: CostModel
) -> alt.LayerChart:
    """Gain of sparse over dense at equal size and cost, along training; lines are the law's."""
    times = multiples(found, dense)
    levels = np.round(found.sparsity, 3)
    x = charts.log_x("multiple", "Training of the dense model, in multiples of its optimum")
    y = alt.Y("gain:Q", title="Sparse loss below dense loss", axis=alt.Axis(format="+%"))
    colour = charts.sparsity_colour(levels)
    points = alt.Chart(charts.rows(multiple=times, gain=found.gain, sparsity=levels))
    layers = [
        alt.Chart(alt.Data(values=[{"gain": 0}])).mark_rule(color=charts.GREY[0]).encode(y=y),
        points.mark_point(filled=True, size=45, opacity=0.75).encode(x=x, y=y, color=colour),
    ]
    if law_file is not None:
        lines = alt.Chart(
            alt.Data(values=_lines(found, dense, law_file.joint, cost, levels, times))
        )
        layers.append(lines.mark_line().encode(x=x, y=y, color=colour))
    text = f"""Points are pairs of a sparse and a dense model of the same number of non-zero
        parameters and the same training cost, {SAVINGS[cost.name]}; above the line at zero the
        sparse one is better. To the right is longer training. Lines are the joint law's, at the
        middle of the sizes: they rise with training, and reach zero later for more sparsity."""
    layered: alt.LayerChart = charts.describe(alt.layer(*layers), text)
    return layered


def _lines(
    found: Pairs, dense: DenseLaw, law: JointLaw, cost: CostModel, levels: np.ndarray,
    times: np.ndarray,
) -> list[dict[str, float]]:  # fmt: skip
    N = float(np.exp(np.log(found.nonzero_params).mean()))
    rows = []
    for S in np.unique(levels):
        span = times[levels == S]
        along = np.geomspace(span.min(), span.max(), 30)
        data = along * chinchilla_flops(dense, N) / (FLOP_PER_PARAMETER_AND_DATUM * N)
        gain = np.log(law(0.0, N, data) / law(S, N, data / cost.multiplier(S)))
        rows += [{"multiple": float(m), "gain": float(g), "sparsity": float(S)}
                 for m, g in zip(along, gain, strict=True)]  # fmt: skip
    return rows


def head_sentence(body: Sequence[Crossover], whole: Sequence[Crossover] | InputError) -> str:
    """What changes if the cost of the output layer counts, too."""
    if isinstance(whole, InputError):
        return f"Whether the output layer's cost changes that cannot be told: {whole}."
    pairs = [(a, b) for a, b in zip(body, whole, strict=True) if a.side == b.side == 0]
    if not pairs:
        return "Counting the output layer's cost, too, moves no crossover among the runs."
    each = ", ".join(
        f"{_level(a)} from {number(a.multiple, DIGITS)} to {number(b.multiple, DIGITS)}"
        for a, b in pairs
    )
    return f"Counting the output layer's cost, too, moves the crossovers: {each}."
