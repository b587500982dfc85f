"""The best size, data and sparsity for a budget that pays for training and for serving.

The budget is `C = N (6 D m(S) + k(S))` with m the training multiplier of the cost model and k the
serving FLOP of a parameter. In ln N, ln D and ln(1 - S) the loss and this constraint are sums of
exponentials of linear terms (for cost models, and for every ceiling of `Limits`), so the problem
is a geometric program: convex, with one optimum.

Without serving and ceilings it comes apart. Measured in dense-equivalent parameters
`M = eff(S) N`, a sparse run of cost C has the loss of a dense run of cost `C eff(S) / m(S)`. So
with N free the best sparsity maximises `eff(S) / m(S)`, whatever the budget, and size and data
follow from the dense optimum of that larger budget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.law import Array, JointLaw, positive
from simlib.laws.optimum import COSTS
from simlib.simulate.limits import Limits

GRID = 49  # sparsities that bracket the best one, evenly spaced in ln(1 - S)
GOLDEN = (5**0.5 - 1) / 2
GOLDEN_STEPS = 40
REPEAT_SPAN = np.log(1e3)  # about the training of a parameter that is best with fresh data
REPEAT_STEPS = 26  # to 1e-4 in its logarithm, so that the loss is exact to about 1e-9
NO_DATA = 1e-30  # tokens or images, of a run that the serving leaves nothing
COST_HALVINGS = 45
COST_RANGE = (1e3, 1e45)  # FLOP, within which the least cost of a loss is looked for


class TrainingCost(Protocol):
    """Anything that says how many times a dense run of N parameters a sparse run costs."""

    @property
    def name(self) -> str: ...
    def multiplier(self, S: ArrayLike) -> Array: ...


class Allocation(NamedTuple):
    """Sparsity, non-zero parameters and data seen of a run, arrays of one shape, and its loss."""

    S: Array
    N: Array
    D: Array
    loss: Array


def allocate(
    law: JointLaw,
    S: ArrayLike,
    flops: ArrayLike,
    cost: TrainingCost = COSTS["dense"],
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> Allocation:
    """The size and data that minimise the loss at sparsity S within a budget in FLOP.

    S, flops and the law's coefficients broadcast. The budget is spent exactly, unless ceilings on
    both size and data leave some of it, or the size is fixed and data has a ceiling. Where data
    runs out, ln D_eff is concave in ln D, so the problem stays convex and golden section finds the
    size.
    """
    S, flops = np.asarray(S, dtype=float), positive("flops", flops)
    if limits.fixed_params is not None:
        return _at_fixed_size(law, S, flops, cost, limits, limits.fixed_params)
    per_datum = FLOP_PER_PARAMETER_AND_DATUM * cost.multiplier(S)
    serving = limits.serving_flops(S)

    spent = np.exp(_log_training_share(law, S, flops, per_datum, serving))
    if limits.unique_data is not None:
        spent = _with_repeats(law, S, flops, per_datum, limits, spent)
    if limits.data_seen is not None:
        spent = np.minimum(spent, per_datum * limits.data_seen)
    free, most = flops / (serving + spent), limits.largest_params(S)
    N = np.minimum(free, most)
    # below the ceiling without the difference of two nearly equal numbers, where serving is most
    D = np.where(free <= most, spent / per_datum, (flops / N - serving) / per_datum)
    if limits.data_seen is not None:
        D = np.minimum(D, limits.data_seen)
    S, N, D = np.broadcast_arrays(S, N, D)
    return Allocation(S, N, D, np.asarray(law(S, N, limits.effective_data(S, D))))


def _at_fixed_size(
    law: JointLaw, S: Array, flops: Array, cost: TrainingCost, limits: Limits, N: float
) -> Allocation:
    """The run of N parameters that spends the budget; D is next to nothing where serving does."""
    per_datum = FLOP_PER_PARAMETER_AND_DATUM * cost.multiplier(S)
    D = np.maximum((flops / N - limits.serving_flops(S)) / per_datum, NO_DATA)
    if limits.data_seen is not None:
        D = np.minimum(D, limits.data_seen)
    S, size, D = np.broadcast_arrays(S, N, D)
    return Allocation(S, size, D, np.asarray(law(S, size, limits.effective_data(S, D))))


def _with_repeats(
    law: JointLaw, S: Array, flops: Array, per_datum: Array, limits: Limits, fresh: Array
) -> Array:
    """Training FLOP of a parameter that are best where data repeats, near those for fresh data."""
    serving = limits.serving_flops(S)

    def run(log_spent: Array) -> Allocation:
        spent = np.exp(log_spent)
        s, N, D = np.broadcast_arrays(S, flops / (serving + spent), spent / per_datum)
        return Allocation(s, N, D, np.asarray(law(s, N, limits.effective_data(s, D))))

    middle = np.log(fresh)
    return np.exp(_golden(run, middle - REPEAT_SPAN, middle + REPEAT_SPAN, REPEAT_STEPS))


def _log_training_share(
    law: JointLaw, S: Array, flops: Array, per_datum: Array, serving: Array
) -> Array:
    """ln of the training FLOP of a parameter, w, where the loss is stationary along the budget.

    `(1 + b_D) w - (1 - b_N) ln(k + e^w) = const` is increasing in w, so Newton finds it; without
    serving it is linear and one step is exact.
    """
    gain = np.log(law.b_D) + law.b_D * (np.log(law.a_D) + np.log(per_datum))
    target = gain - np.log(law.b_N * law.sparsity_factor(S)) + law.b_N * np.log(flops)
    w = np.asarray(target / (law.b_N + law.b_D))
    if not np.any(serving > 0):
        return w
    for _ in range(80):
        both = np.logaddexp(np.log(np.maximum(serving, 1e-300)), w)
        value = (1 + law.b_D) * w - (1 - law.b_N) * both - target
        step = value / (1 + law.b_D - (1 - law.b_N) * np.exp(w - both))
        w = w - step
        if np.all(np.abs(step) < 1e-14 * (1 + np.abs(w))):
            break
    return w


def best_allocation(
    law: JointLaw,
    flops: ArrayLike,
    cost: TrainingCost = COSTS["dense"],
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> Allocation:
    """The sparsity, size and data that minimise the loss within a budget in FLOP.

    flops and the law's coefficients broadcast. The sparsity is bracketed on a grid, so that cost
    models with steps are searched too, and refined by golden section.
    """
    flops = positive("flops", flops)
    if limits.sparsity == 0:
        return allocate(law, 0.0, flops, cost, limits)
    grid = np.linspace(0.0, np.log1p(-limits.sparsity), GRID)

    def run(log_density: Array) -> Allocation:
        return allocate(law, 0.0 - np.expm1(log_density), flops, cost, limits)

    losses = allocate(law.expand(1), 0.0 - np.expm1(grid), flops[..., None], cost, limits).loss
    at = np.argmin(losses, axis=-1)
    best = _golden(run, grid[np.minimum(at + 1, GRID - 1)], grid[np.maximum(at - 1, 0)])
    for end in (grid[-1], grid[0]):  # a tie is decided for the less sparse
        best = np.where(run(np.full_like(best, end)).loss <= run(best).loss, end, best)
    return run(best)


def _golden(
    run: Callable[[Array], Allocation], low: Array, high: Array, steps: int = GOLDEN_STEPS
) -> Array:
    """Where the loss is least between low and high, by golden section, elementwise."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = run(left).loss, run(right).loss
    for _ in range(steps):
        fall = at_left > at_right  # the minimum lies to the right of `left`
        low, high = np.where(fall, left, low), np.where(fall, high, right)
        new = np.where(fall, low + GOLDEN * (high - low), high - GOLDEN * (high - low))
        at_new = run(new).loss
        left, right = np.where(fall, right, new), np.where(fall, new, left)
        at_left, at_right = np.where(fall, at_right, at_new), np.where(fall, at_new, at_left)
    return 0.5 * (low + high)


