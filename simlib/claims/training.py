"""C12, C15, S4 and S9: what the way of pruning changes, from runs that differ in nothing else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from simlib.analysis.contrasts import OPTIMIZERS, REFERENCE, Arm, Pairs, arms, match
from simlib.analysis.kinds import kind_costs
from simlib.analysis.numbers import number
from simlib.analysis.stability import spread_ratio
from simlib.analysis.worth import trend
from simlib.claims.estimates import difference_of_means, ends, of_estimate
from simlib.claims.evidence import Measured, Region
from simlib.claims.rule import Ask, Claim, Rule
from simlib.claims.sources import (
    ALIKE,
    KINDS,
    PATTERNS,
    PRUNERS,
    TOGETHER,
    RunSet,
    Sources,
)
from simlib.errors import InputError
from simlib.laws.intervals import LEVEL

CLOSE = 0.01  # of the loss: a smaller difference is called close
NOTHING = 0.0025  # of the loss: a smaller difference contradicts nothing
ONE_LAW = 1.05  # factor on a pattern's worth that a doubling of size may have
ONE_LAW_REGION = Region(1 / ONE_LAW, ONE_LAW)
STABLE = 2.0  # factor on the spread over seeds that is still called as stable
APART = 1.1  # factor on size beyond which what a kind costs is called different
GENTLE, HARSH = ("2:4", "4:8"), ("1:4", "2:8")


def _pattern(name: str) -> Arm:
    return REFERENCE._replace(pattern=name)


def _matched(sources: Sources, runs: RunSet, name: str) -> Pairs:
    return match(sources.runs(runs.table), _pattern(name))


def pattern_loss(names: tuple[str, ...]) -> Ask:
    """Loss of n:m patterns over unstructured sparsity."""

    def ask(sources: Sources, runs: RunSet) -> list[Measured]:
        return [
            of_estimate(_matched(sources, runs, name).effect_over_cells(), part=name)
            for name in names
        ]

    return ask


def pattern_drift(sources: Sources, runs: RunSet) -> list[Measured]:
    """Factor on a pattern's worth with each doubling of size."""

    def drift(name: str) -> Measured:
        found = trend(_matched(sources, runs, name), sources.view(ALIKE).law)
        if found is None:
            raise InputError("too few pairs for a trend")
        return of_estimate(found.size.map(lambda v: float(np.exp(v))), part=name)

    return [drift(name) for name in (*GENTLE, *HARSH)]


def against(which: Callable[[Arm], bool], reference: Callable[[Arm], Arm]) -> Ask:
    """Loss of each arm over its reference, for each optimizer and length of training by itself."""

    def ask(sources: Sources, runs: RunSet) -> list[Measured]:
        table = sources.runs(runs.table).where(family="gpt")
        found = []
        for optimizer, data in sorted({(r.optimizer, r.data_seen) for r in table}):
            group = table.where(optimizer=optimizer, data_seen=data)
            for arm in arms(group):
                if which(arm):
                    effect = match(group, arm, reference=reference(arm)).effect_over_cells()
                    part = f"{arm}, {OPTIMIZERS[optimizer]}, {data:,} bytes"
                    found.append(of_estimate(effect, part=part))
        if not found:
            raise InputError("it has no run of the kind that is asked about")
        return found

    return ask


def families_differ(sources: Sources, runs: RunSet) -> Measured:
    """The factor on size by which a kind of sparsity costs more in one family than in another.

    The largest over kinds and pairs of families: its lower end holds for all of these together
    (Bonferroni), its upper end is the largest of theirs.
    """
    costs = kind_costs(sources.runs(runs.table))
    compared = [(a, b) for a, b in combinations(costs, 2) if a.kind == b.kind]
    if not compared:
        raise InputError("no kind of sparsity was trained in two families")
    together = 1 - (1 - LEVEL) / len(compared)
    lows, highs, sizes = [], [], []
    for a, b in compared:
        apart = difference_of_means(a.values, b.values)
        sizes.append(abs(apart.mean))
        sure = difference_of_means(a.values, b.values, together)
        lows.append(_magnitude(*ends(sure.interval))[0])
        highs.append(_magnitude(*ends(apart.interval))[1])
    first, second = compared[int(np.argmax(sizes))]
    factors = (f"{number(float(np.exp(c.values.mean())))} in {c.family}" for c in (first, second))
    note = f"{first.kind}: a factor on size of {', of '.join(factors)}"
    value, low, high = (float(np.exp(max(parts))) for parts in (sizes, lows, highs))
    return Measured(value, (low, high), note)


