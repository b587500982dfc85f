"""Laws of several families held against each other: what is compared, and what is found."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.analysis import agreement
from simlib.analysis.agreement import ALIKE, SHARE, Answer, answers, ratios, unusable
from simlib.datasets import load_law
from simlib.fit.fittedlaw import FittedLaw, Range
from simlib.laws.law import PUBLISHED, JointLaw

LAW = PUBLISHED["vit-jft"]
RANGE = Range((0.0, 0.875), (1e6, 1e8), (1e8, 1e9))


def law_file(name: str, spread: float = 0.02, seed: int = 0, **change: float) -> FittedLaw:
    """A law that decides, each of its coefficients uncertain by `spread`, relative."""
    law = replace(LAW, **change)
    rng = np.random.default_rng([seed, *name.encode()])
    members = law.vector() * np.exp(spread * rng.standard_normal((300, 7)))
    return FittedLaw(
        name, law, law.from_vector(members), range=RANGE, status="converged", converged_members=300
    )


def verdicts(*law_files: FittedLaw, quantity: str = "b_N") -> list[str]:
    found = answers({f.name: [f] for f in law_files})
    return [r.verdict for r in ratios(found) if r.quantity == quantity]


def test_numbers_that_differ_are_told_apart_and_equal_ones_are_alike():
    assert verdicts(law_file("a"), law_file("b")) == ["alike"]
    assert verdicts(law_file("a"), law_file("b", b_N=0.6 * LAW.b_N)) == ["differ"]
    assert verdicts(law_file("a", 0.2), law_file("b", 0.2)) == ["open"]


def test_a_sure_difference_within_the_margin_is_alike():
    assert verdicts(law_file("a", 0.005), law_file("b", 0.005, b_N=1.1 * LAW.b_N)) == ["alike"]


def test_a_ratio_is_the_other_one_upside_down():
    found = answers({"a": [law_file("a")], "b": [law_file("b", b_N=0.3)]})
    back = answers({"b": [law_file("b", b_N=0.3)], "a": [law_file("a")]})
    for one, other in zip(ratios(found), ratios(back), strict=True):
        assert one.value == pytest.approx(1 / other.value)
        assert one.interval == pytest.approx((1 / other.interval[1], 1 / other.interval[0]))
        assert one.verdict == other.verdict


def test_a_ratio_of_equal_numbers_is_called_different_as_seldom_as_the_level_says():
    """Laws whose centre errs as their ensemble says: one truth, many pairs of tables."""
    rng = np.random.default_rng(1)
    said = []
    for i in range(200):
        pair = [
            law_file(f"{side}{i}", 0.05, b_N=LAW.b_N * np.exp(0.05 * rng.standard_normal()))
            for side in "ab"
        ]
        found = [_only(f) for f in pair]
        said.append(ratios(found)[0])
    missed = np.mean([not r.interval[0] <= 1 <= r.interval[1] for r in said])
    assert 0.05 < missed < 0.17
    z = 1.6448536 + 0.8416212  # what 80 % power takes at this level
    assert said[0].detectable == pytest.approx(np.exp(z * 0.05 * np.sqrt(2)), rel=0.15)


def _only(law_file: FittedLaw) -> Answer:
    (one,) = [a for a in answers({law_file.name: [law_file]}) if a.quantity == "b_N"]
    return one


def test_more_pairs_widen_what_holds_for_all_of_them():
    two = answers({n: [law_file(n)] for n in "ab"})
    four = answers({n: [law_file(n)] for n in "abcd"})
    narrow, wide = ratios(two)[0], ratios(four)[0]
    assert narrow.interval == wide.interval
    assert wide.simultaneous[0] < narrow.simultaneous[0]
    assert wide.detectable > narrow.detectable


@pytest.mark.parametrize(
    "change",
    [
        {"status": "at bound"},
        {"status": "not converged"},
        {"converged_members": 10},
        {"ensemble": None},
        {"converged_members": None},
    ],
)
def test_a_law_that_decides_nothing_is_in_no_ratio(change):
    lame = replace(law_file("a"), **change)
    found = answers({"a": [lame], "b": [law_file("b")]})
    assert not any(a.usable for a in found if a.family == "a")
    assert not ratios(found)


def test_a_number_with_a_wide_or_open_interval_is_in_no_ratio():
    loose = replace(law_file("a"), profile_intervals={"b_N": (0.1, None), "b_D": (0.8, 1.0)})
    found = {a.quantity: a for a in answers({"a": [loose]})}
    assert not found["b_N"].usable
    assert found["b_D"].usable
    assert not any(
        a.usable for a in answers({"a": [law_file("a", spread=3.0)]}) if a.quantity == SHARE
    )


def test_a_law_of_another_version_of_its_table_or_from_before_its_regime_is_not_used():
    shipped = load_law("gpt-laptop")
    known = replace(shipped, status="converged", converged_members=shipped.refits)
    assert not unusable(known)
    other = replace(known, made={**known.made, "table_sha256": "0" * 64})
    assert "another version of the table gpt-laptop" in unusable(other)
    early = replace(known, range=known.fitted_range._replace(data_seen=(1.0, 4e6)))
    assert "before the regime" in unusable(early)


def test_numbers_that_are_asked_have_no_unit():
    """Another unit of size or data leaves them as they are."""
    scaled = JointLaw(
        LAW.a_S * 1e6**-LAW.b_N, LAW.b_S, LAW.c_S * 1e6**-LAW.b_N, LAW.b_N, LAW.a_D / 1e3,
        LAW.b_D, LAW.c,
    )  # fmt: skip
    for of in agreement.QUANTITIES.values():
        assert float(of(scaled)) == pytest.approx(float(of(LAW)), rel=1e-6)
    assert ALIKE > 1
