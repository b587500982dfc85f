"""A set of runs as rules see it: its runs, the laws fitted to them, and how far these miss."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from scipy import stats

from simlib.analysis.calibration import Score, fit_some_predict_others, smaller_half
from simlib.analysis.regime import regime
from simlib.errors import InputError
from simlib.fit import FORMS, Objective, fit, fit_table
from simlib.fit.compare import Comparison
from simlib.fit.fittedlaw import FittedLaw
from simlib.fit.holdout import residuals, splits
from simlib.laws.intervals import LEVEL, quantile_ends
from simlib.laws.law import Array, Bools, DenseLaw, Indices, Law
from simlib.runs.cells import Columns, cell_index, curve_index, pooled
from simlib.runs.table import RunTable

Kind = Literal["in sample", "one size", "one sparsity", "below half"]
LEFT_OUT = {
    "one size": "one size",
    "one sparsity": "one sparsity",
    "below half": "sparsities between 0 and 50%",
}
BELOW = 0.45  # sparsity below which a run lies between dense ones and those of 50%
CONVERGED = 0.9  # share of an ensemble's members below which its law decides nothing
STARTS = 8  # of a fit: runs of many sizes and amounts of data leave it one optimum
DRAWS = 2000  # of curves, behind the interval of an error


class View(Protocol):
    """What a rule may ask of a set of runs."""

    @property
    def runs(self) -> RunTable: ...
    @property
    def law(self) -> FittedLaw: ...
    @property
    def dense(self) -> DenseLaw: ...
    @property
    def score(self) -> Score: ...
    def wider(self, form: str) -> FittedLaw: ...
    def without(self, kind: Kind) -> list[tuple[Bools, Law]]: ...
    def error(self, kind: Kind) -> tuple[float, tuple[float, float]]: ...


class Shipped(Protocol):
    """Where laws and comparisons are found by name; `simlib.claims.sources.Sources` is one."""

    def runs(self, name: str) -> RunTable: ...
    def law(self, name: str) -> FittedLaw: ...
    def wider(self, name: str, form: str) -> FittedLaw: ...
    def comparison(self, name: str) -> Comparison: ...
    def score(self, name: str) -> Score: ...


def trusted(law_file: FittedLaw) -> FittedLaw:
    """The law, if it may decide anything. Raises InputError with the reason if it may not.

    A file that does not say how many members of its ensemble converged is taken to hold none else.
    """
    status, members = law_file.status or "converged", law_file.refits
    converged = members if law_file.converged_members is None else law_file.converged_members
    if status != "converged":
        raise InputError(
            f"the {law_file.form} law fitted to {law_file.name} is {status}, so it decides nothing"
        )
    if converged < CONVERGED * members:
        raise InputError(
            f"only {converged} of {members} refits of {law_file.name} converged, so "
            "its law decides nothing"
        )
    return law_file


class LawView:
    """A set of runs of which laws and a comparison of forms ship, but no table."""

    def __init__(self, shipped: Shipped, law: str, table: str) -> None:
        self._shipped, self._law, self._table = shipped, law, table

    @property
    def runs(self) -> RunTable:
        """The table, which does not ship. Raises NotShippedError."""
        return self._shipped.runs(self._table)

    @property
    def law(self) -> FittedLaw:
        """The joint law with its ensemble."""
        return trusted(self._shipped.law(self._law))

    @property
    def dense(self) -> DenseLaw:
        """The dense part of the joint law."""
        return self.law.joint.dense

    @property
    def score(self) -> Score:
        """How forecasts from the smaller half of the runs fared on the larger one."""
        return self._shipped.score(self._table)

    def wider(self, form: str) -> FittedLaw:
        """The law of a wider form with its ensemble."""
        return trusted(self._shipped.wider(self._table, form))

    def without(self, kind: Kind) -> list[tuple[Bools, Law]]:
        """Laws of parts of the runs, which do not ship. Raises NotShippedError."""
        self._shipped.runs(self._table)
        return []

    def error(self, kind: Kind) -> tuple[float, tuple[float, float]]:
        """Error of the joint law, seeds' noise in it, with an interval for independent runs."""
        if kind == "in sample":
            return _independent(self.law.log_rmse, self.law.runs)
        found = self._shipped.comparison(self._table).assessment("joint").holdout(kind)
        if found.log_rmse is None:
            raise InputError(found.refused)
        return _independent(found.log_rmse, found.runs)


def _independent(rmse: float, runs: int) -> tuple[float, tuple[float, float]]:
    """A root mean square of independent normal errors with its interval, from chi-square."""
    quantiles = stats.chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], runs)
    low, high = rmse * np.sqrt(runs / quantiles)
    return rmse, (float(low), float(high))


