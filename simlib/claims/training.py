"""C12, C15, S4 and S9: what the way of pruning changes, from runs that differ in nothing else."""

from __future__ import annotations

import numpy as np
from scipy import stats

from simlib.claims.estimates import difference_of_means, ends, of_estimate
from simlib.claims.evidence import Claim, Evidence, Outcome, Region, ask
from simlib.claims.sources import OUR_GPT, OURS, RunSet, Sources
from simlib.contrasts import LEVEL, REFERENCE, Arm, Pairs, arms, match, seed_spread
from simlib.errors import InputError
from simlib.runs import RunTable
from simlib.tables import percent
from simlib.worth import trend

CLOSE = 0.01  # of the loss: a smaller difference is called close
ONE_LAW = 1.25  # factor on a pattern's worth that a doubling of size may have
STABLE = 2.0  # factor on the spread over seeds that is still called as stable
GENTLE, HARSH = ("2:4", "4:8"), ("1:4", "2:8")
MASK_BLIND = "no run with an optimizer that ignores the masks has shipped"
KINDS = ("random choice", "1:4", "block4x4")


def _pattern(name: str) -> Arm:
    return REFERENCE._replace(pattern=name)


def patterns(sources: Sources) -> Outcome:
    """Loss of n:m patterns over unstructured, and whether one multiplier a pattern is enough."""

    def loss(name: str) -> Evidence:
        found = match(sources.runs("nm-laptop"), _pattern(name)).effect_over_cells()
        region = Region(high=CLOSE) if name in GENTLE else Region(0.0)
        return of_estimate(f"nm-laptop, {name}", True, "log loss over unstructured", found, region,
                           "%")  # fmt: skip

    def drift(name: str) -> Evidence:
        pairs = match(sources.runs("nm-laptop"), _pattern(name))
        found = trend(pairs, sources.law(OUR_GPT.law))
        if found is None:
            raise InputError("too few pairs for a trend")
        return of_estimate(
            f"nm-laptop, {name}", True, "worth over unstructured, factor a doubling of size",
            found.size.map(lambda v: float(np.exp(v))), Region(1 / ONE_LAW, ONE_LAW), "x",
        )  # fmt: skip

    return ask((*GENTLE, *HARSH), loss) + ask((*GENTLE, *HARSH), drift)


def other_pruners(sources: Sources) -> Outcome:
    """Loss of every other pruner over gradual magnitude pruning, and of mask-blind optimizers.

    Each optimizer and length of training is asked by itself.
    """
    runs = sources.runs("pruners-laptop").where(family="gpt")
    settings = sorted({(r.optimizer, r.data_seen) for r in runs})
    groups = {s: runs.where(optimizer=s[0], data_seen=s[1]) for s in settings}
    questions = {f"{arm}, {o}, {d:,} bytes": (arm, group)
                 for (o, d), group in groups.items() for arm in arms(group)}  # fmt: skip
    pruners = [q for q, (arm, _) in questions.items() if arm.aware and arm.pruner != "gmp"]
    blind = [q for q, (arm, _) in questions.items() if not arm.aware]

    def loss(question: str) -> Evidence:
        arm, group = questions[question]
        found = match(group, arm).effect_over_cells()
        return of_estimate(
            f"pruners-laptop, {question}", True, "log loss over gradual magnitude pruning", found,
            Region(-CLOSE), "%",
        )  # fmt: skip

    def blindness(question: str) -> Evidence:
        arm, group = questions[question]
        found = match(group, arm, reference=arm._replace(aware=True)).effect_over_cells()
        return of_estimate(
            f"pruners-laptop, {question}", True, "log loss over that with the masks known", found,
            Region(0.0), "%",
        )  # fmt: skip

    lacking = () if blind else (f"pruners-laptop: {MASK_BLIND}",)
    return ask(pruners, loss) + ask(blind, blindness) + Outcome(missing=lacking)


