"""C7 to C11 and C14: where sparsity is best, and against what it is fair to compare it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simlib.analysis.numbers import number
from simlib.claims.crossover import multiples
from simlib.claims.estimates import (
    SPARSITY,
    of_estimate,
    of_law,
    optimal_at,
    smallest_equal_size,
)
from simlib.claims.evidence import Measured, Region
from simlib.claims.pairs import DensePairs, pairs
from simlib.claims.rule import Ask, Claim, Rule
from simlib.claims.sources import EVERY, OURS, RELEASED, RunSet, Sources
from simlib.laws.law import PUBLISHED, Array, JointLaw
from simlib.laws.optimum import chinchilla_flops, compute_multiple, cost_model
from simlib.runs.cells import same_sparsity

GROWTH = 0.05  # rise of optimal sparsity that is called growth
BUDGETS = (1.0, 10.0)  # multiples of the dense compute optimum between which it is judged
LAST = 10.0  # multiple of the dense compute optimum beyond which training is long
PARALLEL = 1.5  # factor on the break-even budget that a doubling of N may have
SMALLER = 0.6  # share of the dense optimum's size below which a model is called smaller
NEAR_PAPER = 1.25  # factor from the paper's multiplier that still reproduces it
HALF = 0.5  # the sparsity of comparisons at equal cost: the least that every table has
MULTIPLIERS = {name: float(law.multiplier(SPARSITY)) for name, law in PUBLISHED.items()}
ONSETS = {name: float(compute_multiple(law, 0.0)) for name, law in PUBLISHED.items()}


def at_equal_cost(sources: Sources, runs: RunSet) -> DensePairs:
    """Sparse settings beside the dense one of equal non-zero size and training cost."""
    view = sources.view(runs)
    return pairs(view.runs, view.dense, data=1.0)


def slope(relative: bool) -> Ask:
    """How the gain at equal non-zero size and training cost changes with training."""
    return lambda sources, runs: of_estimate(at_equal_cost(sources, runs).slope(relative))


def slope_rules(id: str, region: Region, true: str, false: str) -> tuple[Rule, Rule]:
    """The rule on that change in nats, and the same of the loss that falls meanwhile."""
    how = (
        "least squares in log2 of the dense partner's data with a level for each sparsity, size "
        "by size; mean over sizes with Student's t"
    )
    return (
        Rule(
            f"{id}.nats",
            "gain of sparsity at equal N and cost, nats a doubling",
            how,
            region,
            "",
            OURS,
            slope(False),
            true,
            false,
        ),
        Rule(
            f"{id}.log",
            "gain of sparsity at equal N and cost, of the loss a doubling",
            how,
            region,
            "%",
            OURS,
            slope(True),
            true,
            false,
        ),
    )


def rises(sources: Sources, runs: RunSet) -> Measured:
    """Rise of the law's optimal sparsity between two budgets."""
    low, high = (optimal_at(multiple, "dense") for multiple in BUDGETS)
    return of_law(sources.view(runs).law, lambda law: high(law) - low(law))


def rise_rule(id: str, region: Region, true: str, false: str) -> Rule:
    """The rule on that rise, for released runs: by the law's form it can be no fall."""
    return Rule(
        id,
        f"rise of the best sparsity from {BUDGETS[0]:g} to {BUDGETS[1]:g} times the dense optimum",
        "in the joint law, under dense cost; interval from its ensemble",
        region,
        "%",
        RELEASED,
        rises,
        true,
        false,
    )


def drift(sources: Sources, runs: RunSet) -> Measured:
    """Factor on the break-even budget, in Chinchilla's, with each doubling of N."""
    law_file = sources.view(runs).law
    return of_estimate(at_equal_cost(sources, runs).drift(law_file.joint, law_file.members()))


def onset(sources: Sources, runs: RunSet) -> Measured:
    """The multiple of the dense compute optimum past which sparsity pays, under dense cost."""
    law_file, paper = sources.view(runs).law, ONSETS.get(runs.table)
    found = of_law(law_file, lambda law: compute_multiple(law, 0.0), paper)
    low, high = found.interval
    if paper is None or low <= paper <= high:
        return found
    return found._replace(note=f"the published {number(paper)} lies outside the interval")


def pays(sources: Sources, runs: RunSet) -> Measured:
    """Mean gain of 50% sparsity at equal cost where the dense partner was trained for long."""
    found = at_equal_cost(sources, runs)
    times = multiples(found, sources.view(runs).dense)
    long = found.where(same_sparsity(found.sparsity, HALF) & (times >= LAST))
    most = times.max()
    return of_estimate(long.mean(), note=f"{len(long)} pairs, up to {most:.0f} times the optimum")


def smaller(sources: Sources, runs: RunSet) -> Measured:
    """The smallest sparse model as good as the dense compute optimum of the same cost."""
    return of_law(sources.view(runs).law, smallest_equal_size("sparse"))


