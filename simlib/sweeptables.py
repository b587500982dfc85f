"""What a sweep says of its law: noise and misfit, order of sparsities, what is identified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from simlib.contrasts import Estimate, Spread, t_interval
from simlib.errors import InputError
from simlib.fit import log_residuals
from simlib.fit.result import WIDE
from simlib.law import Array, Indices, JointLaw
from simlib.lawfile import LawFile
from simlib.lawtables import estimate
from simlib.recipes import NORMS, Attempt
from simlib.runs import RunTable
from simlib.tables import Table, number, percent, with_interval

SAME_SIZE = 1.1  # sizes are built to within 3 %, and differ by a factor of 2 or so
DRAWS = 4000  # of the noise behind an expected order
EXPONENTS = ("b_S", "b_N", "b_D")


@dataclass(frozen=True)
class Cells:
    """The settings of a sweep, arrays of shape (cells,): S, N, D, mean log loss, runs.

    `size` is the nominal size: the mean N of all runs that were asked for one size.
    """

    sparsity: Array
    nonzero_params: Array
    size: Array
    data_seen: Array
    log_loss: Array
    runs: Indices


def cells(runs: RunTable) -> Cells:
    """The finished runs of a sweep by setting, seeds averaged. Raises InputError without runs."""
    runs = runs.finished
    if len(runs) == 0:
        raise InputError("there are no finished runs to look at")
    S, N, D = np.round(runs.sparsity, 3), runs.nonzero_params, runs.data_seen
    size = nominal_sizes(N)
    keys, place, counts = np.unique(
        np.stack([S, size, D]), axis=1, return_inverse=True, return_counts=True
    )
    place = place.reshape(-1)

    def mean(values: Array) -> Array:
        return np.asarray(np.bincount(place, weights=values) / counts)

    return Cells(keys[0], mean(N), keys[1], keys[2], mean(np.log(runs.loss)), counts)


def nominal_sizes(N: Array) -> Array:
    """Each size's mean over the sizes next to it, in N's order: the size that was asked for."""
    known = np.unique(N)
    group = np.concatenate([[0], np.cumsum(known[1:] / known[:-1] > SAME_SIZE)])
    mean = np.array([known[group == g].mean() for g in range(group[-1] + 1)])
    return np.asarray(mean[group][np.searchsorted(known, N)])


@dataclass(frozen=True)
class LackOfFit:
    """F test of misfit against noise: mean squares of cell means and of seeds within cells."""

    F: float
    p: float
    misfit: float  # deviation of the cells from the law that seeds do not explain, of log loss


def lack_of_fit(law_file: LawFile, runs: RunTable, spread: Spread) -> LackOfFit:
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
        F, float(stats.f.sf(F, free, spread.degrees)),
        float(np.sqrt(max(square - noise, 0.0) / found.runs.mean())),
    )  # fmt: skip


def _cell_residuals(law_file: LawFile, found: Cells) -> Array:
    return log_residuals(
        law_file.law, found.sparsity, found.nonzero_params, found.data_seen, np.exp(found.log_loss)
    )


def noise_table(law_file: LawFile, runs: RunTable, spread: Spread) -> Table:
    """Residuals of the law beside the spread over seeds and the error of the validation set."""
    runs = runs.finished
    residual = log_residuals(
        law_file.law, runs.sparsity, runs.nonzero_params, runs.data_seen, runs.loss
    )
    rmse, test = float(np.sqrt((residual**2).mean())), lack_of_fit(law_file, runs, spread)
    errors = [r.loss_stderr / r.loss for r in runs if r.loss_stderr is not None]
    low, high = (0.0 if end is None else end for end in spread.interval)
    rows = [
        ("residuals of the law, log-RMSE", percent(rmse, 2)),
        ("largest residual", percent(float(np.abs(residual).max()), 1)),
        (
            f"spread over seeds ({spread.cells} settings, {spread.degrees} degrees of freedom)",
            f"{percent(spread.deviation, 2)} ({percent(low, 2)} to {percent(high, 2)})",
        ),
        ("misfit of the law that seeds do not explain", percent(test.misfit, 2)),
        ("lack of fit: F, p", f"{number(test.F)}, {number(test.p, 2)}"),
    ]
    if errors:
        said = "standard error of one validation loss (one set for all runs)"
        rows.append((said, percent(float(np.mean(errors)), 2)))
    return Table(("", "share of the loss"), rows)


@dataclass(frozen=True)
class Step:
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
    """Whether sparsities come in the law's order at each size and amount of data."""

    settings: int
    ordered: int
    expected: float
    steps: tuple[Step, ...]


