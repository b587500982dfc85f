"""Which runs, once measured, would tell most about a difference that a plan turns on.

The ensemble stands for what is known. Between losses of candidate runs and the difference it is
taken as jointly normal; measuring a run with noise then explains a share of the difference's
variance, and the best run is the one that explains most for its price.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import Array
from simlib.laws.optimum import COSTS
from simlib.simulate.blocks import ensemble_of
from simlib.simulate.forecast import fitted_range, residual_noise

AFFORDABLE = 0.01  # share of a plan's budget that one measurement may cost
SIZES, DATA = 7, 7  # candidates along each axis
BEYOND = 30.0  # times the largest fitted N and D that candidates reach


@dataclass(frozen=True)
class Measurement:
    """A run worth measuring: where, at what cost in FLOP under dense cost, and what it tells.

    `explains` is the share of the variance of the difference that this and the runs before it in
    the list explain together; `changes_the_answer` the probability that they turn its sign.
    """

    sparsity: float
    nonzero_params: float
    data_seen: float
    flops: float
    explains: float
    changes_the_answer: float


def deciding_runs(
    law_file: FittedLaw,
    difference: Array,
    most_flops: float,
    *,
    count: int = 3,
    noise: float | None = None,
) -> tuple[Measurement, ...]:
    """Up to `count` runs, each the most telling one after those before it.

    `difference` has one value a member: a difference of losses, or any quantity that matters.
    Candidates lie on a grid from the fitted range to `BEYOND` times its largest size and data,
    and cost at most `most_flops` each.
    """
    noise = residual_noise(law_file) if noise is None else noise
    S, N, D, price = _candidates(law_file, most_flops)
    if not len(S) or not difference.std() > 0:
        return ()
    losses = np.log(ensemble_of(law_file).expand(1)(S, N, D))
    joint = np.concatenate([losses, difference[:, None]], axis=1)
    covariance = np.cov(joint, rowvar=False)
    prior, mean = covariance[-1, -1], float(difference.mean())
    found = []
    for _ in range(count):
        told = covariance[:-1, -1] ** 2 / (np.diag(covariance)[:-1] + noise**2)
        at = int(np.argmax(told))
        column = covariance[:, at]
        covariance = covariance - np.outer(column, column) / (column[at] + noise**2)
        explained = float(np.clip(1 - covariance[-1, -1] / prior, 0, 1))
        turned = float(ndtr(-abs(mean) / np.sqrt(max(explained * prior, 1e-300))))
        found.append(
            Measurement(
                float(S[at]), float(N[at]), float(D[at]), float(price[at]), explained, turned
            )
        )
    return tuple(found)


def _candidates(law_file: FittedLaw, most_flops: float) -> tuple[Array, Array, Array, Array]:
    """S, N, D and cost of the affordable runs of the grid."""
    low, high = fitted_range(law_file)
    densities = np.array([1.0, 0.5, 0.25, 0.125])
    S, N, D = (
        axis.ravel()
        for axis in np.meshgrid(
            1 - densities[1 - densities <= high[0]],
            np.geomspace(low[1], BEYOND * high[1], SIZES),
            np.geomspace(low[2] / 4, BEYOND * high[2], DATA),
        )
    )
    price = COSTS["dense"].flops(S, N, D)
    keep = price <= most_flops
    return S[keep], N[keep], D[keep], price[keep]
