"""The page on dense laws: what follows for compute, and which intervals do not meet."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from simlib.datasets import load_law
from simlib.pages import dense_ground

WHOLE, PART = load_law("farseer"), load_law("farseer-line")


def test_the_share_is_how_the_best_size_grows_with_compute():
    law = WHOLE.law

    def best(flops):
        found = minimize_scalar(
            lambda x: float(law(0.0, np.exp(x), flops / 6 / np.exp(x))),
            bounds=(5, 45),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return found.x

    slope = (best(1e24) - best(1e20)) / np.log(1e4)
    assert float(dense_ground.size_share(law)) == pytest.approx(slope, rel=1e-3)


def test_intervals_that_meet_are_not_apart():
    near = replace(PART, intervals=WHOLE.intervals)
    far = replace(PART, intervals={**WHOLE.intervals, "beta": (9.0, 10.0)})
    assert dense_ground.apart(WHOLE, [near], ("alpha", "beta")) == "none"
    assert (
        dense_ground.apart(WHOLE, [near, far], ("alpha", "beta"))
        == "beta (Farseer near 20 tokens a parameter)"
    )
    unknown = replace(PART, intervals={"beta": (None, 0.1)})
    assert dense_ground.apart(WHOLE, [unknown], ("beta",)) == "none"


def test_tables_and_charts_have_a_row_a_law_and_say_what_is_not_identified():
    laws = {"all": WHOLE, "line": PART}
    rows = dense_ground.law_table(laws).rows
    assert [row[0] for row in rows] == ["all", "line"]
    assert rows[1][-1] == " and ".join(PART.unidentified)
    assert "line" in dense_ground.shares(laws).to_dict()["description"]
