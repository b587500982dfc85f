"""The pictures of the derivation show the law that they were given."""

import re

import numpy as np
import pytest

from simlib.laws.law import PUBLISHED
from simlib.laws.optimum import optimal_sparsity
from simlib.pages.derivation import KEPT, Derivation


def frames(law: Derivation) -> list[str]:
    page = law._repr_mimebundle_()["text/html"]
    return re.findall(r'<g class="frame".*?</g>', page)


@pytest.mark.parametrize("cost", ["dense", "sparse"])
def test_the_best_sparsity_is_that_of_the_law_and_least_among_the_frames(cost):
    law = PUBLISHED["vit-jft"]
    shown = Derivation(law, cost)
    assert shown.best == pytest.approx(float(optimal_sparsity(law, 1e9, shown.flops, cost)))
    nearby = shown.loss(np.clip(shown.best + np.array([-0.05, 0.05]), 0, 0.95))
    assert (shown.loss(np.array([shown.best])) < nearby).all()


def test_the_same_number_of_weights_is_left_in_every_frame_of_a_growing_matrix():
    drawn = frames(Derivation(PUBLISHED["t5-c4"]))
    assert {frame.count('class="kept"') for frame in drawn} == {KEPT}
    gone = [frame.count('class="gone"') for frame in drawn[:-1]]
    assert gone[0] == 0
    assert gone == sorted(gone)
