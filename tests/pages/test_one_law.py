"""What the page on three families says, whichever way the laws turn out."""

import math
from itertools import combinations

import pytest

from simlib.analysis.agreement import QUANTITIES, Answer, PairRatio
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import PUBLISHED
from simlib.pages import one_law

NAMES = {"vision": ["vit-jft-refit", "vit-laptop"], "language": ["t5-c4-refit", "gpt-laptop"]}


def answers(why_not: str = "", value: float = 1.5) -> list[Answer]:
    interval = (value / 1.1, value * 1.1)
    return [
        Answer(family, FittedLaw(name, PUBLISHED["vit-jft"]), q, value, interval, None, why_not)
        for family, names in NAMES.items()
        for name in names
        for q in QUANTITIES
    ]


def ratios(across: float, within: float = 1.0, width: float = 1.05) -> list[PairRatio]:
    """Every pair, as far apart as that, with intervals of that width."""
    found = answers()
    pairs = [(a, b) for a, b in combinations(found, 2) if a.quantity == b.quantity]
    values = [across if a.family != b.family else within for a, b in pairs]
    return [
        PairRatio(a, b, v, (v / width, v * width), (v / width**1.2, v * width**1.2), width**2)
        for (a, b), v in zip(pairs, values, strict=True)
    ]


def test_all_agree():
    said = one_law.headline(answers(), ratios(1.0))
    assert said.startswith("One law, its numbers included")
    assert "differ" not in said
    assert "not told apart" not in said
    assert "fair guess for another" in one_law.meaning(ratios(1.0))


def test_none_agrees():
    said = one_law.headline(answers(), ratios(2.0))
    assert said.startswith("One form, not one set of numbers")
    assert "alike" not in said
    assert all(q in said for q in QUANTITIES)
    assert "a law of its own kind" in one_law.meaning(ratios(2.0))


def test_no_difference_seen_is_not_sameness_and_says_what_could_have_been_missed():
    wide = ratios(1.1, width=1.6)
    assert one_law.headline(answers(), wide).startswith("No difference between families is seen")
    assert "could have missed a ratio of up to 2.56" in one_law.meaning(wide)


def test_nothing_identified():
    found = answers("it is at a bound")
    assert one_law.headline(found, []).startswith("Not known yet")
    assert "about its form" in one_law.meaning([])
    assert "is not known" in one_law.within([])
    assert one_law.ratio_table([], 0.9).rows == []
    assert "our ViT runs: it is at a bound" in one_law.unused(found)
    assert [row[1] for row in one_law.reason_table(found).rows] == ["anything"] * 4
    assert all(cell[0] == "[" for row in one_law.number_table(found, 0.9).rows for cell in row[1:])
    chart = one_law.intervals(found, 0.9).to_dict()
    assert {row["use"] for row in chart["data"]["values"]} == {one_law.UNUSED}


def test_mixed_answers_are_each_told():
    mixed = [
        *(r for r in ratios(2.0) if r.quantity == "b_N"),
        *(r for r in ratios(1.0) if r.quantity == "onset"),
        *(r for r in ratios(1.1, width=2.0) if r.quantity == "b_D"),
    ]
    groups = one_law.by_verdict(r for r in mixed if r.across)
    assert groups == {"differ": ["b_N"], "alike": ["onset"], "open": ["b_D"]}
    said = one_law.headline(answers(), mixed)
    assert "differ in b_N; within a factor of 1.25 alike: onset; not told apart: b_D;" in said
    assert said.endswith("c_S/(a_S+c_S) and b_S")  # the others: no two families identify them


@pytest.mark.parametrize(("within", "said"), [(2.0, "not the family alone"), (1.0, "are alike")])
def test_laws_of_one_family_say_whether_it_is_the_family(within, said):
    assert said in one_law.within(ratios(1.0, within))


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan, 1e-300, 1e12])
def test_numbers_beyond_any_axis_are_named_not_drawn(value):
    found = answers()
    odd = [a._replace(value=value, why_not="odd") if a.quantity == "onset" else a for a in found]
    chart = one_law.intervals(odd, 0.9).to_dict()
    rows = [row for row in chart["data"]["values"] if row["quantity"] == "onset"]
    drawn = [row["value"] for row in rows]
    assert all(v is None or (math.isfinite(v) and v > 0) for v in drawn)
    assert ("Beyond the panels" in chart["description"]) == (drawn[0] is None)
