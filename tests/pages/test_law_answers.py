"""Tables of laws: what they say where a law has no sensible number to give."""

from dataclasses import replace

import numpy as np

from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import PUBLISHED, JointLaw
from simlib.pages import law_answers

LAW = PUBLISHED["vit-jft"]


def limit(law: JointLaw, members: JointLaw | None = None) -> str:
    (row,) = law_answers.multiplier_table([FittedLaw("law", law, members)]).rows
    return row[-1]


def test_a_limit_of_sparsity_is_a_number_only_where_the_runs_show_one():
    endless = replace(LAW, c_S=LAW.c_S * 1e-9)
    assert limit(LAW) == "3.47"
    assert limit(endless) == "none seen"
    half = JointLaw.from_vector(np.array([LAW.vector()] * 50 + [endless.vector()] * 50))
    assert limit(LAW, half) == "3.47 (3.47 to open)"
    assert limit(endless, half) == "none seen (from 3.47)"


def test_reached_widths_stand_beside_designed_ones():
    """An ensemble in which only b_D varies, evenly by 10% either way of its logarithm."""
    vectors = np.tile(LAW.vector(), (201, 1))
    vectors[:, 5] *= np.exp(np.linspace(-0.1, 0.1, 201))
    known = FittedLaw("law", LAW, JointLaw.from_vector(vectors))
    found = law_answers.width_table({"b_D": 0.03, "multiplier at 75%": 0.02}, known, level=0.9)
    assert found.rows == [
        ("b_D", "3.0%", "9.0%", "3.0"),
        ("multiplier at 75%", "2.0%", "0.0%", "0"),
    ]
