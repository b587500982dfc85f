"""C12, C15, S4 and S9: what the way of pruning changes, from runs that differ in nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from simlib.analysis.contrasts import FAMILIES, OPTIMIZERS, REFERENCE, Arm, Pairs, arms, match
from simlib.analysis.numbers import percent
from simlib.analysis.worth import trend
from simlib.claims.estimates import difference_of_means, ends, of_estimate
from simlib.claims.evidence import Measured, Region
from simlib.claims.rule import Ask, Claim, Rule
from simlib.claims.sources import ALIKE, OURS, PATTERNS, PRUNERS, RunSet, Sources
from simlib.errors import InputError
from simlib.laws.intervals import LEVEL
from simlib.runs.cells import same_sparsity, seed_spread
from simlib.runs.table import RunTable

CLOSE = 0.01  # of the loss: a smaller difference is called close
NOTHING = 0.0025  # of the loss: a smaller difference contradicts nothing
ONE_LAW = 1.05  # factor on a pattern's worth that a doubling of size may have
ONE_LAW_REGION = Region(1 / ONE_LAW, ONE_LAW)
STABLE = 2.0  # factor on the spread over seeds that is still called as stable
GENTLE, HARSH = ("2:4", "4:8"), ("1:4", "2:8")
KINDS = ("random choice", "1:4", "block4x4")


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


def families_differ(sources: Sources, runs: RunSet) -> list[Measured]:
    """By how much what a kind of sparsity costs in one family differs from language models."""
    found = [
        measured
        for kind in KINDS
        for family in ("vit", "t5")
        if (measured := _difference(sources, runs, kind, family))
    ]
    if not found:
        raise InputError("no kind of sparsity has two pairs at 75% sparsity in two families")
    return found


def _difference(sources: Sources, runs: RunSet, kind: str, family: str) -> Measured | None:
    table = _shortest(sources.runs(runs.table))
    nm = sources.runs(PATTERNS.table) if kind == "1:4" else table
    try:
        here, there = _cost(table, kind, family), _cost(nm, kind, "gpt")
    except InputError:
        return None
    found = difference_of_means(here.differences, there.differences)
    note = (
        f"{percent(float(here.differences.mean()), 1)} in {FAMILIES[family]}, "
        f"{percent(float(there.differences.mean()), 1)} in GPT"
    )
    return Measured(
        abs(found.mean), _magnitude(*ends(found.interval)), note, f"{kind}, {FAMILIES[family]}"
    )


def _shortest(runs: RunTable) -> RunTable:
    """The least data of each family: only language models were trained for longer, too."""
    least = {f: min(r.data_seen for r in runs.where(family=f)) for f in {r.family for r in runs}}
    return RunTable(r for r in runs if r.data_seen == least[r.family])


def _cost(runs: RunTable, kind: str, family: str) -> Pairs:
    arm = REFERENCE._replace(pruner="random_gradual") if kind == KINDS[0] else _pattern(kind)
    found = match(runs.where(family=family), arm)
    near = [(a, b) for a, b in found.runs if same_sparsity(a.sparsity, 0.75)]
    if len(near) < 2:
        raise InputError(f"fewer than two pairs of {family} at 75% sparsity")
    return Pairs(found.reference, found.other, tuple(near))


def _magnitude(low: float, high: float) -> tuple[float, float]:
    inside = low <= 0 <= high
    return (0.0 if inside else min(abs(low), abs(high))), max(abs(low), abs(high))


def stable(sources: Sources, runs: RunSet) -> Measured:
    """Spread over seeds of sparse runs over that of dense ones, from Fisher's F."""
    table = sources.runs(runs.table)
    sparse = seed_spread(RunTable(r for r in table if r.sparsity > 0), LEVEL)
    dense = seed_spread(RunTable(r for r in table if r.sparsity == 0), LEVEL)
    ratio = sparse.deviation / dense.deviation
    tails = [(1 + LEVEL) / 2, (1 - LEVEL) / 2]
    low, high = ratio / np.sqrt(stats.f.ppf(tails, sparse.independent, dense.independent))
    note = f"{percent(sparse.deviation, 2)} against {percent(dense.deviation, 2)}"
    return Measured(ratio, (float(low), float(high)), note)


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
                "size of the difference in cost from language models",
                "what a kind costs over unstructured magnitude pruning in pairs alike in all else, "
                "one family less the other, with Welch's interval",
                Region(CLOSE),
                "%",
                (PRUNERS,),
                families_differ,
                "families apart",
                "mild patterns",
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
                "pooled over settings, with Fisher's F; runs that share a prefix of their training "
                "count once",
                Region(1 / STABLE, STABLE),
                "x",
                OURS,
                stable,
                "joint",
                "unruly sparse runs",
            ),
        ),
    ),
)
