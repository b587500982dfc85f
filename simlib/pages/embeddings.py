"""How much of the gain of sparsity belongs to embeddings and output layer, pruned or left dense.

Models of equal body are compared on equal data. Left dense, the embeddings of a sparse model are as
wide as its body under the mask, and so larger than those of the dense model beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

from simlib.analysis.contrasts import REFERENCE, Estimate, against_dense, t_interval
from simlib.analysis.numbers import (
    number,
    percent,
    percent_with_interval,
    sparsity_text,
    with_interval,
)
from simlib.analysis.worth import multiplier
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.pages import charts
from simlib.pages.tables import Table
from simlib.runs.cells import nominal_sparsities, same_size, same_sparsity
from simlib.runs.table import RunTable

KINDS = ("pruned", "dense")  # what becomes of embeddings and output layer, as run tables name it
NAMES = {"pruned": "embeddings pruned, too", "dense": "embeddings left dense"}


@dataclass(frozen=True)
class Gain:
    """What sparsity gains at one size of the body, with embeddings of one kind.

    `loss` is log loss of the dense model over that of the sparse one on equal data, `worth` the
    size of the dense model that does as well, over the sparse one's, `total` the number of all
    weights that are not zero, embeddings and output layer included.
    """

    nonzero_params: int
    sparsity: float
    embeddings: str
    total: int
    loss: Estimate
    worth: Estimate


@dataclass(frozen=True)
class BothKinds:
    """One size and sparsity with both kinds of embeddings; `theirs` is log loss between the two."""

    pruned: Gain
    dense: Gain
    theirs: Estimate

    @property
    def share(self) -> float:
        """The part of the gain with dense embeddings that is gone when they are pruned."""
        return self.theirs.mean / self.dense.loss.mean


def splits(runs: RunTable, law_file: FittedLaw) -> list[BothKinds]:
    """Every size and sparsity that was trained with both kinds, over data and seeds.

    The law's dense part turns losses into sizes. Raises InputError where there is none.
    """
    found = {(g.nonzero_params, g.sparsity, g.embeddings): g for g in _gains(runs, law_file)}
    both = sorted({key[:2] for key in found})
    pairs = [
        BothKinds(found[*key, "pruned"], found[*key, "dense"], _between(runs, *key))
        for key in both
        if all((*key, kind) in found for kind in KINDS)
    ]
    if not pairs:
        raise InputError("no size and sparsity was trained with embeddings pruned and left dense")
    return pairs


def _gains(runs: RunTable, law_file: FittedLaw) -> list[Gain]:
    gains = []
    for kind in KINDS:
        some = RunTable(r for r in runs if r.sparsity == 0 or r.embeddings == kind)
        pairs = against_dense(some, REFERENCE)
        levels = nominal_sparsities([run.sparsity for _, run in pairs.runs]).tolist()
        keys = [(first.nonzero_params, S) for (first, _), S in zip(pairs.runs, levels, strict=True)]
        for (N, S), cell in pairs.grouped(keys).items():
            loss = t_interval(-cell.differences)
            total = cell.runs[0][1].total_nonzero_params or 0
            gains.append(Gain(N, S, kind, total, loss, multiplier(cell, law_file)))
    return gains


def _between(runs: RunTable, nonzero_params: int, sparsity: float) -> Estimate:
    """Log loss with embeddings pruned over that with dense ones, mean of runs alike in the rest."""
    found: dict[str, dict[tuple[int | None, ...], float]] = {kind: {} for kind in KINDS}
    for run in runs.finished:
        mine = run.sparsity > 0 and same_sparsity(run.sparsity, sparsity)
        if mine and same_size(run.nonzero_params, nonzero_params):
            setting = (run.dense_params, run.data_seen, run.seed)
            found[run.embeddings][setting] = float(np.log(run.loss))
    common = [setting for setting in found["pruned"] if setting in found["dense"]]
    return t_interval([found["pruned"][one] - found["dense"][one] for one in common])


def sentence(found: Sequence[BothKinds]) -> str:
    """How much of the gain is the embeddings', from the least to the most."""
    least, most = (pick(found, key=lambda s: s.share) for pick in (min, max))
    parts = [
        f"{percent(s.share)} at {s.dense.nonzero_params:,} non-zero weights and "
        f"{sparsity_text(s.dense.sparsity)} sparsity"
        for s in (least, most)
    ]
    return f"between {parts[0]} and {parts[1]}"


def table(found: Sequence[BothKinds]) -> Table:
    """Every size and sparsity: the gain of either kind, what lies between, and the worth."""
    header = (
        "body, non-zero",
        "sparsity",
        "all weights: embeddings pruned",
        "left dense",
        "gain on equal data: embeddings pruned",
        "left dense",
        "difference",
        "worth of a weight: embeddings pruned",
        "left dense",
    )
    return Table(header, [_row(s) for s in found])


def _row(found: BothKinds) -> tuple[str, ...]:
    both = (found.pruned, found.dense)
    return (
        f"{found.dense.nonzero_params:,}",
        sparsity_text(found.dense.sparsity),
        *(f"{g.total:,}" for g in both),
        *(percent_with_interval(*g.loss[:2]) for g in both),
        percent_with_interval(*found.theirs[:2]),
        *(with_interval(g.worth.mean, g.worth.interval) for g in both),
    )


def chart(found: Sequence[BothKinds]) -> alt.FacetChart:
    """The worth of a weight by sparsity, a colour a kind of embeddings, a panel a size."""
    values = [
        {
            "size": f"{g.nonzero_params:,} non-zero",
            "sparsity": sparsity_text(g.sparsity),
            "embeddings": NAMES[g.embeddings],
            "worth": g.worth.mean,
            "low": g.worth.interval[0],
            "high": g.worth.interval[1],
        }
        for split in found
        for g in (split.pruned, split.dense)
    ]
    names = list(NAMES.values())
    colours = alt.Scale(domain=names, range=[charts.BLUE[0], charts.ORANGE[0]])
    title = "Dense weights that one is worth"
    base = alt.Chart().encode(
        x=alt.X("sparsity:O", title="Sparsity", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("embeddings:N", sort=names),
        color=alt.Color("embeddings:N", scale=colours, legend=alt.Legend(title=None)),
    )
    bars = base.mark_rule(strokeWidth=3, opacity=0.4).encode(
        y=alt.Y("low:Q", title=title, scale=alt.Scale(zero=False)), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=70).encode(y=alt.Y("worth:Q", title=title))
    each = "; ".join(
        f"{s.dense.nonzero_params:,} at {sparsity_text(s.dense.sparsity)}: "
        f"{number(s.pruned.worth.mean)} pruned, {number(s.dense.worth.mean)} left dense"
        for s in found
    )
    text = f"""How many dense weights one weight of a sparse model is worth on equal data, by
        sparsity, with embeddings and output layer pruned, blue, and left dense, orange. {each}."""
    panels = alt.layer(bars, points).properties(width=240, height=220)
    facet = alt.Facet("size:N", title=None, sort=list(dict.fromkeys(v["size"] for v in values)))
    drawn = panels.facet(facet, columns=2, data=alt.Data(values=values))
    faceted: alt.FacetChart = charts.describe(drawn, text)
    return faceted
