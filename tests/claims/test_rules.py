"""Every rule says so where its claim is false, and does not where it is true."""

import numpy as np
import pytest

from simlib.claims import RULES
from simlib.claims.designs import DESIGNS
from simlib.claims.evidence import POWER, Measured, Region
from simlib.claims.power import compute_powers, load_powers
from simlib.claims.rule import Rule
from simlib.claims.sources import LANGUAGE, RunSet, Sources
from simlib.claims.truths import TRUTHS

TABLES = [
    "gpt-laptop",
    "optimum-laptop",
    "holdout-laptop",
    "nm-laptop",
    "pruners-laptop",
    "pretrained-laptop",
    "own-tables",
]


def rules_on(table: str) -> list[Rule]:
    return [rule for rule in RULES if DESIGNS[table].runs in rule.sets and not rule.exact]


CASES = [
    (table, truth)
    for table in TABLES
    for truth in sorted({t for r in rules_on(table) for t in (r.true, r.false)})
]


@pytest.mark.slow
@pytest.mark.parametrize(("table", "truth"), CASES)
def test_a_rule_tells_what_is_true_from_what_is_false(table, truth):
    design, shares = DESIGNS[table], {(p.rule, p.part): p for p in load_powers(table).powers}
    sources = design.sources(TRUTHS[truth], np.random.default_rng(1))
    for rule in rules_on(table):
        for e in rule.of(sources, design.runs).evidence if truth in (rule.true, rule.false) else ():
            power = shares[rule.id, e.part]
            if truth == rule.false:
                assert e.answer != "supports", rule.id
                assert e.answer == "contradicts" or power.contradicts_false < 0.97, rule.id
            else:
                assert e.answer != "contradicts" or power.contradicts_true > 0.05, rule.id
                assert e.answer == "supports" or power.supports_true < 0.97, rule.id


def test_every_rule_that_chance_enters_has_its_power_shipped():
    for table in TABLES:
        known = {p.rule for p in load_powers(table).powers}
        assert known == {rule.id for rule in rules_on(table)}
        assert set(load_powers(table).truths) <= set(TRUTHS)
    for rule in RULES:
        assert rule.exact or {rule.true, rule.false} <= set(TRUTHS), rule.id
        assert rule.true != rule.false or rule.exact, rule.id


def test_what_our_runs_are_to_decide_can_be_decided():
    """The claims that the whole grid is for: its rules see what is false 8 times in 10."""
    wanted = {"C1", "C2", "C5", "C7", "C9", "C10", "C11", "C14", "C16", "S1", "S3", "S6", "S7"}
    for power in load_powers("gpt-laptop").powers:
        if power.rule.split(".")[0] in wanted:
            assert power.contradicts_false >= POWER, power.rule
            assert power.can_support, power.rule


def test_power_is_the_same_for_the_same_seed():
    rules = [rule for rule in RULES if rule.id in ("S3.runs", "S7.log")]
    first, second = (
        compute_powers(rules, DESIGNS["gpt-laptop"], tables=2, seed=3, made={}) for _ in range(2)
    )
    assert first == second
    assert {p.tables for p in first.powers} == {2}


def test_a_rule_of_many_parts_errs_where_any_part_does():
    """Twenty parts that each contradict what is true on other tables than the rest."""
    parts = 20

    def ask(sources: Sources, runs: RunSet) -> list[Measured]:
        noise = np.random.default_rng(round(1e9 * sources.runs(runs.table).loss[0]))
        wrong = noise.integers(parts)
        return [
            Measured(float(i == wrong), (i == wrong, i == wrong), part=str(i)) for i in range(parts)
        ]

    rule = Rule("R", "wrong", "", Region(-0.5, 0.5), "", (LANGUAGE,), ask, "joint", "bump")
    found = compute_powers([rule], DESIGNS[LANGUAGE.table], tables=12, seed=0, made={}).powers
    assert sum(p.contradicts_true for p in found) == pytest.approx(1.0)
    assert {p.any_contradicts_true for p in found} == {1.0}
    assert not any(p.can_contradict for p in found)
