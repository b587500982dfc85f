"""Before compute is spent: how well a grid of runs would pin down a law, and which grid is best.

Two answers that check each other. The Fisher information of the runs gives widths at once, for
a law nearly linear in its coefficients over the interval; drawing tables and refitting them gives
the spread that the fit would really have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from operator import attrgetter

import numpy as np
from scipy.special import ndtr, ndtri

from simlib.errors import InputError
from simlib.fit import DEFAULT_OBJECTIVE, JOINT, Objective
from simlib.fit.fittedlaw import FittedLaw
from simlib.fit.preparation import PreparedForm, prepare
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.intervals import check_level, quantile_ends
from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import COSTS, chinchilla_flops, compute_multiple
from simlib.runs.cells import Columns
from simlib.simulate.allocate import TrainingCost
from simlib.simulate.forecast import fitted_range

Quantity = Callable[[JointLaw], Array]
STEP = 1e-5  # of theta, for the slope of a quantity

QUANTITIES: dict[str, Quantity] = {
    **{name: attrgetter(name) for name in JointLaw.names()},
    "multiplier at 75%": lambda law: law.multiplier(0.75),
    "compute where 50% is best": lambda law: compute_multiple(law, 0.5),
}
EXPONENTS = ("b_S", "b_N", "b_D")


@dataclass(frozen=True)
class DesignGrid:
    """Every combination of sparsities, sizes and amounts of data, each `repeats` times.

    Raises InputError for values outside their domain.
    """

    sparsities: tuple[float, ...]
    sizes: tuple[float, ...]
    data: tuple[float, ...]
    repeats: int = 1

    def __post_init__(self) -> None:
        bad = [s for s in self.sparsities if not 0 <= s < 1]
        bad += [v for v in (*self.sizes, *self.data) if not (np.isfinite(v) and v > 0)]
        if bad or self.repeats < 1 or not (self.sparsities and self.sizes and self.data):
            raise InputError(
                f"a grid needs sparsities in [0, 1), positive sizes and data, and at "
                f"least one repeat; got {bad[:1] or self}"
            )

    @property
    def columns(self) -> tuple[Array, Array, Array]:
        """S, N and D of each run, shape (runs,)."""
        axes = np.meshgrid(self.sparsities, self.sizes, self.data, indexing="ij")
        S, N, D = (np.tile(a.ravel(), self.repeats) for a in axes)
        return S, N, D

    def __len__(self) -> int:
        return len(self.sparsities) * len(self.sizes) * len(self.data) * self.repeats

    def flops(self, cost: TrainingCost = COSTS["dense"]) -> float:
        """Training cost of all runs in FLOP."""
        S, N, D = self.columns
        return float((COSTS["dense"].flops(S, N, D) * (1 - S) * cost.multiplier(S)).sum())


def _prepared(law: JointLaw, grid: DesignGrid, objective: Objective) -> tuple[PreparedForm, Array]:
    """The fit's own problem on the grid, and the theta that is the law; repeats are left out."""
    S, N, D = replace(grid, repeats=1).columns
    rng = np.random.default_rng(0)
    prepared, _, _ = prepare(Columns(S, N, D, law(S, N, D)), JOINT, objective, 1, rng)
    return prepared, prepared.form.from_law(law, prepared.units)


def huber_inflation(ratio: float) -> float:
    """Standard deviation of a Huber estimate over that of least squares, for normal noise.

    `ratio` is delta over the noise. `sqrt(E psi^2) / E psi'` (Huber 1964); 1.25 as it goes to 0.
    """
    inside = 2 * ndtr(ratio) - 1
    density = np.exp(-0.5 * ratio**2) / np.sqrt(2 * np.pi)
    square = inside - 2 * ratio * density + 2 * ratio**2 * (1 - ndtr(ratio))
    return float(np.sqrt(square) / inside)


