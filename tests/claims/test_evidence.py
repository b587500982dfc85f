"""A verdict follows from where intervals lie and from what the rule can see, as the page states."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.claims import VERDICTS, Evidence, Outcome, Power, Region
from simlib.claims.evidence import Missing

INTERVALS = {"supports": (2.0, 3.0), "contradicts": (0.0, 0.5), "undecided": (0.5, 2.0)}
STRONG = Power("C1", "runs", "", 60, 0.95, 0.0, 0.0, 0.95, 0.0)
BLIND = replace(STRONG, contradicts_false=0.5, supports_false=0.3)
answers = st.lists(
    st.tuples(st.sampled_from(sorted(INTERVALS)), st.sampled_from(["a", "b"])), max_size=8
)


def evidence(answer: str, runs: str = "a", power: Power | None = STRONG) -> Evidence:
    interval = INTERVALS[answer]
    return Evidence(
        "C1", runs, "own", "quantity", sum(interval) / 2, interval, Region(1.0), power=power
    )


def outcome(found: list[tuple[str, str]], missing: tuple[str, ...] = ()) -> Outcome:
    lacking = tuple(Missing(runs, "own", "no table") for runs in missing)
    return Outcome(tuple(evidence(*pair) for pair in found), lacking)


@pytest.mark.parametrize(
    ("interval", "answer"),
    [
        ((1.0, 2.0), "supports"),
        ((1.1, 1.1), "supports"),
        ((0.0, 0.9), "contradicts"),
        ((2.1, math.inf), "contradicts"),
        ((0.9, 1.1), "undecided"),
        ((0.0, 3.0), "undecided"),
        ((-math.inf, math.inf), "undecided"),
        ((math.nan, 1.5), "undecided"),
    ],
)
def test_an_interval_lies_inside_outside_or_across(interval, answer):
    assert Region(1.0, 2.0).answer(interval) == answer


def test_what_lies_just_outside_is_no_contradiction_where_there_is_a_margin():
    assert Region(0.0).answer((-0.0011, -0.0001)) == "contradicts"
    assert Region(0.0, margin=0.0025).answer((-0.0011, -0.0001)) == "undecided"
    assert Region(0.0, margin=0.0025).answer((-0.02, -0.01)) == "contradicts"
    assert Region(0.0, margin=0.0025).answer((0.001, 0.002)) == "supports"


@pytest.mark.parametrize(
    ("answer", "power", "verdict"),
    [
        ("supports", STRONG, "holds"),
        ("contradicts", STRONG, "contradicted"),
        ("undecided", STRONG, "undecided"),
        ("contradicts", replace(STRONG, contradicts_false=0.79), "undecided"),
        ("contradicts", replace(STRONG, any_contradicts_true=0.2), "undecided"),
        ("supports", replace(STRONG, contradicts_false=0.2), "holds"),
        ("supports", replace(STRONG, supports_false=0.2), "undecided"),
        ("supports", None, "undecided"),
        ("contradicts", None, "undecided"),
    ],
)
def test_an_answer_counts_only_where_the_rule_could_have_given_the_other(answer, power, verdict):
    assert evidence(answer, power=power).verdict == verdict


def test_a_number_without_uncertainty_needs_no_power():
    exact = replace(evidence("contradicts", power=None), exact=True)
    assert exact.verdict == "contradicted"


@pytest.mark.parametrize(
    ("found", "missing", "verdict"),
    [
        ([], ("a",), "undecided"),
        ([("undecided", "a")], (), "undecided"),
        ([("supports", "a")], (), "holds"),
        ([("supports", "a")], ("b",), "holds"),
        # a set of runs that lacks a part of what the claim says does not support the whole
        ([("supports", "a")], ("a",), "undecided"),
        ([("supports", "a"), ("undecided", "a")], (), "undecided"),
        ([("supports", "a"), ("contradicts", "a")], (), "contradicted"),
        ([("supports", "a")] * 3 + [("contradicts", "b")], (), "contradicted"),
    ],
)
def test_known_verdicts(found, missing, verdict):
    assert outcome(found, missing).verdict("own") == verdict
    assert outcome(found, missing).verdict("released") is None


@given(answers)
def test_more_contradiction_is_never_a_better_verdict(found):
    assert outcome([*found, ("contradicts", "a")]).verdict("own") == "contradicted"


@given(answers, st.randoms())
def test_the_order_of_the_evidence_does_not_matter(found, random):
    shuffled = random.sample(found, len(found))
    assert outcome(shuffled).verdict("own") == outcome(found).verdict("own")
    assert not found or outcome(found).verdict("own") in VERDICTS
