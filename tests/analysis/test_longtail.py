"""A tail of class frequencies: what is planted is found, and an endless tail has its power."""

import numpy as np
import pytest

from simlib.analysis.longtail import (
    ClassCosts,
    dense_means,
    endless,
    forecast,
    learned,
    local_powers,
)
from simlib.datasets import load_runs
from simlib.errors import InputError

TASK = "glyphs:classes=2048,exponent=1.5,offset=3,polarity=fixed,size=16,draw=quasirandom"


def shares(classes, exponent):
    weights = (np.arange(classes) + 1.0) ** -exponent
    return weights / weights.sum()


def known_or_not(times):
    """Classes cost two nats until they were seen so often, and nothing to speak of afterwards."""
    return ClassCosts(
        np.array([1e-6, times, times * 1.001, times * 1e9]),
        np.array([2.0, 2.0, 1e-9, 1e-9]),
        np.zeros(4),
        np.full(4, 100),
    )


@pytest.mark.parametrize("exponent", [1.5, 2.0, 2.5])
def test_an_endless_tail_of_classes_that_are_known_or_not_has_its_power(exponent):
    data = 2.0 ** np.arange(12, 21, 2)
    powers = local_powers(data, forecast(shares(2_000_000, exponent), known_or_not(20.0), data))
    assert powers.mean() == pytest.approx(endless(exponent), abs=0.02)
    assert powers == pytest.approx(endless(exponent), abs=0.1)  # classes come one by one


def test_a_tail_that_ends_is_steeper_before_its_end():
    data = 2.0 ** np.arange(10, 16)
    powers = local_powers(data, forecast(shares(1000, 1.5), known_or_not(20.0), data))
    assert powers[-1] > powers[0] > endless(1.5)


def test_what_classes_cost_is_found_and_continued():
    rng = np.random.default_rng(0)
    times = np.exp(rng.uniform(np.log(1), np.log(4096), 40_000))
    found = learned(times, 8 * times**-0.5 * np.exp(rng.normal(0, 0.1, len(times))))
    assert found.examples.sum() == len(times)
    wanted = np.array([3.0, 200.0, 3000.0, 60_000.0])
    assert found.at(wanted) == pytest.approx(8 * wanted**-0.5, rel=0.06)


def test_few_examples_are_refused():
    with pytest.raises(InputError, match="validate on more"):
        learned([1.0, 2.0, 4.0, 8.0], [4.0, 3.0, 2.0, 1.0])
    with pytest.raises(InputError, match="no sum"):
        endless(1.0)
    with pytest.raises(InputError, match="no dense runs of 5 weights"):
        dense_means(list(load_runs("vit-pilot3").finished), TASK, 5)


def test_dense_means_are_over_seeds_and_of_dense_runs():
    runs = list(load_runs("vit-pilot2").finished)
    data, loss = dense_means(runs, TASK, 6144)
    same = [r.loss for r in runs if r.nonzero_params == 6144 and r.sparsity == 0]
    assert len(data) == 6
    assert len(same) == 12
    assert np.log(loss).mean() == pytest.approx(np.log(same).mean())
