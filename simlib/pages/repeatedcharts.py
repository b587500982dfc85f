"""Charts of the page on repeated photographs."""

from __future__ import annotations

import altair as alt
import numpy as np

from simlib.fit.repeated import RepeatedFit, RepeatedRuns
from simlib.laws.repeated import PUBLISHED_REPEATED
from simlib.pages import charts
from simlib.pages.repeatedtables import series_of

PASSES = 40.0  # to which the curves of worth reach


def losses(runs: RepeatedRuns) -> alt.FacetChart:
    """Validation loss against images seen, solid on all images, dashed on few; a panel a size."""
    found = series_of(runs)
    most = max(s.U for s in found)
    values = [
        {"D": D, "loss": L, "sparsity": s.S, "images": _images(s.U), "size": f"{s.N:,.0f} weights"}
        for s in found
        for D, L in zip(s.D.tolist(), s.L.tolist(), strict=True)
    ]
    sets = [_images(U) for U in sorted({s.U for s in found}, reverse=True)]
    base = alt.Chart().encode(
        x=charts.log_x("D", "Images seen"),
        y=alt.Y("loss:Q", title="Loss (nats per image)", scale=alt.Scale(zero=False)),
        color=charts.sparsity_colour([s.S for s in found]),
        strokeDash=alt.StrokeDash("images:N", title="Drawn from", sort=sets),
    )
    layers = alt.layer(base.mark_line(), base.mark_point(filled=True, size=45))
    layers = layers.properties(width=250, height=260)
    chart = layers.facet(column=alt.Column("size:N", title=None), data=alt.Data(values=values))
    repeating = [s for s in found if most != s.U]
    rising = f"{sum(s.rises for s in repeating)} of {len(repeating)}"
    return charts.describe(
        chart,
        "Validation loss against images seen, logarithmic, a panel for each size and a colour for "
        "each sparsity; solid lines draw from all images, dashed ones repeat a few. In "
        f"{rising} series of few images the longest run is not the best.",
    )


def worth(fit: RepeatedFit, level: float) -> alt.LayerChart:
    """Passes that count, against passes made, dense and at the highest sparsity; with theirs."""
    passes = np.geomspace(1, PASSES, 60)
    values = []
    for S in (0.0, 0.75):
        tail = (1 - level) / 2
        ensemble = fit.ensemble
        assert ensemble is not None
        refits = ensemble.repetition.effective(S, passes, 1.0)
        refits = np.broadcast_to(refits, (len(refits), len(passes)))
        low, high = np.quantile(refits, [tail, 1 - tail], axis=0)
        ours = fit.law.repetition.effective(S, passes, 1.0)
        theirs = PUBLISHED_REPEATED.data.effective(S, passes, 1.0)
        for source, y in (("these runs", ours), ("Wu et al.", theirs)):
            ends = (low, high) if source == "these runs" else (y, y)
            values += [
                {"passes": p, "worth": v, "low": a, "high": b, "sparsity": S, "source": source}
                for p, v, a, b in zip(passes.tolist(), y.tolist(), *map(np.ndarray.tolist, ends),
                                      strict=True)
            ]  # fmt: skip
    data = alt.Data(values=values)
    x = charts.log_x("passes", "Passes over the images", domain=[1, PASSES], nice=False)
    colour = charts.sparsity_colour([0.0, 0.75])
    own = alt.Chart(data).transform_filter("datum.source == 'these runs'")
    area = own.mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", title="Fresh passes they are worth"), y2="high:Q", color=colour
    )
    dash = alt.StrokeDash("source:N", title="Fitted to", sort=["these runs", "Wu et al."])
    lines = alt.Chart(data).mark_line().encode(x=x, y="worth:Q", color=colour, strokeDash=dash)
    return charts.describe(
        area + lines,
        "Fresh passes that repeated passes are worth against passes made, logarithmic, for dense "
        "and 75 % sparse models: solid lines with bands fitted to these runs, dashed ones from the "
        "published law of language models. All begin at one and flatten.",
    )


def _images(U: float) -> str:
    return f"{U:,.0f} images"