def families_differ(sources: Sources) -> Outcome:
    """Loss that a kind of sparsity costs in one family, against language models."""
    questions = {f"{k}, {f}": (k, f) for k in KINDS for f in ("vit", "t5")}

    def difference(name: str) -> Evidence:
        kind, family = questions[name]
        runs = _shortest(sources.runs("pruners-laptop"))
        nm = sources.runs("nm-laptop") if kind == "1:4" else runs
        here, there = _cost(runs, kind, family), _cost(nm, kind, "gpt")
        found = difference_of_means(here.differences, there.differences)
        return Evidence(
            f"pruners-laptop, {kind}", True, f"size of the difference in cost, {family} less gpt",
            abs(found.mean), _magnitude(*ends(found.interval)), Region(CLOSE), "%",
            note=f"{percent(float(here.differences.mean()), 1)} in {family}, "
            f"{percent(float(there.differences.mean()), 1)} in gpt",
        )  # fmt: skip

    return ask(questions, difference)


def _shortest(runs: RunTable) -> RunTable:
    """The least data of each family: only language models were trained for longer, too."""
    least = {f: min(r.data_seen for r in runs.where(family=f)) for f in {r.family for r in runs}}
    return RunTable(r for r in runs if r.data_seen == least[r.family])


def _cost(runs: RunTable, kind: str, family: str) -> Pairs:
    arm = REFERENCE._replace(pruner="random_gradual") if kind == KINDS[0] else _pattern(kind)
    found = match(runs.where(family=family), arm)
    near = [(a, b) for a, b in found.runs if round(a.sparsity, 2) == 0.75]
    if len(near) < 2:
        raise InputError(f"fewer than two pairs of {family} at 75 % sparsity")
    return Pairs(found.reference, found.other, tuple(near))


def _magnitude(low: float, high: float) -> tuple[float, float]:
    inside = low <= 0 <= high
    return (0.0 if inside else min(abs(low), abs(high))), max(abs(low), abs(high))


def stable(sources: Sources, runs: RunSet) -> Evidence:
    """Spread over seeds of sparse runs over that of dense ones, from Fisher's F."""
    table = sources.runs(runs.table)
    sparse = seed_spread(RunTable(r for r in table if r.sparsity > 0), LEVEL)
    dense = seed_spread(RunTable(r for r in table if r.sparsity == 0), LEVEL)
    ratio = sparse.deviation / dense.deviation
    tails = [(1 + LEVEL) / 2, (1 - LEVEL) / 2]
    low, high = ratio / np.sqrt(stats.f.ppf(tails, sparse.degrees, dense.degrees))
    return Evidence(
        runs.label, True, "spread over seeds, sparse over dense", ratio, (float(low), float(high)),
        Region(1 / STABLE, STABLE), "x",
        note=f"{percent(sparse.deviation, 2)} against {percent(dense.deviation, 2)}",
    )  # fmt: skip


CLAIMS = (
    Claim(
        "C12", "n:m patterns follow the same law; 2:4 and 4:8 come close to unstructured sparsity, "
        "75 % patterns lose some.", "",
        f"2:4 and 4:8 cost less than {CLOSE:.0%} of the loss, 1:4 and 2:8 more than 0; and a "
        f"doubling of size changes a pattern's worth by a factor between {1 / ONE_LAW:g} and "
        f"{ONE_LAW:g}",
        "notebooks/nm_patterns.md", patterns,
    ),
    Claim(
        "C15", "Gradual magnitude pruning is as good as AC/DC and other choices; the optimizer "
        "must know the masks.", "",
        f"no other pruner is better by more than {CLOSE:.0%} of the loss, and an optimizer that "
        "does not know the masks is worse",
        "notebooks/pruners.md", other_pruners,
    ),
    Claim(
        "S4", "Kinds of sparsification affect families of models differently.", "",
        f"what a kind costs in one family differs by more than {CLOSE:.0%} of the loss from what "
        "it costs in language models",
        "notebooks/pruners.md", families_differ,
    ),
    Claim(
        "S9", "The stability of sparse models was left for later: here, their spread over seeds is "
        "that of dense ones.", "",
        f"the ratio of the spreads lies between {1 / STABLE:g} and {STABLE:g}",
        "notebooks/pruners.md", lambda s: ask(OURS, lambda runs: stable(s, runs)),
    ),
)  # fmt: skip