def _magnitude(low: float, high: float) -> tuple[float, float]:
    inside = low <= 0 <= high
    return (0.0 if inside else min(abs(low), abs(high))), max(abs(low), abs(high))


def stable(sources: Sources, runs: RunSet) -> Measured:
    """Spread over seeds of sparse runs over that of dense ones."""
    found = spread_ratio(sources.runs(runs.table))
    note = (
        f"{found.sparse} sparse and {found.dense} dense cells at {found.places} places of "
        f"{found.clusters} dense shapes; {found.unmatched} cells with repeats have no cell of the "
        "other kind beside them"
    )
    return Measured(found.value, found.interval, note)


CLAIMS = (
    Claim(
        "C12",
        "n:m patterns follow the same law; 2:4 and 4:8 come close to unstructured sparsity, "
        "75% patterns lose some.",
        "",
        "notebooks/nm_patterns.md",
        (
            Rule(
                "C12.gentle",
                "log loss over unstructured",
                "pairs of runs alike in all but the pattern, seeds averaged; mean over cells with "
                "Student's t",
                Region(high=CLOSE),
                "%",
                (PATTERNS,),
                pattern_loss(GENTLE),
                "mild patterns",
                "costly patterns",
            ),
            Rule(
                "C12.harsh",
                "log loss over unstructured",
                "the same, at 75% sparsity",
                Region(0.0),
                "%",
                (PATTERNS,),
                pattern_loss(HARSH),
                "mild patterns",
                "free patterns",
            ),
            Rule(
                "C12.drift",
                "worth over unstructured, factor a doubling of size",
                "least squares of the log of the worth that the law of language models gives each "
                "pair, on log2 N and log2 D; Student's t joined with the law's ensemble",
                ONE_LAW_REGION,
                "x",
                (PATTERNS,),
                pattern_drift,
                "mild patterns",
                "patterns that grow on size",
            ),
        ),
    ),
    Claim(
        "C15",
        "Gradual magnitude pruning is as good as AC/DC and other choices; the optimizer "
        "must know the masks.",
        "",
        "notebooks/pruners.md",
        (
            Rule(
                "C15.pruners",
                "log loss over gradual magnitude pruning",
                "pairs of runs alike in all but the pruner, seeds averaged, for each optimizer and "
                "length of training; mean over cells with Student's t",
                Region(-CLOSE),
                "%",
                (PRUNERS,),
                against(lambda arm: arm.aware and arm.pruner != "gmp", lambda _: REFERENCE),
                "worse pruners",
                "better pruners",
            ),
            Rule(
                "C15.masks",
                "log loss of optimizers that ignore the masks, over that with them",
                "the same, for runs alike in all but that",
                Region(0.0, margin=NOTHING),
                "%",
                (PRUNERS,),
                against(lambda arm: not arm.aware, lambda arm: arm._replace(aware=True)),
                "worse pruners",
                "better pruners",
            ),
        ),
    ),
    Claim(
        "S4",
        "Kinds of sparsification affect families of models differently.",
        "",
        "notebooks/pruners.md",
        (
            Rule(
                "S4",
                "factor on size by which a kind costs more in one family than in another",
                "what a kind costs over magnitude pruning as a factor on size, by the slope of the "
                "loss along sizes of equal relative training; largest over kinds and pairs of "
                "families, Welch's interval of the jackknife over sizes, its lower end "
                "corrected for their number; written after the first tables, before these runs",
                Region(APART),
                "x",
                (KINDS,),
                families_differ,
                "families apart",
                "families alike",
            ),
        ),
    ),
    Claim(
        "S9",
        "The stability of sparse models was left for later: here, their spread over seeds is "
        "that of dense ones.",
        "",
        "notebooks/pruners.md",
        (
            Rule(
                "S9",
                "spread over seeds, sparse over dense",
                "all tables together, at each size and amount of data that has repeats of both; "
                "jackknife over dense shapes with Student's t; post hoc: written after the first "
                "tables were known, table by table",
                Region(1 / STABLE, STABLE),
                "x",
                (TOGETHER,),
                stable,
                "joint",
                "unruly sparse runs",
            ),
        ),
    ),
)
