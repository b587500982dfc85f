"""Sparse models against dense twins: what a law holds equal, and when it is contradicted."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from simlib.analysis.twins import (
    ROUTES,
    MeasuredDifference,
    dense_equal,
    forecast_pairs,
    judge,
    load_twins,
    read_pairs,
)
from simlib.datasets import load_law

PAIRS = read_pairs()


def test_the_table_holds_four_pairs_on_equal_data():
    assert [p.name for p in PAIRS] == ["20p", "40p", "60p", "80p"]
    assert all(p.nonzero < p.average < p.dense for p in PAIRS)
    assert np.all(np.diff([p.sparsity for p in PAIRS]) > 0.1)


def test_the_equal_dense_model_has_the_loss_of_the_sparse_one():
    """On the same data, by the law's own prediction."""
    for name in ("t5-c4-refit", "t5-c4-density-power"):
        law = load_law(name).law
        for p in PAIRS:
            equal = dense_equal(law, p)
            np.testing.assert_allclose(law(0, equal, 1e11), law(p.sparsity, p.nonzero, 1e11))
    assert dense_equal(load_law("t5-c4-average-params").law, PAIRS[0]) == PAIRS[0].average


def test_the_shipped_forecast_is_what_the_shipped_laws_say():
    shipped = load_twins()
    again = forecast_pairs(PAIRS, level=shipped.level)
    assert len(again) == len(PAIRS) * len(ROUTES)
    for one, other in zip(shipped.differences, again, strict=True):
        for field, value in asdict(one).items():
            assert getattr(other, field) == (
                value if isinstance(value, str) else pytest.approx(value, rel=1e-6, abs=1e-9)
            )


def measured(shift, stderr):
    """What the first route forecasts, moved by `shift` nats."""
    first = [d for d in load_twins().differences if (d.law, d.size_term) == ROUTES[0]]
    return [MeasuredDifference(d.pair, d.difference + shift, stderr) for d in first]


def test_a_route_is_contradicted_by_a_shift_beyond_both_errors_and_by_no_smaller_one():
    differences = load_twins().differences
    assert not judge(differences, measured(0.0, 0.001))[0].contradicted
    assert judge(differences, measured(0.03, 0.001))[0].contradicted
    assert not judge(differences, measured(0.03, 0.1))[0].contradicted


def test_power_is_near_one_where_measurements_are_exact_and_near_the_level_where_they_are_poor():
    differences = load_twins().differences
    average = ("t5-c4-average-params", "t5-c4-average-params")
    sharp, blunt = (judge(differences, measured(0.0, e))[0].power[average] for e in (1e-4, 1.0))
    assert sharp > 0.99
    assert blunt == pytest.approx(0.1, abs=0.01)


def test_the_rule_errs_as_often_as_its_level_says():
    """Measurements drawn about the forecasts of a route without an error of its own."""
    exact = [replace(d, low=d.difference, high=d.difference) for d in load_twins().differences]
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        drawn = [
            replace(m, difference=m.difference + rng.normal(0, m.stderr))
            for m in measured(0.0, 0.02)
        ]
        wrong += judge(exact, drawn)[0].contradicted
    assert wrong / 400 == pytest.approx(0.1, abs=0.04)