def order(
    law_file: LawFile, runs: RunTable, spread: Spread, level: float = 0.9, seed: int = 0
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
        Step(
            float(levels[i]), float(levels[i + 1]), len(place), int((measured[:, i] > 0).sum()),
            float((drawn[..., i] > 0).sum(axis=1).mean()), t_interval(measured[:, i], level),
            float(predicted[:, i].mean()),
        )
        for i in range(len(levels) - 1)
    )  # fmt: skip
    ordered = int(agree.all(axis=1).sum())
    return Order(len(place), ordered, float(expected.all(axis=2).sum(axis=1).mean()), steps)


def order_table(found: Order) -> Table:
    """One row a step in sparsity, and one for the whole order."""
    rows = []
    for step in found.steps:
        low, high = (percent(0 if end is None else end, 1) for end in step.gain.interval)
        rows.append((
            f"{percent(step.low, 1)} to {percent(step.high, 1)}",
            f"{step.better} of {step.settings}", number(step.expected, 3),
            f"{percent(step.gain.mean, 1)} ({low} to {high})", percent(step.predicted, 1),
        ))  # fmt: skip
    whole = f"{found.ordered} of {found.settings}"
    rows.append(("all in the law's order", whole, number(found.expected, 3), "", ""))
    header = ("step in sparsity", "sparser is better", "expected by law and noise",
              "lower loss", "lower loss, by the law")  # fmt: skip
    return Table(header, rows)


def identified(law_file: LawFile) -> dict[str, bool]:
    """Which coefficients the runs identify: those with a profile interval that is not too wide."""
    profiles = law_file.record.get("profile_intervals", {})
    return {
        name: low is not None and high is not None and low > 0 and high / low <= WIDE
        for name, (low, high) in profiles.items()
    }


def identified_table(law_file: LawFile) -> Table:
    """Each coefficient with its bootstrap and profile intervals, and whether it is identified."""
    law, record = law_file.joint, law_file.record
    said = {True: "yes", False: "no"}
    known = identified(law_file)
    rows = []
    for name in law.names():
        ends = (record.get(kind, {}).get(name) for kind in ("intervals", "profile_intervals"))
        texts = ["–" if pair is None else " to ".join(map(number, pair)) for pair in ends]
        answer = said[known[name]] if name in known else "–"
        rows.append((name, number(float(getattr(law, name))), *texts, answer))
    return Table(("coefficient", "estimate", "resampled runs", "profile", "identified"), rows)


def exponent_table(law_file: LawFile, published: Sequence[LawFile], level: float = 0.9) -> Table:
    """Exponents and multipliers with intervals, beside the published ones and what they exclude.

    An exponent's interval is its profile interval where there is one. The last column names the
    published values that lie outside the interval.
    """
    quantities: dict[str, Callable[[JointLaw], Array]] = {
        **{name: partial(_coefficient, name=name) for name in EXPONENTS},
        **{f"eff({percent(S, 1)})": partial(JointLaw.multiplier, S=S) for S in (0.5, 0.75, 0.875)},
    }
    profiles = law_file.record.get("profile_intervals", {})
    rows = []
    for name, quantity in quantities.items():
        value, resampled = estimate(law_file, quantity, level)
        low, high = profiles.get(name, resampled or (None, None))
        theirs = {f.name: float(quantity(f.joint)) for f in published}
        outside = [
            n for n, v in theirs.items()
            if (low is not None and v < low) or (high is not None and v > high)
        ]  # fmt: skip
        rows.append((name, with_interval(value, (low, high)), *map(number, theirs.values()),
                     ", ".join(outside) or "none"))  # fmt: skip
    return Table(("", law_file.name, *(f.name for f in published), "outside"), rows)


def _coefficient(law: JointLaw, name: str) -> Array:
    return np.asarray(getattr(law, name))


def rate_curves(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """Recipe runs that differ in their rate alone, by rising rate; single runs are left out."""
    curves: dict[str, list[Attempt]] = {}
    for attempt in attempts:
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
        rows.append((
            f"{config.nonzero_params:,}", str(config.shape.width), percent(config.sparsity),
            NORMS[config.qk_norm], number(config.peak_lr) + edge, number(losses[best], 4),
            *(_above(losses, best + k) for k in (1, 2)),
            percent(max(_cliff(losses), 0.0), 1),
        ))  # fmt: skip
    header = ("non-zero weights", "width", "sparsity", "queries and keys", "best rate", "loss",
              "next rate", "the one after", "steepest step")  # fmt: skip
    return Table(header, rows)


def _above(losses: Array, at: int) -> str:
    return "–" if at >= len(losses) else f"{losses[at] / losses.min() - 1:+.1%}"


def _cliff(losses: Array) -> float:
    return float((losses[1:] / losses[:-1]).max() - 1)