def multiplier(sources: Sources, runs: RunSet) -> Measured:
    """Worth of a non-zero weight against the paper's."""
    return of_law(
        sources.view(runs).law, lambda law: law.multiplier(SPARSITY), MULTIPLIERS.get(runs.table)
    )


def gain_at(multiple: float) -> Callable[[Sources, RunSet], Measured]:
    """The law's gain of 50% sparsity at equal N and cost, at a multiple of the dense optimum."""

    def ask(sources: Sources, runs: RunSet) -> Measured:
        law_file = sources.view(runs).law
        low, high = law_file.fitted_range.nonzero_params
        N = float(np.sqrt(low * high))

        def compute(law: JointLaw) -> Array:
            flops = multiple * chinchilla_flops(law, N)
            data = [cost_model("dense").data_seen(S, N, flops) for S in (0.0, HALF)]
            return np.log(law(0.0, N, data[0]) / law(HALF, N, data[1]))

        return of_law(law_file, compute)

    return ask


CLAIMS = (
    Claim(
        "C7",
        "At a fixed number of non-zero parameters, optimal sparsity grows with training.",
        "",
        "notebooks/optimal_sparsity.md",
        (
            rise_rule("C7", Region(GROWTH), "joint", "no worth"),
            *slope_rules("C7", Region(0.0), "joint", "short training"),
        ),
    ),
    Claim(
        "C8",
        "Contours of equal optimal sparsity are parallel to the Chinchilla line, under both costs.",
        "",
        "notebooks/optimal_sparsity.md",
        (
            Rule(
                "C8",
                "break-even budget over Chinchilla's, factor a doubling of N",
                "in a joint law the contours are parallel whatever its coefficients, so runs alone "
                "can tell: gains at equal N and cost, in units of the size term, regressed on log "
                "D and log N; interval from curves drawn whole and the law's ensemble",
                Region(1 / PARALLEL, PARALLEL),
                "x",
                OURS,
                drift,
                "joint",
                "crossing curves",
            ),
        ),
    ),
    Claim(
        "C9",
        "Sparsity pays beyond the dense compute optimum.",
        "past {} times (ViT), {} times (T5) Chinchilla data, dense cost [D]".format(
            *(number(ONSETS[name]) for name in ("vit-jft", "t5-c4"))
        ),
        "notebooks/optimal_sparsity.md",
        (
            Rule(
                "C9",
                "budget past which sparsity pays, in dense optima",
                "in the joint law, under dense cost; interval from its ensemble; at most the "
                "larger of the published laws' multiples",
                Region(0.0, max(ONSETS.values())),
                "x",
                RELEASED,
                onset,
                "joint",
                "little worth",
            ),
            Rule(
                "C9.runs",
                f"gain of 50% sparsity at equal N and cost, dense trained beyond {LAST:g} optima",
                "mean over the pairs of a size, then over sizes with Student's t; the dense "
                "optimum is that of the law of the dense runs",
                Region(0.0),
                "%",
                OURS,
                pays,
                "joint",
                "no worth",
            ),
        ),
    ),
    Claim(
        "C10",
        "One training cost admits several sparse optima, which serve smaller models at equal loss.",
        "",
        "notebooks/optimal_sparsity.md",
        (
            Rule(
                "C10",
                "least size of equal loss and cost, over the dense optimum's",
                "in the joint law, under sparse cost; interval from its ensemble",
                Region(0.0, SMALLER),
                "%",
                EVERY,
                smaller,
                "joint",
                "hardly any worth",
            ),
        ),
    ),
    Claim(
        "C11",
        "A non-zero weight at 50, 75, 87.5% is worth a stated number of dense ones.",
        "1.60, 2.17, 2.63 (ViT), 1.59, 2.16, 2.63 (T5) [D]",
        "notebooks/fit_released.md",
        (
            Rule(
                "C11",
                f"worth of a weight at {SPARSITY:.0%}, in dense ones",
                "in the joint law; interval from its ensemble; within a factor "
                f"{NEAR_PAPER:g} of the published laws'",
                Region(
                    min(MULTIPLIERS.values()) / NEAR_PAPER, max(MULTIPLIERS.values()) * NEAR_PAPER
                ),
                "x",
                EVERY,
                multiplier,
                "paper's worth",
                "little worth",
            ),
        ),
    ),
)
FAIR = Claim(
    "C14",
    "A fair comparison holds non-zero size and training cost equal; data-limited and "
    "over-trained ones flatter sparsity.",
    "",
    "notebooks/optimal_sparsity.md",
    (
        Rule(
            "C14",
            "gain of 50% sparsity at equal N and cost, at the dense optimum",
            "in the joint law, under dense cost, where C11 says that it gains at equal N and data: "
            "the sign turns if the comparison is made fair; interval from its ensemble",
            Region(high=0.0),
            "%",
            EVERY,
            gain_at(1.0),
            "joint",
            "early",
        ),
        slope_rules("C14", Region(0.0), "joint", "short training")[0],
    ),
)
