"""Loss on the way: what a fitted law says while a run trains and is pruned, and how well it does.

A law knows final losses, after the learning rate has fallen. So the trajectory at `t` tokens is the
loss that the run would have if it cooled down there. While the rate is high the recorded training
loss lies elsewhere; the mean log ratio is the `gap`, which is measured on some runs and held
against others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import Array, Bools, Indices, JointLaw, fraction, positive
from simlib.laws.optimum import cubic_progress
from simlib.paper import PRUNE_END, PRUNE_START
from simlib.runs.curves import TrainingCurve
from simlib.runs.table import RunRecord, RunTable
from simlib.simulate.blocks import summarise

ACCOUNTINGS = ("current", "mean")
PHASES = ("dense", "ramp", "final")


def law_sparsity(done: ArrayLike, S: ArrayLike, accounting: str = "current") -> Array:
    """The sparsity to give a law at a share `done` in (0, 1] of a run that ends at S.

    "current" is the sparsity of the moment. "mean" is the final sparsity of the run of the usual
    schedule that has the same mean density over its training as this one so far (the account of
    Jin et al. 2025, arXiv 2501.12486, put in the joint law's terms). Both are S at the end.
    Raises InputError for an unknown accounting or values outside their ranges.
    """
    done, S = np.asarray(done, float), fraction(S)
    if not np.all((done > 0) & (done <= 1)):
        raise InputError("shares of training done lie in (0, 1]")
    if accounting == "current":
        return np.asarray(S * cubic_progress(PRUNE_START, PRUNE_END)(done))
    if accounting == "mean":
        return np.asarray(S * _progress_summed(done) / (done * _progress_summed(np.ones(()))))
    raise InputError(f"unknown accounting {accounting!r}: choose {' or '.join(ACCOUNTINGS)}")


def _progress_summed(done: Array) -> Array:
    """Integral from 0 of the share of the final sparsity reached."""
    ramp = np.clip((done - PRUNE_START) / (PRUNE_END - PRUNE_START), 0, 1)
    during = (PRUNE_END - PRUNE_START) * (ramp - (1 - (1 - ramp) ** 4) / 4)
    return np.asarray(during + np.maximum(done - PRUNE_END, 0))


@dataclass(frozen=True)
class Trajectory:
    """A run on its way, arrays of shape (points,).

    `loss` is that after a cool-down at that point, `low` and `high` the central interval of the
    law's ensemble, `running` the training loss to expect where the learning rate is still high.
    """

    data_seen: Array
    sparsity: Array
    nonzero_params: Array
    loss: Array
    low: Array
    high: Array
    running: Array


def trajectory(
    law_file: FittedLaw,
    S: float,
    N: float,
    D: float,
    *,
    accounting: str = "current",
    gap: float = 0.0,
    points: int = 100,
    level: float = 0.9,
) -> Trajectory:
    """The way of a run that ends with N non-zero parameters at sparsity S after D tokens or images.

    It begins at the least data of the fitted runs, or at a hundredth of D if the law keeps no
    range. `gap` is log(training loss / loss after a cool-down). Raises InputError for a run that
    ends before that, and for a law without an ensemble.
    """
    positive("nonzero_params", N)
    first = least_data(law_file, D)
    if not first < D:
        raise InputError(
            f"a trajectory to {D:g} tokens or images would begin at {first:g}, the least data of "
            f"the runs behind {law_file.name!r}: ask for a longer run"
        )
    data = np.geomspace(first, D, points)
    effective = law_sparsity(data / D, S, accounting)

    def along(law: JointLaw, s: Array, d: Array) -> Array:
        return law(s, N / (1 - S) * (1 - s), d)

    found = summarise(law_file, along, effective, data, level=level)
    now = law_sparsity(data / D, S, "current")
    return Trajectory(
        data,
        now,
        N / (1 - S) * (1 - now),
        found.value,
        found.low,
        found.high,
        found.value * np.exp(gap),
    )


def least_data(law_file: FittedLaw, D: float) -> float:
    """Where a trajectory to D begins."""
    return law_file.range.data_seen[0] if law_file.range else D / 100


@dataclass(frozen=True)
class CurveResiduals:
    """A recorded curve against its trajectory, arrays of shape (points,).

    `ratio` is log(training loss / law), `high_rate` says whether the learning rate was at its
    peak, `phase` indexes PHASES.
    """

    record: RunRecord
    done: Array
    ratio: Array
    high_rate: Bools
    phase: Indices


def curve_residuals(
    law_file: FittedLaw, runs: RunTable, curves: Sequence[TrainingCurve], accounting: str
) -> list[CurveResiduals]:
    """Curves of runs of a table against their trajectories, from the law's least data on.

    Raises InputError for a curve whose run the table lacks or whose schedule is another one.
    """
    rows = {r.run_id: r for r in runs}
    found = []
    for curve in curves:
        record = rows.get(curve.run_id)
        if record is None:
            raise InputError(f"the table has no run {curve.run_id}, which a curve is of")
        if record.sparsity and (record.prune_start, record.prune_end, record.schedule) != (
            PRUNE_START,
            PRUNE_END,
            "cubic",
        ):
            raise InputError(
                f"run {curve.run_id} was not pruned by a cubic ramp from {PRUNE_START:.0%} to "
                f"{PRUNE_END:.0%}, the schedule that trajectories know"
            )
        found.append(_residuals(law_file, record, curve, accounting))
    return found


def _residuals(
    law_file: FittedLaw, record: RunRecord, curve: TrainingCurve, accounting: str
) -> CurveResiduals:
    data = np.array(curve.data_seen)
    late = data >= least_data(law_file, record.data_seen)
    done, lr = data[late] / record.data_seen, np.array(curve.lr)[late]
    s = law_sparsity(done, record.sparsity, accounting)
    N = record.nonzero_params / (1 - record.sparsity) * (1 - s)
    ratio = np.log(np.array(curve.loss)[late] / law_file.joint(s, N, data[late]))
    high = np.isclose(lr, max(curve.lr), rtol=1e-3)
    return CurveResiduals(record, done, ratio, high, np.digitize(done, [PRUNE_START, PRUNE_END]))


def gap_of(found: Sequence[CurveResiduals]) -> float:
    """Mean log(training loss / law) where the learning rate is high, every curve counting once.

    Raises InputError if no curve has such a point.
    """
    means = [m.ratio[m.high_rate].mean() for m in found if m.high_rate.any()]
    if not means:
        raise InputError(
            "no curve has a point at a high learning rate from the law's least data on"
        )
    return float(np.mean(means))


def rms(found: Sequence[CurveResiduals], gap: float, phase: str | None = None) -> float:
    """Root mean square of log(training loss / law) less the gap, at a high rate, curves equal.

    Of one of PHASES, or of all of them; NaN where no curve has a point.
    """
    picked = [
        m.ratio[m.high_rate & ((phase is None) | (m.phase == PHASES.index(phase or "dense")))]
        for m in found
    ]
    squares = [float(((p - gap) ** 2).mean()) for p in picked if p.size]
    return float(np.sqrt(np.mean(squares))) if squares else float("nan")


@dataclass(frozen=True)
class AccountingScore:
    """An accounting on the runs that chose the gap, and on the others."""

    accounting: str
    gap: float
    chosen_rms: float
    held_out: list[CurveResiduals]

    @property
    def held_out_rms(self) -> float:
        """Root mean square error on the log scale on the runs held out."""
        return rms(self.held_out, self.gap)

    @property
    def sparse_held_out(self) -> int:
        """How many sparse runs were held out: on dense ones the accountings agree."""
        return sum(m.record.sparsity > 0 for m in self.held_out)

    def better_than(self, other: AccountingScore) -> int:
        """On how many sparse runs held out this accounting has the smaller error."""
        pairs = zip(self.held_out, other.held_out, strict=True)
        return sum(
            rms([mine], self.gap) < rms([theirs], other.gap)
            for mine, theirs in pairs
            if mine.record.sparsity
        )


def compare_accountings(
    law_file: FittedLaw, runs: RunTable, curves: Sequence[TrainingCurve]
) -> list[AccountingScore]:
    """Both accountings, the better on the choosing runs first.

    Every other dense size, from the smallest on, chooses gap and accounting; the sizes between
    are held out. So no run that is held out shares its dense beginning with one that chose.
    Raises InputError where fewer than two dense sizes have curves.
    """
    rows = {r.run_id: r for r in runs}
    sizes = sorted({_dense(rows[c.run_id]) for c in curves if c.run_id in rows})
    if len(sizes) < 2:
        raise InputError("choosing on some dense sizes and scoring on others takes two of them")
    chosen = set(sizes[::2])
    scores = []
    for accounting in ACCOUNTINGS:
        found = curve_residuals(law_file, runs, curves, accounting)
        pick = [m for m in found if _dense(m.record) in chosen]
        rest = [m for m in found if _dense(m.record) not in chosen]
        gap = gap_of(pick)
        scores.append(AccountingScore(accounting, gap, rms(pick, gap), rest))
    return sorted(scores, key=lambda f: f.chosen_rms)


def _dense(record: RunRecord) -> int:
    """Dense parameters to two digits: what rounding of widths made nearly equal is one size."""
    return int(float(f"{record.nonzero_params / (1 - record.sparsity):.1e}"))
