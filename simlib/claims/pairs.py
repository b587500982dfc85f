"""Sparse runs beside the dense run they are to be judged by, without any law of sparsity.

Which dense run that is makes the question: of equal non-zero size and data, of equal non-zero size
and equal cost of training (where masks save nothing, so that it sees 1/(1-S) times the data), or of
equal size under the mask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simlib.contrasts import LEVEL, Estimate, t_interval
from simlib.errors import InputError
from simlib.fit.holdout import NEAR
from simlib.law import Array, JointLaw
from simlib.runs import RunRecord, RunTable

DRAWS = 20_000  # of regression coefficients behind the interval of a ratio of two


@dataclass(frozen=True)
class Pairs:
    """Settings of sparse runs with their dense partners, arrays of shape (pairs,).

    `gain` is ln(dense loss / sparse loss), above zero where the sparse run is better, and
    `difference` the same in nats; losses are means over seeds. `data_seen` is the partner's.
    """

    sparsity: Array
    nonzero_params: Array
    data_seen: Array
    gain: Array
    difference: Array

    def __len__(self) -> int:
        return len(self.gain)

    def mean(self) -> Estimate:
        """Mean gain over the settings, with Student's t interval."""
        return t_interval(self.gain, LEVEL)

    def slope(self, relative: bool = False) -> Estimate:
        """Change of the difference in nats with each doubling of data, in one sparsity and size.

        In nats a law's terms add: by the joint law the difference at equal size and cost always
        rises with training, and those at equal data stay; `relative` asks for that of the gain,
        a share of a loss that falls. Least squares with a level for each sparsity and size and
        Student's t interval. Raises InputError where too few of them saw two amounts of data.
        """
        cell = np.unique(np.stack([self.sparsity, np.round(np.log(self.nonzero_params), 1)]),
                         axis=1, return_inverse=True)[1].reshape(-1)  # fmt: skip
        levels = np.eye(cell.max() + 1)[cell]
        design = np.column_stack([levels, np.log2(self.data_seen)])
        beta, covariance, free = regress(design, self.gain if relative else self.difference)
        half = stats.t.ppf((1 + LEVEL) / 2, free) * np.sqrt(covariance[-1, -1])
        return Estimate(
            float(beta[-1]), (float(beta[-1] - half), float(beta[-1] + half)), len(self)
        )

    def drift(self, law: JointLaw, members: JointLaw) -> Estimate:
        """Factor on the break-even budget, in Chinchilla's, with each doubling of N.

        The gain in nats times N^b_N is, by the joint law, a function of sparsity and of the ratio
        of D to Chinchilla's alone. It is regressed on log D and log N, with a level for each
        sparsity; the ratio of slopes says how D at equal gain rises with N, and b_N / b_D how
        Chinchilla's does. The interval joins the uncertainty of both, `members` that of the law.
        """
        levels = np.eye(len(np.unique(self.sparsity)))[
            np.unique(self.sparsity, return_inverse=True)[1].reshape(-1)
        ]
        design = np.column_stack([levels, np.log(self.data_seen), np.log(self.nonzero_params)])
        scaled = self.difference * (self.nonzero_params / self.nonzero_params.mean()) ** law.b_N
        beta, covariance, free = regress(design, scaled)
        rng = np.random.default_rng(0)
        normal = rng.multivariate_normal(np.zeros(2), covariance[-2:, -2:], DRAWS)
        drawn = beta[-2:] + normal / np.sqrt(rng.chisquare(free, DRAWS) / free)[:, None]
        line = rng.choice(members.b_N / members.b_D, DRAWS)
        doublings = -drawn[:, 1] / drawn[:, 0] - line
        ends = np.quantile(doublings, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        with np.errstate(over="ignore"):
            low, high = np.exp2(ends)
            value = float(np.exp2(-beta[-1] / beta[-2] - law.b_N / law.b_D))
        return Estimate(value, (float(low), float(high)), len(self))


def regress(design: Array, target: Array) -> tuple[Array, Array, int]:
    """Least squares: coefficients, their covariance, and degrees of freedom.

    Raises InputError for fewer than one degree of freedom or columns that cannot be told apart.
    """
    free = len(target) - design.shape[1]
    if free < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        raise InputError(f"{len(target)} pairs of runs are too few for a trend")
    beta, *_ = np.linalg.lstsq(design, target, rcond=None)
    variance = float(((target - design @ beta) ** 2).sum()) / free
    return np.asarray(beta), np.asarray(variance * np.linalg.inv(design.T @ design)), free


def pairs(runs: RunTable, law: JointLaw, *, size: float = 0.0, data: float = 0.0) -> Pairs:
    """Every sparse setting whose partner is in the table: N (1-S)^-size and D (1-S)^-data, dense.

    Sizes are built to within 3 %; the dense loss is moved to the exact size and data by the ratio
    of the dense law's predictions. Raises InputError where no setting has a partner.
    """
    settings = _settings(runs, lambda r: r.sparsity > 0 and _plain(r))
    dense = _settings(runs, lambda r: r.sparsity == 0)
    rows = []
    for (S, N, D), loss in settings.items():
        want_N, want_D = N * (1 - S) ** -size, D * (1 - S) ** -data
        for (_, dense_N, dense_D), dense_loss in dense.items():
            distance = max(abs(np.log(dense_N / want_N)), abs(np.log(dense_D / want_D)))
            if distance < np.log1p(NEAR):
                moved = float(law(0.0, want_N, want_D) / law(0.0, dense_N, dense_D))
                partner = dense_loss * moved
                rows.append((S, N, want_D, np.log(partner / loss), partner - loss))
    if not rows:
        raise InputError("no sparse run has the dense partner that this comparison needs")
    return Pairs(*np.array(rows).T)


def _plain(run: RunRecord) -> bool:
    return run.pattern == "unstructured" and run.start == "scratch" and run.pruner == "gmp"


def _settings(
    runs: RunTable, keep: Callable[[RunRecord], bool]
) -> dict[tuple[float, float, float], float]:
    """Geometric mean of the losses of each setting's seeds."""
    found: dict[tuple[float, float, float], list[float]] = defaultdict(list)
    for run in runs.finished:
        if keep(run):
            key = (round(run.sparsity, 3), float(run.nonzero_params), float(run.data_seen))
            found[key].append(np.log(run.loss))
    return {key: float(np.exp(np.mean(logs))) for key, logs in found.items()}
