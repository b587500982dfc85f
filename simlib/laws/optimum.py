"""Cost of sparse training, optimal sparsity, and the Chinchilla line, for any joint law.

At a fixed number of non-zero parameters N and training cost C, more sparsity means a larger model
under the mask and so less data. The best trade has a simple structure: with s = 1 - S the density,
stationarity reads `h(s) = k(N, C)`, where h depends on the law's exponents and the cost model alone
and k only on N and C, linearly in their logarithms. So all (N, C) share one curve h, and lines of
equal optimal sparsity are parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.law import Array, DenseLaw, JointLaw, fraction, positive
from simlib.paper import MEAN_SHARE, PRUNE_END, PRUNE_START


@dataclass(frozen=True)
class CostModel:
    """Training cost `C = 6 N D c_mul(S)` with `c_mul(S) = dense_share / (1 - S) + sparse_share`.

    Frantar et al. 2024, section 4. `c_mul` is the mean density over training divided by the final
    density; it has this form for every schedule whose density is linear in the final sparsity.
    """

    name: str
    dense_share: float
    sparse_share: float

    def multiplier(self, S: ArrayLike) -> Array:
        """`c_mul(S)`: cost relative to training a dense model of N parameters throughout."""
        return np.asarray(self.dense_share / (1 - fraction(S)) + self.sparse_share)

    def flops(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Array:
        """Training cost in FLOP of N non-zero parameters on D tokens or images."""
        per_datum = FLOP_PER_PARAMETER_AND_DATUM * positive("nonzero_params", N)
        return per_datum * positive("data_seen", D) * self.multiplier(S)

    def data_seen(self, S: ArrayLike, N: ArrayLike, flops: ArrayLike) -> Array:
        """Tokens or images that a budget in FLOP pays for."""
        per_datum = FLOP_PER_PARAMETER_AND_DATUM * positive("nonzero_params", N)
        return positive("flops", flops) / (per_datum * self.multiplier(S))


def schedule_cost(name: str, progress: Callable[[Array], Array]) -> CostModel:
    """The cost model of a pruning schedule that saves every multiplication with a zero.

    `progress(t)` for t in [0, 1] is the share of the final sparsity reached at that share of
    training. Mean density is `1 - S m` with m the mean of `progress`, by quadrature.
    """
    from scipy.integrate import fixed_quad  # not at the top: it takes long to import

    nodes = np.linspace(0, 1, 401)  # a composite rule: schedules have corners
    parts = (
        fixed_quad(lambda t: np.asarray(progress(t)), a, b, n=5)[0] for a, b in pairwise(nodes)
    )
    mean = float(sum(parts))
    return CostModel(name, 1 - mean, mean)


def cubic_progress(start: float = PRUNE_START, end: float = PRUNE_END) -> Callable[[Array], Array]:
    """Share of the final sparsity under the cubic schedule of Zhu & Gupta 2017 (1710.01878)."""

    def progress(t: Array) -> Array:
        done = np.clip((np.asarray(t) - start) / (end - start), 0, 1)
        return np.asarray(1 - (1 - done) ** 3)

    return progress


COSTS = {
    "dense": CostModel("dense", 1.0, 0.0),  # no multiplication is saved while training
    "sparse": CostModel("sparse", 1 - MEAN_SHARE, MEAN_SHARE),  # by the paper's schedule
}


def cost_model(cost: str | CostModel) -> CostModel:
    """The named cost model. Raises InputError for an unknown name."""
    if isinstance(cost, CostModel):
        return cost
    if cost not in COSTS:
        raise InputError(f"unknown cost model {cost!r}: choose one of {', '.join(COSTS)}")
    return COSTS[cost]


def optimal_sparsity(
    law: JointLaw, N: ArrayLike, flops: ArrayLike, cost: str | CostModel = "dense"
) -> Array:
    """The S that minimises the loss at N non-zero parameters and a training cost in FLOP.

    N, flops and the law's coefficients broadcast. 0 where dense is best. Closed form for dense
    cost (Frantar et al. 2024, equation 5), inversion of a monotone curve by Newton otherwise.
    """
    model = cost_model(cost)
    target = _position(law, positive("nonzero_params", N), positive("flops", flops))
    if model.sparse_share == 0:
        log_density = (target - _slope_offset(model)) / (law.b_S + law.b_D)
    else:
        log_density = _invert(law, model, target)
    sparse = 0.0 - np.expm1(np.minimum(log_density, 0.0))
    return np.where(law.a_S * law.b_S > 0, sparse, 0.0)  # else sparsity gains nothing


def _position(law: JointLaw, N: Array, flops: Array) -> Array:
    """`k(N, C)`: where a point lies across the parallel lines of equal optimal sparsity."""
    per_parameter = np.log(flops) - np.log(FLOP_PER_PARAMETER_AND_DATUM * N)
    gain = np.maximum(law.a_S * law.b_S, 1e-300)
    balance = np.log(law.b_D) + law.b_D * np.log(law.a_D) - np.log(gain)
    return np.asarray(balance + law.b_N * np.log(N) - law.b_D * per_parameter)


def _slope_offset(model: CostModel) -> float:
    return float(-np.log(model.dense_share))


def _curve(law: JointLaw, model: CostModel, log_density: Array) -> Array:
    """`h(s) = (b_S + 1) ln s + (1 - b_D) ln c_mul(s) - ln dense_share`, increasing in s."""
    multiplier = model.dense_share * np.exp(-log_density) + model.sparse_share
    bend = (1 - law.b_D) * np.log(multiplier)
    return np.asarray((law.b_S + 1) * log_density + bend + _slope_offset(model))


def _curve_slope(law: JointLaw, model: CostModel, log_density: Array) -> Array:
    dense = model.dense_share * np.exp(-log_density)
    return np.asarray(law.b_S + 1 - (1 - law.b_D) * dense / (dense + model.sparse_share))


def _invert(law: JointLaw, model: CostModel, target: Array) -> Array:
    """Solve `h = target` for ln s; h is monotone and nearly linear, so Newton takes a few steps."""
    log_density = np.clip((target - _slope_offset(model)) / (law.b_S + law.b_D), -700.0, 0.0)
    for _ in range(60):
        step = (_curve(law, model, log_density) - target) / _curve_slope(law, model, log_density)
        log_density = np.clip(log_density - step, -700.0, 50.0)
        if np.all(np.abs(step) < 1e-13 * (1 + np.abs(log_density))):
            break
    return log_density


def contour(law: JointLaw, S: ArrayLike, N: ArrayLike, cost: str | CostModel = "dense") -> Array:
    """The training cost in FLOP at which S is optimal for N: a line of equal optimal sparsity.

    At S = 0 it is the cost above which any sparsity pays.
    """
    model = cost_model(cost)
    log_density = np.log1p(-fraction(S))
    at_one_flop = _position(law, positive("nonzero_params", N), np.ones(()))
    return np.asarray(np.exp((at_one_flop - _curve(law, model, log_density)) / law.b_D))


def chinchilla_flops(law: JointLaw | DenseLaw, N: ArrayLike) -> Array:
    """The training cost in FLOP for which N is the compute-optimal dense size.

    `alpha A N^-alpha = beta B D^-beta` with `C = 6 N D` (Hoffmann et al. 2022, section 3.3).
    """
    dense = law.dense if isinstance(law, JointLaw) else law
    N = positive("nonzero_params", N)
    log_D = (
        np.log(dense.beta * dense.B) - np.log(dense.alpha * dense.A) + dense.alpha * np.log(N)
    ) / dense.beta
    return np.asarray(FLOP_PER_PARAMETER_AND_DATUM * N * np.exp(log_D))


def chinchilla_params(law: JointLaw | DenseLaw, flops: ArrayLike) -> Array:
    """The compute-optimal dense size for a training cost in FLOP: inverse of `chinchilla_flops`."""
    dense = law.dense if isinstance(law, JointLaw) else law
    one = np.log(chinchilla_flops(dense, 1.0))
    log_N = (np.log(positive("flops", flops)) - one) / (1 + dense.alpha / dense.beta)
    return np.asarray(np.exp(log_N))


def compute_multiple(law: JointLaw, S: ArrayLike, cost: str | CostModel = "dense") -> Array:
    """How many times the Chinchilla cost of N makes S optimal for N; the same for every N."""
    N = np.ones(())
    return np.asarray(contour(law, S, N, cost) / chinchilla_flops(law, N))


def break_even_multiple(law: JointLaw, S: ArrayLike, cost: str | CostModel = "dense") -> Array:
    """How many times the Chinchilla cost of N makes S as good as dense at equal N and cost.

    The loss at S falls below the dense one where what sparsity takes off the size term makes up for
    the data it costs, `N^-b_N (m(0) - m(S)) = (c_mul(S)^b_D - 1) (a_D / D)^b_D` with D the dense
    model's data and m the factor on the size term; the same for every N. 0 where sparsity costs no
    data, infinite where it gains nothing.
    """
    spent = cost_model(cost).multiplier(S) ** law.b_D - 1
    gained = law.a_S * -np.expm1(law.b_S * np.log1p(-fraction(S)))
    with np.errstate(divide="ignore"):
        data = law.a_D * (spent / gained) ** (1 / law.b_D)
    return np.asarray(FLOP_PER_PARAMETER_AND_DATUM * data / chinchilla_flops(law, np.ones(())))


def chinchilla_sparsity(law: JointLaw, cost: str | CostModel = "dense") -> Array:
    """The optimal sparsity at the Chinchilla point itself, the same for every N."""
    N = np.ones(())
    return optimal_sparsity(law, N, chinchilla_flops(law, N), cost)