def fisher_widths(
    law: JointLaw,
    grid: DesignGrid,
    noise: float,
    *,
    quantities: Mapping[str, Quantity] | None = None,
    level: float = 0.9,
    objective: Objective = DEFAULT_OBJECTIVE,
) -> dict[str, float]:
    """Expected half-width of each quantity's interval on the log scale, from Fisher information.

    `noise` is the standard deviation of log loss. 0.2 means about 20% either way. Infinite where
    the grid does not identify the law. Raises InputError for a grid that no fit would accept.
    """
    check_level(level)
    _check_noise(noise)
    prepared, theta = _prepared(law, grid, objective)
    _, parts = prepared.problem.residual(theta[None])
    total = parts[:, 0].sum(axis=0)
    jacobian = np.einsum("tr,rtk->rk", parts[:, 0] / total, prepared.problem.design)  # of log loss
    ratio = objective.delta / (noise if objective.log else noise * float(np.median(total)))
    scale = ndtri((1 + level) / 2) * noise * huber_inflation(ratio) / np.sqrt(grid.repeats)
    r = np.linalg.qr(jacobian, mode="r")
    if np.abs(np.diag(r)).min() < 1e-12 * np.abs(np.diag(r)).max():
        return dict.fromkeys(quantities or QUANTITIES, np.inf)
    inverse = np.linalg.inv(r)
    slopes = _slopes(prepared, theta, quantities or QUANTITIES)
    return {name: float(scale * np.linalg.norm(s @ inverse)) for name, s in slopes.items()}


def _slopes(
    prepared: PreparedForm, theta: Array, quantities: Mapping[str, Quantity]
) -> dict[str, Array]:
    """Slope of each quantity's logarithm along theta, by central differences."""
    ends = theta + STEP * np.stack([np.eye(len(theta)), -np.eye(len(theta))])
    laws = prepared.form.to_law(ends, prepared.units)
    assert isinstance(laws, JointLaw)
    found = {}
    for name, quantity in quantities.items():
        up, down = np.log(np.abs(quantity(laws)))
        found[name] = (up - down) / (2 * STEP)
    return found


def _check_noise(noise: float) -> None:
    if not (np.isfinite(noise) and noise > 0):
        raise InputError(f"the noise of log loss must be positive and finite, got {noise}")


