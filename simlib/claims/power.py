"""Level and power of the rules: how often each answers which way, on tables of a known truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from tqdm import tqdm

from simlib.catalog import Catalog
from simlib.claims.designs import VirtualSet
from simlib.claims.evidence import Answer, Power
from simlib.claims.rule import Rule
from simlib.claims.truths import TRUTHS

Answers = Counter[tuple[str, str, Answer]]  # of a rule, of a part of it
ANY = "*"  # in place of a part: some part


@dataclass(frozen=True)
class Powers:
    """The power of every rule that asks one set of runs, the design behind it, and how it was made.

    `truths` says in words what each truth is. A table of fewer than `runs` runs is not the one
    that the power is of.
    """

    name: str
    runs: int
    design: str
    made: dict[str, str]
    truths: dict[str, str]
    powers: tuple[Power, ...]


CATALOG = Catalog(Powers, "power", "file of power")


@cache
def load_powers(name: str) -> Powers:
    """The shipped power of the rules on a table."""
    return CATALOG.load(name)


def compute_powers(
    rules: Iterable[Rule], design: VirtualSet, *, tables: int, seed: int, made: dict[str, str]
) -> Powers:
    """Ask every rule of so many virtual tables where its claim is true, and where it is false."""
    runs = design.runs
    asked = [rule for rule in rules if runs in rule.sets and not rule.exact]
    names = dict.fromkeys(name for rule in asked for name in (rule.true, rule.false))
    counts = {
        name: _answers([r for r in asked if name in (r.true, r.false)], design, name, tables, seed)
        for name in names
    }

    def share(rule: Rule, part: str, truth: str, answer: Answer) -> float:
        return counts[truth][rule.id, part, answer] / tables

    powers = [
        Power(
            rule.id,
            runs.label,
            part,
            tables,
            supports_true=share(rule, part, rule.true, "supports"),
            contradicts_true=share(rule, part, rule.true, "contradicts"),
            supports_false=share(rule, part, rule.false, "supports"),
            contradicts_false=share(rule, part, rule.false, "contradicts"),
            any_contradicts_true=share(rule, ANY, rule.true, "contradicts"),
        )
        for rule in asked
        for part in sorted({p for c in counts.values() for r, p, _ in c if r == rule.id} - {ANY})
    ]
    truths = {name: TRUTHS[name].says for name in names}
    return Powers(runs.table, design.size, design.says, made, truths, tuple(powers))


def _answers(rules: list[Rule], design: VirtualSet, truth: str, tables: int, seed: int) -> Answers:
    found: Answers = Counter()
    bar = tqdm(range(tables), desc=truth, disable=None, leave=False)
    for rng in np.random.default_rng([seed, *truth.encode()]).spawn(len(bar)):
        sources = design.sources(TRUTHS[truth], rng)
        for rule in rules:
            answers = [(e.part, e.answer) for e in rule.of(sources, design.runs).evidence]
            found.update((rule.id, *one) for one in answers)
            found[rule.id, ANY, "contradicts"] += any(a == "contradicts" for _, a in answers)
        bar.update()
    return found
