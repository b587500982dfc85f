"""Experts on the axis of sparsity: what the numbers are, and what is said where data differ."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from simlib.analysis.calibration import Score, ScoreFile
from simlib.analysis.experts import SYSTEMS, idle_worth, worth
from simlib.datasets import load_law, world_law_names
from simlib.errors import InputError
from simlib.laws.law import JointLaw
from simlib.pages import experts
from simlib.simulate.fixedtotal import idle_share

LAW = JointLaw(a_S=20.0, b_S=0.3, c_S=10.0, b_N=0.2, a_D=1e9, b_D=0.3, c=1.5)


def test_the_best_density_is_where_the_loss_is_least():
    total, flops = 1e10, 1e22

    def loss(x):
        s = np.exp(x)
        return float(LAW(1 - s, total * s, flops / (6 * total * s)))

    best = minimize_scalar(loss, bounds=(np.log(1e-4), 0), method="bounded")
    assert 1 - idle_share(LAW, total, flops) == pytest.approx(np.exp(best.x), rel=0.01)
    both = LAW.from_vector(np.stack([LAW.vector()] * 2))
    assert idle_share(both, total, flops).shape == (2,)
    with pytest.raises(InputError, match="positive"):
        idle_share(LAW, 0, flops)


def test_more_compute_at_one_total_makes_the_best_mixture_denser():
    """With data in plenty a larger network is what helps."""
    best = [float(idle_share(LAW, 1e9, flops)) for flops in (1e19, 1e21, 1e23)]
    assert best[0] > best[1] > best[2]


def test_idle_parameters_and_active_ones_make_up_the_dense_model_of_equal_loss():
    S, N = np.array([0.5, 0.9, 0.99]), 1e8
    dense = N + idle_worth(LAW, S) * N * S / (1 - S)
    np.testing.assert_allclose(LAW(0.0, dense, 1e10), LAW(S, N, 1e10))
    np.testing.assert_allclose(worth(LAW, S), LAW.multiplier(S))


def with_share(share):
    """A law whose ensemble has one share."""
    found = load_law("clark-sbase-ends")
    law = replace(found.law, a_S=1 - share, c_S=share)
    members = np.stack([law.vector()] * 3)
    return replace(found, name=f"share {share}", law=law, ensemble=law.from_vector(members))


def test_saturation_is_said_only_where_the_interval_shows_it():
    said = experts.saturation([with_share(0.5), with_share(0.0)])
    assert "saturates with share 0.5" in said
    assert "not shown to saturate with share 0.0" in said
    none = experts.saturation([with_share(0.0)])
    assert none == "What more experts buy is not shown to saturate with share 0.0"


def score(coverage, allowed=3):
    return ScoreFile("x", None, {}, Score(40, 10, 0.9, coverage, 0.0, 0.01, 1.0, allowed=allowed))


def test_misses_are_held_against_what_chance_allows():
    assert "as chance allows" in experts.misses(score(0.7))
    assert "more than the 3" in experts.misses(score(0.6))
    assert experts.misses(score(0.6, None)) == "4"


def test_the_bent_exponent_helps_only_where_it_predicts_better():
    joint, bent = load_law("clark-sbase"), load_law("clark-sbase-size-exponent")
    better = replace(score(1.0), score=replace(score(1.0).score, rmse=0.001))
    assert "better on 1 of 2 tables (a)" in experts.interaction(
        {
            "a": [(joint, score(1.0)), (bent, better)],
            "b": [(joint, better), (bent, score(1.0))],
        }
    )
    assert "no better" in experts.interaction({"b": [(joint, better), (bent, score(1.0))]})


def test_a_choice_is_named_by_its_side_of_the_interval():
    rows = experts.best_table([load_law("clark-hash")]).rows
    assert [row[1] for row in rows][1:] == [s.name for s in SYSTEMS]
    assert {row[5] for row in rows[1:]} <= {"denser", "sparser", "inside the interval"}
    assert experts._side(0.5, 0.6, 0.7) == "denser"
    assert experts._side(0.8, 0.6, 0.7) == "sparser"


@pytest.mark.parametrize("name", world_law_names())
def test_laws_of_published_tables_say_how_they_were_made(name):
    found = load_law(name)
    ways = ("simlib fit --runs", "simlib bits --worth-of")
    assert found.made["command"].startswith(ways)
    assert len(found.table_sha256) == 64