def simulated_widths(
    law: JointLaw,
    grid: DesignGrid,
    noise: float,
    *,
    quantities: Mapping[str, Quantity] | None = None,
    level: float = 0.9,
    objective: Objective = DEFAULT_OBJECTIVE,
    tables: int = 200,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Central interval of each quantity over fits to tables drawn from the law on the grid."""
    check_level(level)
    _check_noise(noise)
    prepared, theta = _prepared(law, grid, objective)
    S, N, D = replace(grid, repeats=1).columns
    draws = np.random.default_rng(seed).standard_normal((tables, grid.repeats, len(S)))
    logs = np.log(law(S, N, D)) + noise * draws.mean(axis=1)  # a repeat enters by its mean
    target = objective.target(np.exp(logs))
    fitted = prepared.refit(replace(prepared.problem, target=target), theta, tables).law
    assert isinstance(fitted, JointLaw)
    wanted = (quantities or QUANTITIES).items()
    return {name: quantile_ends(quantity(fitted), level) for name, quantity in wanted}


def widths_by_data(
    law: JointLaw,
    sparsities: Sequence[float],
    sizes: Sequence[float],
    most_data: float,
    counts: Sequence[int],
    spans: Sequence[float],
    noise: float,
    *,
    quantity: str = "b_D",
    level: float = 0.9,
) -> Array:
    """Half-width of a quantity for so many amounts of data over such a span, (counts, spans).

    The amounts are evenly spaced in their logarithm below `most_data`: shorter runs, which cost
    least.
    """
    return np.array(
        [
            [
                fisher_widths(
                    law,
                    DesignGrid(
                        tuple(sparsities),
                        tuple(sizes),
                        tuple(np.geomspace(most_data / span, most_data, count)),
                    ),
                    noise,
                    quantities={quantity: QUANTITIES[quantity]},
                    level=level,
                )[quantity]
                for span in spans
            ]
            for count in counts
        ]
    )


@dataclass(frozen=True)
class Design:
    """A grid with what it costs in FLOP and the half-widths to expect of it (log scale)."""

    grid: DesignGrid
    flops: float
    widths: dict[str, float]
    score: float


def evaluate(
    law: JointLaw,
    grid: DesignGrid,
    noise: float,
    targets: Sequence[str] = EXPONENTS,
    cost: TrainingCost = COSTS["dense"],
) -> Design:
    """A grid with its cost and the half-widths of the targets; the score is the widest.

    Raises InputError for an unknown target and a grid that no fit would accept.
    """
    widths = fisher_widths(law, grid, noise, quantities=_quantities(targets))
    return Design(grid, grid.flops(cost), widths, max(widths.values()))


def _quantities(targets: Sequence[str]) -> dict[str, Quantity]:
    unknown = [t for t in targets if t not in QUANTITIES]
    if unknown or not targets:
        raise InputError(
            f"unknown target {(unknown or ['none'])[0]!r}: choose of {', '.join(QUANTITIES)}"
        )
    return {name: QUANTITIES[name] for name in targets}


SPARSITIES = ((0.0, 0.5, 0.75), (0.0, 0.5, 0.75, 0.875), (0.0, 0.5, 0.75, 0.875, 0.9375))
COUNTS = (3, 4, 5, 6)
SPANS = (8.0, 32.0, 128.0, 512.0)
LEAST_PARAMS = 1e5
TILTS = (0.3, 1.0, 3.0)  # data of the middle run over that of the dense optimum of its size


def least_size(law_file: FittedLaw) -> float:
    """The smallest size to ask a law about: `LEAST_PARAMS`, or its own smallest run if smaller."""
    return min(LEAST_PARAMS, float(fitted_range(law_file)[0][1]))


def recommend(
    law: JointLaw,
    flops: float,
    noise: float,
    *,
    targets: Sequence[str] = EXPONENTS,
    most_runs: int = 150,
    least_params: float = LEAST_PARAMS,
    cost: TrainingCost = COSTS["dense"],
    keep: int = 10,
) -> list[Design]:
    """The grids that pin the targets down best for a budget in FLOP, best first.

    Each candidate is scaled so that all its runs together cost the budget; the score is the
    widest target. Sizes below `least_params` are left out. Raises InputError for an unknown
    target, a budget that is not positive, or one that no candidate fits.
    """
    _quantities(targets)  # refuses an unknown one before anything is computed
    if not (np.isfinite(flops) and flops > 0):
        raise InputError(f"a budget must be positive and finite, got {flops} FLOP")
    if not (np.isfinite(least_params) and least_params > 0):
        raise InputError(f"the smallest size must be positive and finite, got {least_params}")
    found = []
    for S, sizes, data, size_span, data_span, tilt in product(
        SPARSITIES, COUNTS, COUNTS, SPANS, SPANS, TILTS
    ):
        if len(S) * sizes * data > most_runs:
            continue
        grid = _scaled(
            law, flops, S, _spread(sizes, size_span), _spread(data, data_span), tilt, cost
        )
        if min(grid.sizes) < least_params:
            continue
        found.append(evaluate(law, grid, noise, targets, cost))
    if not found:
        raise InputError(
            f"no grid of at most {most_runs} runs from {least_params:g} parameters on costs "
            f"{flops:g} FLOP: allow 27 runs or more, smaller models, or a larger budget"
        )
    return sorted(found, key=lambda d: d.score)[:keep]


def _spread(count: int, span: float) -> Array:
    """Factors about 1 that cover a span evenly on the log scale."""
    return np.geomspace(span**-0.5, span**0.5, count)


def _scaled(
    law: JointLaw,
    flops: float,
    S: tuple[float, ...],
    sizes: Array,
    data: Array,
    tilt: float,
    cost: TrainingCost,
) -> DesignGrid:
    """The grid about the dense optimum (times tilt in data) whose runs together cost the budget."""
    shape = np.asarray(cost.multiplier(S)).sum() * sizes.sum() * data.sum() * tilt
    one = np.log(chinchilla_flops(law, 1.0))  # C = chinchilla_flops(1) N^(1 + b_N / b_D)
    N = float(np.exp((np.log(flops / shape) - one) / (1 + law.b_N / law.b_D)))
    D = tilt * float(chinchilla_flops(law, N)) / (FLOP_PER_PARAMETER_AND_DATUM * N)
    return DesignGrid(S, tuple(N * sizes), tuple(D * data))
