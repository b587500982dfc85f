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
from simlib.laws.law import Array, Indices
from simlib.runs.cells import size_index
from simlib.runs.table import RunTable

FEWEST = 4  # networks of a family, a size and a seed each, below which a jackknife says nothing


class KindCost(NamedTuple):
    """The log of the factor on size that a kind of sparsity costs over the reference in a family.

    `values` (networks,) are jackknife pseudo-values, whose mean is the estimate and whose scatter
    is its uncertainty; a network is a size and a seed.
    """

    family: str
    kind: str
    values: Array


def kind_costs(runs: RunTable) -> list[KindCost]:
    """Every kind against the reference, gradual magnitude pruning, in every family of a table.

    Raises InputError where a family has fewer than two sizes, several amounts of data at a size, or
    too few networks.
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
    reference = np.log([first.loss for first, _ in pairs.runs])
    networks = len(pairs)
    if size.max() < 1 or networks < FEWEST:
        raise InputError(
            f"{family} has {networks} pairs of {size.max() + 1} sizes of a kind: it takes two "
            f"sizes and {FEWEST} pairs"
        )
    x, costs = np.log(N), pairs.differences
    rest = [np.arange(networks) != i for i in range(networks)]
    whole = _factor(x, reference, costs, size)
    parts = [_factor(x[r], reference[r], costs[r], size[r]) for r in rest]
    if not np.isfinite([whole, *parts]).all():
        raise InputError(
            f"the loss of {family} does not fall along its sizes, or each has one seed"
        )
    return np.asarray(networks * whole - (networks - 1) * np.array(parts))


def _factor(x: Array, reference: Array, costs: Array, size: Indices) -> float:
    """Mean cost over the slope of the reference's log loss along log size, both over sizes.

    NaN where that loss does not fall.
    """
    count = np.bincount(size)
    known = count > 0
    mean_x, mean_y, cost = (
        np.bincount(size, v)[known] / count[known] for v in (x, reference, costs)
    )
    slope = -np.polyfit(mean_x, mean_y, 1)[0] if len(mean_x) > 1 else 0.0
    return float(cost.mean() / slope) if slope > 0 else float("nan")
