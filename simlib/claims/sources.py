"""What claims are decided from: shipped laws, tables, comparisons and scores, read when asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from simlib.analysis.calibration import CATALOG as SCORES
from simlib.analysis.calibration import Score, load_score
from simlib.analysis.optimumgrid import CATALOG as OPTIMA
from simlib.analysis.optimumgrid import PredictedOptima, load_optima
from simlib.analysis.predictions import CATALOG as PREDICTIONS
from simlib.analysis.predictions import Predictions, load_predictions
from simlib.claims.evidence import NotShippedError, Source
from simlib.claims.view import FittedView, LawView, View
from simlib.datasets import FOLDER, law_names, load_law, load_runs, table_hash, table_names
from simlib.fit import DEFAULT_OBJECTIVE, OBJECTIVES
from simlib.fit.compare import Comparison
from simlib.fit.comparefile import CATALOG as COMPARISONS
from simlib.fit.comparefile import load_comparison
from simlib.fit.fittedlaw import FittedLaw
from simlib.runs.table import RunTable

WIDER = FOLDER / "wider"  # law files of forms wider than the joint law
Content = TypeVar("Content")


@dataclass(frozen=True)
class RunSet:
    """A set of runs by the name that tables show, with its table and, where it ships, its law."""

    label: str
    table: str
    source: Source
    law: str = ""

    def __str__(self) -> str:
        return self.label


def _ours(name: str) -> RunSet:
    return RunSet(name, name, "own")


# every set of runs that a rule asks, by its role: a table that is renamed is renamed here
VIT = RunSet("ViT on JFT-4B", "vit-jft", "released", "vit-jft-refit")
T5 = RunSet("T5 on C4", "t5-c4", "released", "t5-c4-refit")
LANGUAGE = _ours("gpt-laptop")  # decoder-only models in the regime of the law
PLATEAU = _ours("gpt-plateau")  # the first table of them, much of it before learning sets in
VISION, ENCODER_DECODER = _ours("vit-laptop"), _ours("t5-laptop")
OPTIMUM, HELD_OUT = _ours("optimum-laptop"), _ours("holdout-laptop")
PATTERNS, PRUNERS = _ours("nm-laptop"), _ours("pruners-laptop")
ALIKE = LANGUAGE  # unstructured runs of the recipe that patterns have: their law is the measure
PRETRAINED = _ours("pretrained-laptop")
KINDS = _ours("kinds-laptop")  # ways of pruning in every family, at equal relative training
TOGETHER = _ours("own-tables")  # no table: the runs of all of ours that ship
RELEASED = (VIT, T5)
OURS = (LANGUAGE, PLATEAU, VISION, ENCODER_DECODER)
EVERY = (*RELEASED, *OURS)
MEASURED = (*OURS, OPTIMUM, HELD_OUT, PATTERNS, PRUNERS, PRETRAINED, KINDS, TOGETHER)


def ships(runs: RunSet) -> bool:
    """Whether the table of a set of our runs ships."""
    return runs == TOGETHER or runs.table in table_names()


def content_hash(runs: RunSet) -> str:
    """SHA-256 of a set of our runs as they ship. Raises InputError where they do not."""
    if runs != TOGETHER:
        return table_hash(runs.table)
    names = table_names()
    return hashlib.sha256(" ".join(map(table_hash, names)).encode()).hexdigest()


@dataclass(frozen=True)
class Sources:
    """Laws, run tables, comparisons of forms and scores of forecasts, by name.

    What is given here stands in for what ships under the same name; with `shipped` false nothing
    else is found. Each method raises NotShippedError for what is not there.
    """

    laws: Mapping[str, FittedLaw] = field(default_factory=dict)
    tables: Mapping[str, RunTable] = field(default_factory=dict)
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    scores: Mapping[str, Score] = field(default_factory=dict)
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    optima: Mapping[str, PredictedOptima] = field(default_factory=dict)
    shipped: bool = True
    resamples: int = 400
    _views: dict[str, View] = field(default_factory=dict, compare=False, repr=False)

    def view(self, runs: RunSet) -> View:
        """A set of runs with its laws: fitted to its table, or as they ship where it has none.

        Released runs ship as laws alone, so a table of them counts only if it was given.
        """
        if runs.label not in self._views:
            if runs.source == "released" and runs.table not in self.tables:
                found: View = LawView(self, runs.law, runs.table)
            else:
                found = FittedView(
                    self.runs(runs.table),
                    runs.table,
                    self.resamples,
                    OBJECTIVES.get(runs.table, DEFAULT_OBJECTIVE),
                    whole=runs.source == "own",
                )
            self._views[runs.label] = found
        return self._views[runs.label]

    def law(self, name: str) -> FittedLaw:
        """A law file."""
        return self._find("law", name, self.laws, law_names(), load_law)

    def wider(self, name: str, form: str) -> FittedLaw:
        """The law file of a wider form fitted to the runs of a table."""
        known = [p.stem for p in WIDER.glob("*.json")]
        file = f"{name}-{form}"
        return self._find("law", file, self.laws, known, lambda n: load_law(_wider(n)))

    def runs(self, name: str) -> RunTable:
        """The finished runs of a table, or of all of ours together, each once."""
        if name == TOGETHER.table and name not in self.tables:
            return self._together()
        return self._find("run table", name, self.tables, table_names(), load_runs).finished

    def _together(self) -> RunTable:
        names = {*self.tables, *(table_names() if self.shipped else ())}
        found = [self.runs(name) for name in sorted(names - {runs.table for runs in RELEASED})]
        if not found:
            raise NotShippedError("no run table of ours has shipped yet")
        return reduce(RunTable.merge, found)

    def comparison(self, name: str) -> Comparison:
        """A comparison of forms on one table."""
        return self._find(
            "comparison",
            name,
            self.comparisons,
            COMPARISONS.names(),
            lambda n: load_comparison(n).comparison,
        )

    def score(self, name: str) -> Score:
        """How forecasts from a table's smaller runs fared on the larger ones."""
        return self._find("score", name, self.scores, SCORES.names(), lambda n: load_score(n).score)

    def predicted(self, name: str) -> Predictions:
        """What was predicted of a grid's runs before they were trained."""
        return self._find(
            "file of predictions", name, self.predictions, PREDICTIONS.names(), load_predictions
        )

    def optimum(self, name: str) -> PredictedOptima:
        """The optimal sparsities that were predicted for a grid's points."""
        return self._find(
            "file of predicted optima", name, self.optima, OPTIMA.names(), load_optima
        )

    def _find(
        self,
        what: str,
        name: str,
        given: Mapping[str, Any],
        known: list[str],
        load: Callable[[str], Content],
    ) -> Content:
        if name in given:
            found: Content = given[name]
            return found
        if not self.shipped or name not in known:
            raise NotShippedError(f"no {what} named {name} has shipped yet")
        return load(name)


def _wider(name: str) -> str:
    return str(Path(WIDER) / f"{name}.json")
