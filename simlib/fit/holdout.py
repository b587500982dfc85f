"""Prediction of runs that a fit has not seen: a size, a sparsity, the largest, the longest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simlib.errors import InputError
from simlib.laws.law import Array, Bools, Law
from simlib.laws.rivals import find_levels, level_index
from simlib.runs.cells import Columns, size_index


@dataclass(frozen=True)
class Holdout:
    """How a form predicts runs that were held out of its fit.

    `log_rmse` and `bias` are the root mean square and the mean of log(predicted) - log(measured)
    over the held-out runs; None where the rest of the table cannot identify the form, and then
    `refused` says why. `unpredicted` counts held-out runs outside the fitted law's domain.
    """

    name: str
    runs: int
    log_rmse: float | None
    bias: float | None
    unpredicted: int = 0
    refused: str = ""


def splits(runs: Columns) -> dict[str, list[Bools]]:
    """What is held out: each size in turn, each sparsity above 0 in turn, largest and longest."""
    size, data = size_index(runs.N), size_index(runs.D)
    levels = find_levels(runs.sparsity)
    sparsity = level_index(levels, runs.sparsity)
    return {
        "one size": [size == i for i in range(size.max() + 1)],
        "one sparsity": [sparsity == i for i in range(1, len(levels) + 1)],
        "largest size": [size == size.max()],
        "longest training": [data == data.max()],
    }


def summarise(name: str, residuals: Iterator[Array], runs: int) -> Holdout:
    """The errors of all held-out runs together; a refused fit refuses the whole."""
    if not runs:
        return Holdout(name, runs, None, None, refused="the table has no such run")
    try:
        error = np.concatenate(list(residuals))
    except InputError as refusal:
        return Holdout(name, runs, None, None, refused=str(refusal))
    seen = error[np.isfinite(error)]
    if not len(seen):
        return Holdout(name, runs, None, None, runs, "no held-out run lies in the law's domain")
    rmse = float(np.sqrt((seen**2).mean()))
    return Holdout(name, runs, rmse, float(seen.mean()), len(error) - len(seen))


def residuals(law: Law, runs: Columns) -> Array:
    """log(predicted) - log(measured), NaN where the law refuses to predict."""
    columns = (runs.sparsity, runs.nonzero_params, runs.data_seen)
    try:
        predicted = law(*columns)
    except InputError:
        predicted = np.array([_one(law, *point) for point in zip(*columns, strict=True)])
    return np.asarray(np.log(predicted) - np.log(runs.loss))


def _one(law: Law, S: float, N: float, D: float) -> float:
    try:
        return float(law(S, N, D))
    except InputError:
        return float("nan")
