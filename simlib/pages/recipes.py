"""What recipe runs say: how far a rate may miss its best, which changes lost, what masks save."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from simlib.analysis.contrasts import FAMILIES
from simlib.analysis.numbers import number, percent, sparsity_text
from simlib.errors import InputError
from simlib.laws.costs import training_flops
from simlib.laws.intervals import LEVEL
from simlib.laws.law import Array
from simlib.pages import charts
from simlib.pages.names import nats
from simlib.pages.tables import Table
from simlib.pages.words import out_of
from simlib.runs.cells import Spread
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, RunTable

NORMS = {True: "with norms", False: "without norms"}
FIELDS = {"lr_schedule": "schedule of the rate", "batch": "batch"}


class Attempt(NamedTuple):
    """A run beside its configuration, which holds what the run table does not."""

    config: RunConfig
    run: RunRecord


def joined(runs: RunTable, configs: Iterable[RunConfig]) -> list[Attempt]:
    """Every run with its configuration, by run_id.

    Raises InputError for a run that none of the configurations describes.
    """
    known = {c.run_id: c for c in configs}
    unknown = [r.run_id for r in runs if r.run_id not in known]
    if unknown:
        raise InputError(f"run {unknown[0]} is not of this grid: give the grid it was trained by")
    return [Attempt(known[r.run_id], r) for r in runs]


def excess(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Loss of every run above the best rate's, one row a run, of curves with several rates.

    A curve holds runs that differ in their rate alone. `excess` is a share of the loss, `ratio`
    the rate over the best one.
    """
    rows = []
    for curve in rate_curves(attempts):
        best = min(curve, key=lambda a: a.run.loss)
        rows += [
            {
                "family": FAMILIES[config.family],
                "norms": NORMS[config.qk_norm],
                "run": f"{FAMILIES[config.family]} of {config.nonzero_params:,} weights at "
                f"{sparsity_text(config.sparsity)} sparsity",
                "ratio": config.peak_lr / best.config.peak_lr,
                "excess": run.loss / best.run.loss - 1,
            }
            for config, run in curve
        ]
    return rows


