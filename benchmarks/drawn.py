"""Laws and tables drawn by chance, each by its number: plausible ones, and some no fit likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import contour
from simlib.runs.cells import Columns

LEVELS = (
    (0.0, 0.5, 0.75),
    (0.0, 0.5, 0.75, 0.875),
    (0.0, 0.25, 0.5, 0.75, 0.9),
)
ODD = 5  # how many times a run that is an outlier errs as much
FURTHER = 4  # beyond the largest size and the longest training


@dataclass(frozen=True)
class Drawn:
    """A table of runs, the law that they are drawn from, and whether some are outliers.

    `point` is a sparsity, size and amount of data four times beyond the table; at `size` and
    `flops` the law's optimal sparsity under dense cost is one half.
    """

    runs: Columns
    law: JointLaw
    outliers: bool
    point: tuple[float, float, float]
    size: float
    flops: float


def drawn(number: int) -> Drawn:
    """The table of a number: 36 to 245 runs of a plausible design, with 0.3 to 5% of noise.

    In every fourth table one run in twenty is an outlier, with five times the noise.
    """
    rng = np.random.default_rng([1, number])
    law, runs = _law(rng), _design(rng)
    noise = _log_uniform(rng, 0.003, 0.05)
    outliers = number % 4 == 3
    scale = np.where(rng.random(len(runs)) < 0.05, ODD, 1) if outliers else 1
    return _drawn(law, _measured(law, runs, noise * scale, rng), outliers)


def _drawn(law: JointLaw, runs: Columns, outliers: bool) -> Drawn:
    size = float(runs.N.max())
    beyond = (float(runs.S.max()), FURTHER * size, FURTHER * float(runs.D.max()))
    return Drawn(runs, law, outliers, beyond, size, float(contour(law, 0.5, size)))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _law(rng: np.random.Generator) -> JointLaw:
    """1 to 3 nats at 1e7 dense parameters and 0.3 to 1 at 1e9 data, over a floor of 0 to 2."""
    b_N, b_D = rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.8)
    size, data, share = rng.uniform(1.0, 3.0), rng.uniform(0.3, 1.0), rng.uniform(0.3, 0.7)
    scale = size * 1e7**b_N
    return JointLaw(
        a_S=share * scale,
        b_S=rng.uniform(0.6, 1.5),
        c_S=(1 - share) * scale,
        b_N=b_N,
        a_D=data ** (1 / b_D) * 1e9,
        b_D=b_D,
        c=rng.uniform(0.0, 2.0),
    )


def _design(rng: np.random.Generator) -> Columns:
    """A full grid of 3 to 5 sparsities, 3 to 7 sizes and amounts of data.

    Sizes span a factor of 5 to 100, data one of 2 to 50.
    """
    sizes, data = (
        middle * np.geomspace(1, span, rng.integers(3, 8)) / np.sqrt(span)
        for middle, span in ((1e7, _log_uniform(rng, 5, 100)), (1e9, _log_uniform(rng, 2, 50)))
    )
    S, N, D = (v.ravel() for v in np.meshgrid(LEVELS[rng.integers(3)], sizes, data))
    return Columns(S, N, D, np.ones_like(S))


def _measured(
    law: JointLaw, runs: Columns, noise: float | Array, rng: np.random.Generator
) -> Columns:
    loss = law(runs.S, runs.N, runs.D) * np.exp(noise * rng.standard_normal(len(runs)))
    return replace(runs, L=loss)


def pathological(number: int) -> tuple[str, Columns]:
    """A table that leaves coefficients open, misleads, or has no law behind it; of which kind."""
    kinds = list(PATHOLOGIES)
    rng = np.random.default_rng([2, number])
    return kinds[number % len(kinds)], PATHOLOGIES[kinds[number % len(kinds)]](rng)


Pathology = Callable[[np.random.Generator], Columns]


def _changed(noise: float, **changes: float) -> Pathology:
    """Tables of laws with some coefficients replaced."""
    return lambda rng: _measured(replace(_law(rng), **changes), _design(rng), noise, rng)


def _data_follow_size(rng: np.random.Generator) -> Columns:
    runs = _design(rng)
    data = 100 * runs.N * rng.uniform(0.9, 1.1, len(runs))
    return _measured(_law(rng), replace(runs, D=data), 0.005, rng)


def _narrow_data(rng: np.random.Generator) -> Columns:
    runs = _design(rng)
    return _measured(_law(rng), replace(runs, D=1e9 * (runs.D / 1e9) ** 0.1), 0.005, rng)


def _twelve_runs(rng: np.random.Generator) -> Columns:
    whole = _design(rng)
    kept = np.sort(rng.choice(len(whole), 12, replace=False))
    runs = Columns(*(column[kept] for column in (whole.S, whole.N, whole.D, whole.L)))
    return _measured(_law(rng), runs, 0.005, rng)


def _many_outliers(rng: np.random.Generator) -> Columns:
    runs = _design(rng)
    return _measured(_law(rng), runs, np.where(rng.random(len(runs)) < 0.3, 0.5, 0.005), rng)


def _no_law(rng: np.random.Generator) -> Columns:
    runs = _design(rng)
    return replace(runs, L=rng.uniform(1, 5, len(runs)))


PATHOLOGIES: dict[str, Pathology] = {
    "no floor": _changed(0.01, c=1e-6),
    "hardly any noise": _changed(1e-6),
    "noise of 20%": _changed(0.2),
    "b_S near zero": _changed(0.005, b_S=0.02),
    "sparsity costs nothing": _changed(0.005, a_S=1e-6),
    "data follow size": _data_follow_size,
    "data over a factor below 1.6": _narrow_data,
    "twelve runs": _twelve_runs,
    "outliers of 50%, three in ten": _many_outliers,
    "no law": _no_law,
}