class FittedView:
    """A run table, cut to the regime of a law, with its laws fitted when first asked.

    The runs of one sparsity and size share a shape and err together, so ensembles draw such curves
    whole; with `whole` false they draw runs one by one, as the laws of released runs that ship do.
    """

    def __init__(
        self, runs: RunTable, name: str, resamples: int, objective: Objective, whole: bool = True
    ) -> None:
        self._table, self._name, self._resamples = runs, name, resamples
        self._objective, self._whole = objective, whole
        self._wider: dict[str, FittedLaw] = {}
        self._without: dict[Kind, list[tuple[Bools, Law]]] = {}

    @cached_property
    def runs(self) -> RunTable:
        """The runs from scratch, unstructured, in the regime of a law."""
        plain = RunTable(
            r
            for r in self._table.finished
            if r.pattern == "unstructured" and r.start == "scratch" and r.pruner in ("none", "gmp")
        )
        return regime(plain).holds(plain) if self._whole else plain

    @cached_property
    def _columns(self) -> Columns:
        return Columns.of(self.runs)

    @cached_property
    def _curve(self) -> Indices:
        return curve_index(self._columns.S, self._columns.N)

    @property
    def law(self) -> FittedLaw:
        """The joint law with its ensemble."""
        return self.wider("joint")

    @cached_property
    def dense(self) -> DenseLaw:
        """The dense law of the dense runs alone, so that no sparse run has a say in it."""
        law = fit(
            self._columns.where(self._columns.S == 0),
            FORMS["dense"],
            self._objective,
            resamples=0,
            profile_resamples=0,
        ).law
        assert isinstance(law, DenseLaw)
        return law

    @cached_property
    def score(self) -> Score:
        """How forecasts from the smaller half of the runs fare on the larger one."""
        return fit_some_predict_others(
            *smaller_half(self.runs),
            objective=self._objective,
            level=LEVEL,
            resamples=self._resamples,
            whole=self._whole,
        ).score

    def wider(self, form: str) -> FittedLaw:
        """The law of a form with its ensemble. Raises InputError where it decides nothing."""
        if form not in self._wider:
            self._wider[form] = fit_table(
                self.runs,
                FORMS[form],
                self._objective,
                name=self._name,
                resamples=self._resamples,
                starts=STARTS,
                clusters=self._curve if self._whole else None,
            )
        return trusted(self._wider[form])

    def error(self, kind: Kind) -> tuple[float, tuple[float, float]]:
        """Error of the joint law beyond the spread over seeds, with an interval from whole curves.

        Each setting's mean error squared, less what seeds put into it, averaged over all settings;
        0 where nothing is left. Without repeats it holds the seeds' noise.
        """
        error = self._residuals(kind)
        known = np.isfinite(error)
        error, curve = error[known], self._curve[known]
        cell = cell_index(*(v[known] for v in (self._columns.S, self._columns.N, self._columns.D)))
        count = np.bincount(cell)
        mean = np.bincount(cell, error) / count
        seeds = pooled(error, cell)
        noise = seeds.deviation**2 if seeds.degrees else 0.0
        total, cells = (
            np.bincount(curve, v / count[cell])
            for v in ((mean**2 - noise / count)[cell], np.ones(len(cell)))
        )
        rng = np.random.default_rng(0)
        drawn = rng.multinomial(len(total), np.full(len(total), 1 / len(total)), size=DRAWS)
        means = (drawn @ total) / np.maximum(drawn @ cells, 1.0)
        value = float(np.sqrt(max(total.sum() / cells.sum(), 0.0)))
        return value, quantile_ends(np.sqrt(np.maximum(means, 0.0)))

    def _residuals(self, kind: Kind) -> Array:
        """log(predicted / measured): by the whole fit, or by one without the run; NaN if in all."""
        if kind == "in sample":
            return residuals(self.law.law, self._columns)
        error = np.full(len(self.runs), np.nan)
        for out, law in self.without(kind):
            error[out] = residuals(law, self._columns.where(out))
        if np.isnan(error).all():
            raise InputError(
                f"no fit without {LEFT_OUT[kind]} can be tested: there are no such runs"
            )
        return error

    def without(self, kind: Kind) -> list[tuple[Bools, Law]]:
        """Every part that is held out in turn, (runs,), and the joint law of the rest."""
        if kind not in self._without:
            S = self._columns.S
            parts = [(S > 0) & (S < BELOW)] if kind == "below half" else splits(self._columns)[kind]
            self._without[kind] = [(part, self._law_of(~part)) for part in parts if part.any()]
        return self._without[kind]

    def _law_of(self, kept: Bools) -> Law:
        return fit(
            self._columns.where(kept),
            FORMS["joint"],
            self._objective,
            starts=STARTS,
            resamples=0,
            profile_resamples=0,
        ).law