def missed_rates(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Excess loss against the rate over the best one, a line a curve, coloured by norms."""
    scale = alt.Scale(domain=list(NORMS.values()))
    chart = alt.Chart(alt.Data(values=[dict(row) for row in rows])).mark_line(point=True)
    chart = chart.encode(
        x=charts.log_x("ratio", "Learning rate over the best one"),
        y=alt.Y("excess:Q", title="Loss above the best", axis=alt.Axis(format="%")),
        color=alt.Color("norms:N", title="Queries and keys", scale=scale),
        strokeDash=alt.StrokeDash("norms:N", title="Queries and keys", scale=scale),
        detail="run:N",
    )
    worst = max(rows, key=lambda row: float(row["excess"]))
    text = f"""Loss above that of the best learning rate against the rate over the best one, a line
        for each family, size and sparsity, with and without norms of queries and keys. The
        worst, {worst["run"]} {worst["norms"]}, lies {percent(worst["excess"])} above its best
        at {number(worst["ratio"], 2)} times the best rate."""
    described: alt.Chart = charts.describe(chart, text)
    return described


def missed_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Mean excess at each multiple of the best rate, by family, with and without norms."""
    ratios = sorted({_multiple(row) for row in rows})
    groups = list(dict.fromkeys((row["family"], row["norms"]) for row in rows))
    return Table(
        ("family", "queries and keys", *(f"{number(m, 2)} × the best rate" for m in ratios)),
        [(*group, *(_mean_excess(rows, group, m) for m in ratios)) for group in groups],
    )


def costlier_above(rows: Sequence[Mapping[str, Any]]) -> str:
    """`3 of 4 rows`: those of `missed_table` where twice the best rate costs more than half."""
    means: dict[tuple[str, str], dict[float, float]] = {}
    for group in dict.fromkeys((row["family"], row["norms"]) for row in rows):
        own = [row for row in rows if (row["family"], row["norms"]) == group]
        at = {m: [r["excess"] for r in own if _multiple(r) == m] for m in (0.5, 2.0)}
        if all(at.values()):
            means[group] = {m: float(np.mean(found)) for m, found in at.items()}
    return out_of(sum(cost[2.0] > cost[0.5] for cost in means.values()), len(means), "row")


def _multiple(row: Mapping[str, Any]) -> float:
    return float(f"{row['ratio']:.3g}")


def _mean_excess(rows: Sequence[Mapping[str, Any]], group: tuple[str, str], at: float) -> str:
    found = [
        row["excess"]
        for row in rows
        if (row["family"], row["norms"]) == group and _multiple(row) == at
    ]
    return f"{np.mean(found):.1%} ({len(found)})" if found else "–"


def changes_table(attempts: Sequence[Attempt], fields: Sequence[str], spread: Spread) -> Table:
    """Runs that differ from another in one of `fields` alone, against it and the seed's noise.

    The other is the run with the field's default. `spread` is that of log loss over seeds: a
    change is beyond it if it exceeds what 90% of differences of two seeds stay below.
    """
    noise = NormalDist().inv_cdf((1 + LEVEL) / 2) * np.sqrt(2) * spread.deviation
    rows = []
    for field in fields:
        for config, run in attempts:
            default = RunConfig.model_fields[field].default
            if getattr(config, field) == default:
                continue
            twin = config.model_copy(update={field: default})
            for other, base in attempts:
                if other == twin:
                    d = float(np.log(run.loss / base.loss))
                    said = "within the noise" if abs(d) < noise else "worse" if d > 0 else "better"
                    changed = f"{getattr(config, field)} in place of {default}"
                    what = f"{FIELDS.get(field, field)}: {changed}"
                    rows.append((what, sparsity_text(config.sparsity), f"{np.expm1(d):+.1%}", said))
    return Table(("change", "sparsity", "loss", "against the spread over seeds"), rows)


def time_table(runs: RunTable) -> Table:
    """Time of a step of sparse runs over that of dense runs of the same size under the mask.

    Beside it the share of the multiplications with weights that is left if zeros are skipped.
    """
    pace: dict[int, dict[bool, list[float]]] = defaultdict(lambda: {True: [], False: []})
    for r in runs.finished:
        if r.seconds and r.steps and r.dense_params:
            pace[r.dense_params][r.sparsity > 0].append(r.seconds / r.steps)
    left = _work_left(runs)
    rows = []
    for size, found in sorted(pace.items()):
        if found[True] and found[False]:
            dense, sparse = (float(np.median(found[kind])) for kind in (False, True))
            counts = f"{len(found[False])}, {len(found[True])}"
            rows.append(
                (
                    f"{size:,}",
                    counts,
                    f"{1000 * dense:.1f}",
                    f"{1000 * sparse:.1f}",
                    percent(sparse / dense),
                    percent(left[size]),
                )
            )
    header = (
        "weights under the mask",
        "runs (dense, sparse)",
        "dense, ms a step",
        "sparse, ms a step",
        "time, sparse over dense",
        "work without zeros",
    )
    return Table(header, rows)


def _work_left(runs: RunTable) -> dict[int, float]:
    """Mean share of weights that are not zero over training, of sparse runs, by dense size."""
    found: dict[int, list[float]] = defaultdict(list)
    for r in runs.finished:
        if r.sparsity > 0 and r.flops and r.dense_params:
            found[r.dense_params].append(r.flops / training_flops(r.dense_params, r.data_seen))
    return {size: float(np.mean(shares)) for size, shares in found.items()}


def learning_rates(attempts: Sequence[Attempt]) -> alt.Chart:
    """Loss against peak learning rate, dense and sparse; the reader chooses the size."""
    runs = [a for curve in rate_curves(attempts) for a in curve]
    sizes = sorted({a.config.nonzero_params for a in runs})
    options = [f"{size:,}" for size in sizes]
    pick = alt.param(
        name="recipe_size",
        value=options[-1],
        bind=alt.binding_radio(options=options, name="Non-zero parameters"),
    )
    data = charts.rows(
        rate=[a.config.peak_lr for a in runs],
        loss=[a.run.loss for a in runs],
        sparsity=[a.config.sparsity for a in runs],
        size=[f"{a.config.nonzero_params:,}" for a in runs],
        norms=[NORMS[a.config.qk_norm] for a in runs],
    )
    known = [name for name in NORMS.values() if any(NORMS[a.config.qk_norm] == name for a in runs)]
    chart = (
        alt.Chart(data)
        .mark_line(point=alt.OverlayMarkDef(filled=True, size=60))
        .transform_filter("datum.size == recipe_size")
        .encode(
            x=charts.log_x("rate", "Peak learning rate"),
            y=alt.Y(
                "loss:Q",
                title=f"Validation loss ({nats(runs[0].config.family)})",
                scale=alt.Scale(zero=False),
            ),
            color=charts.sparsity_colour([a.config.sparsity for a in runs]),
            strokeDash=alt.StrokeDash(
                "norms:N", title="Queries and keys", scale=alt.Scale(domain=known)
            ),
        )
        .add_params(pick)
    )
    worst = max(runs, key=lambda a: a.run.loss)
    text = f"""Validation loss of {len(runs)} short runs against peak learning rate, one colour a
        sparsity, dashed without norms of queries and keys. The lowest point of a line is its best
        rate, and the steep rise to its right the cliff. Choose the size below the chart. The
        highest loss, {number(worst.run.loss, 3)}, is at rate {number(worst.config.peak_lr)} in a
        model of {worst.config.nonzero_params:,} non-zero weights {NORMS[worst.config.qk_norm]}."""
    described: alt.Chart = charts.describe(chart, text)
    return described


def rate_curves(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """Recipe runs that differ in their rate alone, by rising rate; single runs are left out."""
    curves: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        # the rate is left out: runs of one rate rule differ in it by their width
        own = {k: v for k, v in attempt.config.canonical.items() if k != "lr"}
        curves.setdefault(repr(sorted(own.items())), []).append(attempt)
    return [sorted(c, key=lambda a: a.config.peak_lr) for c in curves.values() if len(c) > 1]


def rate_table(attempts: Sequence[Attempt]) -> Table:
    """Best peak rate of each curve, whether it is at the edge of the grid, and the cliff above."""
    rows = []
    for curve in rate_curves(attempts):
        losses = np.array([a.run.loss for a in curve])
        best = int(losses.argmin())
        config = curve[best].config
        edge = " (edge)" if best in (0, len(curve) - 1) else ""
        rows.append(
            (
                f"{config.nonzero_params:,}",
                str(config.shape.width),
                sparsity_text(config.sparsity),
                NORMS[config.qk_norm],
                number(config.peak_lr) + edge,
                number(losses[best], 4),
                *(_above(losses, best + k) for k in (1, 2)),
                percent(max(_cliff(losses), 0.0), 1),
            )
        )
    header = (
        "non-zero weights",
        "width",
        "sparsity",
        "queries and keys",
        "best rate",
        "loss",
        "next rate",
        "the one after",
        "steepest step",
    )
    return Table(header, rows)


def _above(losses: Array, at: int) -> str:
    return "–" if at >= len(losses) else f"{losses[at] / losses.min() - 1:+.1%}"


def _cliff(losses: Array) -> float:
    return float((losses[1:] / losses[:-1]).max() - 1)