def gain(law: JointLaw, S: ArrayLike, cost: TrainingCost = COSTS["dense"]) -> Array:
    """`eff(S) / m(S)`: what sparsity S multiplies a training budget with, size and data free.

    A sparse run of cost C at its best size reaches the loss of the best dense run of `gain C`.
    """
    return np.asarray(law.multiplier(S) / cost.multiplier(S))


def free_sparsity_dense_cost(law: JointLaw) -> Array:
    """The S that maximises `gain` under dense cost: with size and data free, for every budget.

    `(1 - S)^b_S = c_S b_N / (a_S (b_S - b_N))`; 0 where the right side is not below 1.
    """
    margin = law.b_S - law.b_N
    ratio = law.c_S * law.b_N / np.maximum(law.a_S * margin, 1e-300)
    inside = (margin > 0) & (ratio < 1)
    return np.where(inside, 1 - np.minimum(ratio, 1.0) ** (1 / np.maximum(law.b_S, 1e-300)), 0.0)


def least_flops(
    law: JointLaw,
    loss: float,
    cost: TrainingCost = COSTS["dense"],
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> Array:
    """The least budget in FLOP that reaches a loss; infinite where none does.

    The loss falls with the budget, so bisection on its logarithm finds it.
    """
    if not (np.isfinite(loss) and loss > 0):
        raise InputError(f"a target loss must be positive and finite, got {loss}")
    ones = np.ones(np.shape(law.c))
    low, high = (np.log(end) * ones for end in COST_RANGE)
    for _ in range(COST_HALVINGS):
        middle = 0.5 * (low + high)
        enough = best_allocation(law, np.exp(middle), cost, limits).loss <= loss
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    out_of_reach = high >= np.log(COST_RANGE[1])
    return np.where(out_of_reach, np.inf, np.exp(high))
