"""Recorded training curves in a compact form, and those that ship with the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from simlib.catalog import Catalog
from simlib.errors import InputError


@dataclass(frozen=True)
class TrainingCurve:
    """One run's training, thinned: every point is the mean of a bin of equally many logged ones.

    All lists have one length. `data_seen` in tokens or images, `loss` the training loss in nats,
    `sparsity` that of the moment, `lr` the learning rate.
    """

    run_id: str
    data_seen: list[float]
    loss: list[float]
    sparsity: list[float]
    lr: list[float]


@dataclass(frozen=True)
class CurveFile:
    """Curves of some runs of a table, and how they were made."""

    table: str
    made: dict[str, str]
    curves: list[TrainingCurve]


CATALOG = Catalog(CurveFile, "curves", "set of curves")


@cache
def load_curves(name: str) -> CurveFile:
    """Shipped curves by the name of their table, or the reader's own by path."""
    return CATALOG.load(name)


def thin(
    run_id: str, curve: Mapping[str, Sequence[float | None]], data_per_step: float, points: int
) -> TrainingCurve:
    """The curve of a side file as at most `points` bins of consecutive logged points.

    Bins are equally wide in steps, up to one logged point. A bin where nothing finite was logged
    is left out. Raises InputError for fewer than two points or an empty curve.
    """
    if points < 2 or not curve["step"]:
        raise InputError(
            f"run {run_id}: {len(curve['step'])} logged points cannot be thinned to {points}: "
            "ask for at least 2 of a run that has a curve"
        )
    columns = {n: np.array(curve[n], float) for n in ("step", "loss", "sparsity", "lr")}
    keep = np.isfinite(columns["loss"])
    bins = np.array_split(np.arange(keep.size), min(points, keep.size))
    kept = [part[keep[part]] for part in bins if keep[part].any()]
    means = {n: [_short(c[part].mean()) for part in kept] for n, c in columns.items()}
    return TrainingCurve(run_id, [_short(s * data_per_step) for s in means.pop("step")], **means)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
