"""What kinds of sparsity cost in each family of models, as a factor on size that families share.

A share of the loss means another thing in each family: in one it is a little size, in another a
lot. How the loss falls along sizes that were trained equally long relative to their optimum turns
it into the factor on size that would make up for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simlib.analysis.contrasts import REFERENCE, Arm, Pairs, arms, match
from simlib.errors import InputError
from simlib.laws.law import Array
from simlib.runs.cells import size_index
from simlib.runs.table import RunTable

FEWEST = 3  # sizes below which a jackknife over them says nothing


class KindCost(NamedTuple):
    """The log of the factor on size that a kind of sparsity costs over the reference in a family.

    `values` (sizes,) are jackknife pseudo-values, whose mean is the estimate and whose scatter is
    its uncertainty: a kind may suit one shape better than another, so a size is what counts as one.
    """

    family: str
    kind: str
    values: Array


def kind_costs(runs: RunTable) -> list[KindCost]:
    """Every kind against the reference, gradual magnitude pruning, in every family of a table.

    Raises InputError where a family has fewer than three sizes, or several amounts of data at one.
    """
    families = dict.fromkeys(r.family for r in runs.finished)
    return [cost for family in families for cost in _of_family(runs.where(family=family), family)]


def _of_family(runs: RunTable, family: str) -> list[KindCost]:
    runs = runs.finished
    kinds = [arm for arm in arms(runs) if arm != REFERENCE]
    return [KindCost(family, _name(arm), _pseudo_values(match(runs, arm), family)) for arm in kinds]


def _name(arm: Arm) -> str:
    return arm.pattern if arm.pattern != REFERENCE.pattern else arm.pruner.replace("_", " ")


def _pseudo_values(pairs: Pairs, family: str) -> Array:
    _, N, D = pairs.points
    size = size_index(N)
    lengths = {(i, d) for i, d in zip(size.tolist(), D.tolist(), strict=True)}
    if len(lengths) > size.max() + 1:
        raise InputError(f"{family} has sizes of several amounts of data: give each one")
    count = np.bincount(size)
    reference = np.log([first.loss for first, _ in pairs.runs])
    x, y, costs = (np.bincount(size, v) / count for v in (np.log(N), reference, pairs.differences))
    sizes = len(count)
    if sizes < FEWEST:
        raise InputError(f"{family} has {sizes} sizes of a kind: it takes {FEWEST}")
    rest = [np.arange(sizes) != i for i in range(sizes)]
    whole, parts = _factor(x, y, costs), [_factor(x[r], y[r], costs[r]) for r in rest]
    if not np.isfinite([whole, *parts]).all():
        raise InputError(f"the loss of {family} does not fall along its sizes")
    return np.asarray(sizes * whole - (sizes - 1) * np.array(parts))


def _factor(x: Array, y: Array, costs: Array) -> float:
    """Mean cost over the slope of the log loss y along log size x, all of shape (sizes,).

    NaN where that loss does not fall.
    """
    slope = -np.polyfit(x, y, 1)[0]
    return float(costs.mean() / slope) if slope > 0 else float("nan")
