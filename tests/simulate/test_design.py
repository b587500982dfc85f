"""Designs: Fisher information and simulation agree, and the T5 grid is known not to do."""

from dataclasses import replace

import numpy as np
import pytest
from factories import random_law

from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.fit.objective import Objective
from simlib.simulate.design import (
    DesignGrid,
    fisher_widths,
    huber_inflation,
    least_size,
    recommend,
    simulated_widths,
    widths_by_data,
)

LAW = random_law(np.random.default_rng(4))
GOOD = DesignGrid(
    (0.0, 0.5, 0.75, 0.9375), tuple(np.geomspace(1e5, 1e9, 6)), tuple(np.geomspace(1e7, 1e12, 7))
)
SQUARES = Objective(1e3, log=True)
T5 = load_law("t5-c4-refit").joint
T5_GRID = DesignGrid(
    (0.0, 0.5, 0.75, 0.875),
    tuple(1327104 * 4.0**k for k in range(4)),
    (16.384e9, 32.768e9, 65.536e9),
)


@pytest.mark.parametrize("objective", [SQUARES, Objective(0.001, log=True)])
def test_simulation_and_fisher_information_agree_where_the_law_is_nearly_linear(objective):
    fisher = fisher_widths(LAW, GOOD, 0.005, objective=objective)
    drawn = simulated_widths(LAW, GOOD, 0.005, objective=objective, tables=300)
    for name in ("b_S", "b_N", "b_D", "a_D", "multiplier at 75%"):
        low, high = drawn[name]
        assert 0.5 * np.log(high / low) == pytest.approx(fisher[name], rel=0.25), name


def test_width_is_proportional_to_noise_and_falls_with_repeats():
    one = fisher_widths(LAW, GOOD, 0.005, objective=SQUARES)
    two = fisher_widths(LAW, GOOD, 0.01, objective=SQUARES)
    four = fisher_widths(LAW, replace(GOOD, repeats=4), 0.01, objective=SQUARES)
    for name, width in one.items():
        assert two[name] == pytest.approx(2 * width, rel=1e-6)
        assert four[name] == pytest.approx(width, rel=1e-6)


def test_more_runs_never_know_less():
    few = replace(GOOD, data=GOOD.data[::3])
    for name, width in fisher_widths(LAW, GOOD, 0.01).items():
        assert width < fisher_widths(LAW, few, 0.01)[name]


def test_units_of_size_and_data_do_not_matter_to_exponents():
    other = replace(LAW, a_D=LAW.a_D * 1e3)
    grid = replace(GOOD, data=tuple(d * 1e3 for d in GOOD.data))
    here, there = fisher_widths(LAW, GOOD, 0.01), fisher_widths(other, grid, 0.01)
    for name in ("b_S", "b_N", "b_D", "c"):
        assert there[name] == pytest.approx(here[name], rel=1e-4)


def test_huber_costs_a_quarter_more_than_least_squares_at_worst():
    assert huber_inflation(10.0) == pytest.approx(1.0, abs=1e-6)
    assert huber_inflation(1e-4) == pytest.approx(np.sqrt(np.pi / 2), rel=1e-3)


def test_the_t5_grid_does_not_identify_its_data_exponent_and_a_wider_one_does():
    noise = 0.00715
    widths = widths_by_data(
        T5, T5_GRID.sparsities, T5_GRID.sizes, 65.536e9, (3, 6), (4.0, 64.0), noise
    )
    assert widths.shape == (2, 2)
    assert fisher_widths(T5, T5_GRID, noise)["b_D"] == pytest.approx(widths[0, 0], rel=1e-6)
    assert widths[0, 0] > 0.5  # three values over a factor of four, as released
    assert widths[1, 1] < 0.2
    assert (np.diff(widths, axis=1) < 0).all()


@pytest.mark.slow
def test_recommended_grids_cost_the_budget_and_come_best_first():
    found = recommend(LAW, 1e19, 0.01, targets=("b_D",), most_runs=60)
    scores = [d.score for d in found]
    assert scores == sorted(scores)
    for design in found:
        assert design.flops == pytest.approx(1e19, rel=1e-6)
        assert design.grid.flops() == pytest.approx(1e19, rel=1e-6)
        assert len(design.grid) <= 60
        assert min(design.grid.sizes) >= 1e5
        again = fisher_widths(LAW, design.grid, 0.01)
        assert again["b_D"] == pytest.approx(design.score, rel=1e-6)


def test_laws_of_small_runs_are_asked_about_sizes_as_small_as_theirs():
    assert least_size(load_law("t5-c4-refit")) == 1e5
    ours = load_law("gpt-laptop")
    assert least_size(ours) == ours.fitted_range.nonzero_params[0] < 1e5
    found = recommend(ours.joint, 1e15, 0.02, targets=("b_N",), least_params=least_size(ours))
    assert min(found[0].grid.sizes) >= least_size(ours)


def test_cost_of_a_grid_is_the_sum_of_its_runs():
    grid = DesignGrid((0.0, 0.5), (1e6,), (1e9, 2e9), repeats=2)
    assert len(grid) == 8
    assert grid.flops() == pytest.approx(2 * 6e6 * 3e9 * (1 + 2))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: DesignGrid((1.0,), (1e6,), (1e9,)), "got"),
        (lambda: DesignGrid((0.0,), (), (1e9,)), "grid needs"),
        (
            lambda: fisher_widths(LAW, DesignGrid((0, 0.5, 0.75), (1e6, 1e7), (1e9, 2e9)), 0.01),
            "2 diff",
        ),
        (lambda: fisher_widths(LAW, GOOD, -1.0), "noise"),
        (lambda: recommend(LAW, 1e19, 0.01, targets=("b_X",)), "unknown target 'b_X'"),
        (lambda: recommend(LAW, -1.0, 0.01), "budget"),
        (lambda: recommend(LAW, 1e19, 0.01, least_params=np.nan), "smallest size"),
        (lambda: recommend(LAW, 1e19, 0.01, most_runs=5), "of at most 5 runs"),
    ],
)
def test_designs_that_say_nothing_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        wrong()
