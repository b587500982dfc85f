"""What a sweep's runs say of its law: seeds against misfit, order of sparsities, interactions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from simlib.analysis.contrasts import Estimate, t_interval
from simlib.errors import InputError
from simlib.fit import Objective, fit_table, log_residuals
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import quantile_ends
from simlib.laws.law import Array
from simlib.runs.cells import Cells, Spread, cells
from simlib.runs.table import RunTable

DRAWS = 4000  # of the noise behind an expected order


@dataclass(frozen=True)
class LackOfFit:
    """F test of misfit against noise: mean squares of cell means and of seeds within cells."""

    F: float
    p: float
    misfit: float  # deviation of the cells from the law that seeds do not explain, of log loss


def lack_of_fit(law_file: FittedLaw, runs: RunTable, spread: Spread) -> LackOfFit:
    """Whether the residuals of cells are larger than the spread over seeds makes them.

    The classical test for replicated designs (Draper & Smith 1998, Applied Regression Analysis,
    section 2.1). The law was fitted to a Huber objective, so the residuals are slightly larger
    than the least squares that the test assumes. Raises InputError for fewer cells than
    coefficients.
    """
    found = cells(runs)
    free = len(found.runs) - len(law_file.law.names())
    if free < 1:
        raise InputError(f"{len(found.runs)} settings are too few to test a law's misfit")
    square = float((found.runs * _cell_residuals(law_file, found) ** 2).sum()) / free
    noise = spread.deviation**2
    F = square / noise
    return LackOfFit(
        F,
        float(stats.f.sf(F, free, spread.degrees)),
        float(np.sqrt(max(square - noise, 0.0) / found.runs.mean())),
    )


def _cell_residuals(law_file: FittedLaw, found: Cells) -> Array:
    return log_residuals(
        law_file.law, found.sparsity, found.nonzero_params, found.data_seen, found.loss
    )


def interaction(law_file: FittedLaw, runs: RunTable, level: float = 0.9) -> Estimate:
    """What the residuals of log loss gain with each doubling of both size and data.

    A law that adds a size term and a data term says that they do not interact. Least squares of
    the settings' residuals, ln(predicted / measured), on the product of the centred log2 N and
    log2 D; Student's t interval. Above zero, larger models gain more from data than the law says.
    """
    found = cells(runs)
    x = np.prod([np.log2(v) - np.log2(v).mean() for v in (found.size, found.data_seen)], axis=0)
    line = stats.linregress(x, _cell_residuals(law_file, found))
    half = float(stats.t.ppf((1 + level) / 2, len(x) - 2)) * line.stderr
    return Estimate(float(line.slope), (line.slope - half, line.slope + half), len(x))


@dataclass(frozen=True)
class DataStep:
    """From one amount of data to the next, at fixed sparsity and size: log loss a doubling.

    `gain` is the mean over settings of the fall of log loss a doubling of data, `predicted` the
    law's, `growth` by how much it exceeds that of the step before (None for the first step).
    """

    low: float
    high: float
    gain: Estimate
    predicted: float
    growth: Estimate | None


def data_steps(law_file: FittedLaw, runs: RunTable, level: float = 0.9) -> tuple[DataStep, ...]:
    """Whether log loss falls by less with each doubling of data, as under every sum of powers.

    Of `L = A + (a_D/D)^b_D + c` at fixed S and N, `-d ln L / d ln D = b_D (a_D/D)^b_D / L` falls
    with D. Settings that lack one amount of data are left out. Raises InputError for fewer than
    two amounts or fewer than two settings.
    """
    found = cells(runs)
    amounts = np.unique(found.data_seen)
    rows = [
        row
        for at in sorted(set(zip(found.sparsity, found.size, strict=True)))
        if len(row := np.flatnonzero((found.sparsity == at[0]) & (found.size == at[1])))
        == len(amounts)
    ]
    if len(amounts) < 2 or len(rows) < 2:
        raise InputError("steps in data need two amounts of data at two sizes or sparsities")
    place = np.array(rows)  # (settings, amounts), sorted by data as cells are
    doublings = np.diff(np.log2(amounts))
    log_law = np.log(law_file.law(found.sparsity, found.nonzero_params, found.data_seen))
    gains, predicted = (-np.diff(v[place]) / doublings for v in (found.log_loss, log_law))
    growth = [None, *(t_interval(step, level) for step in np.diff(gains).T)]
    return tuple(
        DataStep(
            float(amounts[i]),
            float(amounts[i + 1]),
            t_interval(gains[:, i], level),
            float(predicted[:, i].mean()),
            growth[i],
        )
        for i in range(len(doublings))
    )


def before_power_law(steps: tuple[DataStep, ...]) -> float | None:
    """The largest amount of data that lies before any power law; None where none is seen to.

    A step that lowers log loss by more than the one before says so of where that one began.
    """
    late = [first.low for first, step in pairwise(steps) if step.growth and step.growth.sign > 0]
    return max(late, default=None)


def without_shortest(
    runs: RunTable, objective: Objective, *, resamples: int = 200, seed: int = 0
) -> FittedLaw | None:
    """The law of all runs but those with least data, or None where they cannot identify it."""
    runs = runs.finished
    longer = RunTable(r for r in runs if r.data_seen > runs.data_seen.min())
    try:
        return fit_table(
            longer, objective=objective, name="without the shortest", resamples=resamples, seed=seed
        )
    except InputError:
        return None


@dataclass(frozen=True)
class SparsityStep:
    """From one sparsity to the next: in how many settings the sparser run is the better one.

    `expected` is the number if the law holds and seeds vary as they do. `gain` is the mean of
    ln(loss at `low` / loss at `high`) over settings, `predicted` the law's.
    """

    low: float
    high: float
    settings: int
    better: int
    expected: float
    gain: Estimate
    predicted: float


@dataclass(frozen=True)
class Order:
    """Whether sparsities come in the law's order at each size and amount of data.

    `expected` is how many settings would if the law held, and `likely` the central 90% of that.
    """

    settings: int
    ordered: int
    expected: float
    likely: tuple[float, float]
    steps: tuple[SparsityStep, ...]


def order(
    law_file: FittedLaw, runs: RunTable, spread: Spread, level: float = 0.9, seed: int = 0
) -> Order:
    """Compare sparsities at equal size and data; settings that lack one of them are left out.

    What to expect is simulated: the law's losses with independent noise of the spread over seeds.
    Raises InputError where no setting was trained at every sparsity.
    """
    found = cells(runs)
    levels = np.unique(found.sparsity)
    log_law = np.log(law_file.law(found.sparsity, found.nonzero_params, found.data_seen))
    rows = [
        row
        for at in sorted(set(zip(found.size, found.data_seen, strict=True)))
        if len(row := np.flatnonzero((found.size == at[0]) & (found.data_seen == at[1])))
        == len(levels)
    ]
    if not rows or len(levels) < 2:
        raise InputError("no size and amount of data was trained at every sparsity")
    place = np.array(rows)  # (settings, levels), sorted by sparsity as cells are
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((DRAWS, *place.shape)) * spread.deviation
    drawn = -np.diff(log_law[place] + noise / np.sqrt(found.runs[place]))
    measured, predicted = -np.diff(found.log_loss[place]), -np.diff(log_law[place])
    agree, expected = measured * predicted > 0, drawn * predicted > 0
    steps = tuple(
        SparsityStep(
            float(levels[i]),
            float(levels[i + 1]),
            len(place),
            int((measured[:, i] > 0).sum()),
            float((drawn[..., i] > 0).sum(axis=1).mean()),
            t_interval(measured[:, i], level),
            float(predicted[:, i].mean()),
        )
        for i in range(len(levels) - 1)
    )
    counts = expected.all(axis=2).sum(axis=1)
    ordered = int(agree.all(axis=1).sum())
    return Order(len(place), ordered, float(counts.mean()), quantile_ends(counts), steps)


def identified(law_file: FittedLaw) -> dict[str, bool]:
    """Which coefficients the runs identify; see `FittedLaw.unidentified`."""
    return {name: name not in law_file.unidentified for name in law_file.profile_intervals}
