"""The page on repeated photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

from simlib.analysis.numbers import number, percent, sparsity_text, with_interval
from simlib.fit.repeated import RepeatedFit, RepeatedRuns, distinct_images
from simlib.laws.intervals import quantile_interval
from simlib.laws.law import Array, Bools
from simlib.laws.repeated import PUBLISHED_REPEATED
from simlib.pages import charts
from simlib.pages.tables import Table
from simlib.pages.words import out_of
from simlib.runs.cells import nominal_sizes, nominal_sparsities
from simlib.runs.table import RunRecord


def live_table(runs: Sequence[RunRecord], whole: int | None) -> Table:
    """Finished runs with how often each saw its images; `whole` None where none repeats."""
    rows = []
    for r in runs:
        limit = distinct_images(r.dataset, whole or 0)
        passes = f"{r.data_seen / limit:.1f}" if limit else "none twice"
        gap = "" if r.train_loss is None else f"{r.loss - r.train_loss:+.3f}"
        rows.append(
            (
                f"{limit:,}" if limit else "no end",
                passes,
                sparsity_text(r.sparsity),
                number(r.train_loss),
                with_error(r),
                gap,
            )
        )
    header = (
        "distinct images",
        "passes",
        "sparsity",
        "training loss",
        "validation loss",
        "validation above training",
    )
    return Table(header, rows)


def with_error(run: RunRecord) -> str:
    """A loss with its standard error over the validation images."""
    error = "" if run.loss_stderr is None else f" ± {run.loss_stderr:.3f}"
    return f"{run.loss:.3f}{error}"


@dataclass(frozen=True)
class Series:
    """Runs of one size, sparsity and set of images, by data seen; `own` marks them, (runs,)."""

    S: float
    N: float
    U: float
    D: Array
    L: Array
    own: Bools

    @property
    def rises(self) -> bool:
        """Whether the longest run is worse than a shorter one."""
        return bool(self.L[-1] > self.L.min())


def risen(runs: RepeatedRuns) -> Bools:
    """Which runs saw more of the same images than a better run of their series, shape (runs,)."""
    found = np.zeros(len(runs), dtype=bool)
    for s in series_of(runs):
        found |= s.own & (s.D[np.argmin(s.L)] < runs.D)
    return found


def series_of(runs: RepeatedRuns) -> list[Series]:
    """The runs in series, dense first, then by size and images."""
    keys = np.stack([nominal_sparsities(runs.S), nominal_sizes(runs.N), runs.U], axis=1)
    found = []
    for S, N, U in np.unique(keys, axis=0):
        own = (keys == (S, N, U)).all(axis=1)
        order = np.argsort(runs.D[own])
        found.append(Series(S, N, U, runs.D[own][order], runs.L[own][order], own))
    return found


def cost_table(runs: RepeatedRuns) -> Table:
    """What repeats cost at the most data: mean and range over sizes of the loss above fresh."""
    most = runs.D.max()
    found = series_of(runs)
    few = min(s.U for s in found)
    rows = []
    for S in sorted({s.S for s in found}):
        pairs = [
            (s.L[-1], t.L[-1])
            for s in found
            for t in found
            if s.S == t.S == S and s.N == t.N and s.U == few < t.U and s.D[-1] == t.D[-1] == most
        ]
        rise = np.array([a - b for a, b in pairs])
        ends = f" ({rise.min():+.3f} to {rise.max():+.3f})" if len(rise) > 1 else ""
        rows.append((sparsity_text(S), str(len(rise)), f"{rise.mean():+.3f}{ends}"))
    return Table(("sparsity", "pairs", "loss above that of more distinct images"), rows)


def reading_table(fits: Sequence[RepeatedFit], outside: Mapping[str, float]) -> Table:
    """Each way to count repeats: free coefficients, error on its runs and, by name, left out."""
    rows = [
        (f.reading.name, str(f.free), percent(f.log_rmse, 2), percent(outside[f.reading.name], 2))
        for f in fits
    ]
    return Table(
        ("how repeats count", "free coefficients", "error", "error on the run left out"), rows
    )


def worth_table(
    fits: Mapping[str, RepeatedFit], sparsities: Sequence[float], level: float
) -> Table:
    """R(S) of fits with intervals, beside the published one for language models."""
    rows = []
    for S in sparsities:
        cells = []
        for fit in fits.values():
            ends = fit.interval(lambda law, S=S: law.repetition.saturation(S), level)  # type: ignore[misc]
            cells.append(with_interval(float(fit.law.repetition.saturation(S)), ends))
        rows.append(
            (sparsity_text(S), *cells, number(float(PUBLISHED_REPEATED.data.saturation(S))))
        )
    return Table(("sparsity", *(f"R(S), {name}" for name in fits), "R(S), Wu et al."), rows)


PANELS = 2  # beside each other
PASSES = 40.0  # to which the curves of worth reach


def losses(runs: RepeatedRuns) -> alt.FacetChart:
    """Validation loss against images seen, solid on all images, dashed on few; a panel a size."""
    found = series_of(runs)
    most = max(s.U for s in found)
    values = [
        {"D": D, "loss": L, "sparsity": s.S, "images": _images(s.U), "size": _weights(s.N)}
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
    order = [_weights(N) for N in sorted({s.N for s in found})]
    facet = alt.Facet("size:N", title=None, sort=order)
    chart = layers.facet(facet, columns=PANELS, data=alt.Data(values=values))
    repeating = [s for s in found if most != s.U]
    rising = out_of(sum(s.rises for s in repeating), len(repeating), "series", "series")
    return charts.describe(
        chart,
        "Validation loss against images seen, logarithmic, a panel for each size and a colour for "
        "each sparsity; solid lines draw from all images, dashed ones repeat a few. The longest "
        f"run is worse than a shorter one in {rising} of few images.",
    )


def worth(fit: RepeatedFit, level: float) -> alt.LayerChart:
    """Passes that count, against passes made, dense and at the highest sparsity; with theirs."""
    passes = np.geomspace(1, PASSES, 60)
    values = []
    for S in (0.0, 0.75):
        ensemble = fit.ensemble
        assert ensemble is not None
        refits = ensemble.repetition.effective(S, passes, 1.0)
        refits = np.broadcast_to(refits, (len(refits), len(passes)))
        low, high = quantile_interval(refits, level)
        ours = fit.law.repetition.effective(S, passes, 1.0)
        theirs = PUBLISHED_REPEATED.data.effective(S, passes, 1.0)
        for source, y in (("these runs", ours), ("Wu et al.", theirs)):
            ends = (low, high) if source == "these runs" else (y, y)
            values += [
                {"passes": p, "worth": v, "low": a, "high": b, "sparsity": S, "source": source}
                for p, v, a, b in zip(
                    passes.tolist(), y.tolist(), *map(np.ndarray.tolist, ends), strict=True
                )
            ]
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
        "and 75% sparse models: solid lines with bands fitted to these runs, dashed ones from the "
        "published law of language models. All begin at one and flatten.",
    )


def _weights(N: float) -> str:
    return f"{float(f'{N:.2g}'):,.0f} weights"


def _images(U: float) -> str:
    return f"{U:,.0f} images"
