"""A verdict follows from where intervals lie, by the rule that the page states."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.claims import VERDICTS, Evidence, Outcome, Region
from simlib.claims.evidence import NotShippedError, ask
from simlib.errors import InputError

INTERVALS = {"supports": (2.0, 3.0), "contradicts": (0.0, 0.5), "undecided": (0.5, 2.0)}
answers = st.lists(st.tuples(st.sampled_from(sorted(INTERVALS)), st.booleans()), max_size=8)


def evidence(answer: str, own: bool = False) -> Evidence:
    interval = INTERVALS[answer]
    return Evidence("runs", own, "quantity", sum(interval) / 2, interval, Region(1.0))


def outcome(found: list[tuple[str, bool]], missing: tuple[str, ...] = ()) -> Outcome:
    return Outcome(tuple(evidence(*pair) for pair in found), missing)


@pytest.mark.parametrize(
    ("interval", "answer"),
    [
        ((1.0, 2.0), "supports"), ((1.1, 1.1), "supports"), ((0.0, 0.9), "contradicts"),
        ((2.1, math.inf), "contradicts"), ((0.9, 1.1), "undecided"), ((0.0, 3.0), "undecided"),
        ((-math.inf, math.inf), "undecided"), ((math.nan, 1.5), "undecided"),
    ],
)  # fmt: skip
def test_an_interval_lies_inside_outside_or_across(interval, answer):
    assert Region(1.0, 2.0).answer(interval) == answer


@pytest.mark.parametrize(
    ("found", "missing", "verdict"),
    [
        ([], (), "not testable at this scale"),
        ([], ("no table",), "not testable at this scale"),
        ([("undecided", True)], (), "not testable at this scale"),
        ([("supports", False), ("supports", True)], (), "reproduced"),
        ([("supports", False)], ("ours",), "reproduced with caveat"),
        ([("supports", False), ("undecided", True)], (), "reproduced with caveat"),
        ([("supports", True), ("contradicts", False)], (), "reproduced with caveat"),
        ([("contradicts", False)], (), "not reproduced"),
        ([("supports", False)] * 3 + [("contradicts", True)], (), "not reproduced"),
    ],
)
def test_known_verdicts(found, missing, verdict):
    assert outcome(found, missing).verdict == verdict


@given(answers)
def test_more_contradiction_is_never_a_better_verdict(found):
    rank = dict(zip(("reproduced", "reproduced with caveat", "not testable at this scale",
                     "not reproduced"), range(4), strict=True))  # fmt: skip
    before = rank[outcome(found).verdict]
    assert rank[outcome([*found, ("contradicts", True)]).verdict] >= min(before, 1)
    if before == rank["not reproduced"]:
        assert rank[outcome([*found, ("contradicts", True)]).verdict] == before


@given(answers, st.randoms())
def test_the_order_of_the_evidence_does_not_matter(found, random):
    shuffled = random.sample(found, len(found))
    assert outcome(shuffled).verdict == outcome(found).verdict
    assert outcome(found).verdict in VERDICTS


def test_a_set_that_cannot_answer_is_missing_with_its_reason():
    def question(name: str) -> Evidence:
        if name == "bad":
            raise InputError("too few runs")
        if name.startswith("absent"):
            raise NotShippedError("no run table named x has shipped yet")
        return evidence("supports")

    found = ask(["good", "bad", "absent", "absent too"], question)
    assert len(found.evidence) == 1
    assert found.missing == ("bad: too few runs", "no run table named x has shipped yet")
    assert (found + found).missing == found.missing
