"""The steps of a fit: compiled or in numpy they are the same, and what is held stays."""

from dataclasses import replace

import numpy as np
import pytest
from factories import grid, random_law

from simlib.fit import FORMS, JOINT, Objective, compiled, fit
from simlib.fit.bootstrap import refit, resample_residuals, resample_runs
from simlib.fit.newton import minimise
from simlib.fit.preparation import prepare
from simlib.fit.problem import Hold

OBJECTIVES = [Objective(0.001, log=True), Objective(0.01, log=False)]
needs_compiler = pytest.mark.skipif(compiled.library() is None, reason="no C compiler here")


def settled(objective=OBJECTIVES[0], form=JOINT, seed=3, starts=8):
    rng = np.random.default_rng(seed)
    return prepare(grid(random_law(rng), 0.01, rng), form, objective, starts, rng)[0]


@pytest.fixture
def without_compiler(monkeypatch):
    """A switch to numpy's steps."""
    return lambda: monkeypatch.setattr(compiled, "library", lambda: None)


@needs_compiler
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("form", ["joint", "dense", "size-exponent", "experts"])
def test_the_objective_at_a_point_is_numpys(objective, form):
    """Of a table that fills no vector, and of one of several tiles."""
    rng = np.random.default_rng(0)
    table = grid(random_law(rng), 0.01, rng)
    if form == "dense":
        table = type(table)(*(v[table.sparsity == 0] for v in vars(table).values()))
    problem = prepare(table, FORMS[form], objective, 1, rng)[0].problem
    many = problem.runs(rng.integers(0, len(problem.target), 1501))
    theta = rng.uniform(-1, 1, (50, problem.design.shape[2])).clip(problem.lower, problem.upper)
    for p in (problem, many):
        ours = minimise(p, theta, max_steps=0)[1]
        theirs = p.value(p.residual(theta)[0], objective.delta)
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)


@needs_compiler
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_compiled_steps_end_where_numpys_do(objective, without_compiler):
    at = settled(objective)
    theta = minimise(at.problem, at.cold)[0][0]
    rng = np.random.default_rng(0)
    batches = [
        at.problem,
        resample_runs(at.problem, 8, rng),
        resample_residuals(at.problem, theta, 8, rng),
    ]
    held = Hold(np.array([1, 5] * 4), np.zeros((8, 7)), np.linspace(0.2, 0.9, 8))
    ours = [minimise(p, at.cold, hold=h) for p in batches for h in (None, held)]
    without_compiler()
    theirs = [minimise(p, at.cold, hold=h) for p in batches for h in (None, held)]
    for (_, value, converged), (_, other, too) in zip(ours, theirs, strict=True):
        assert converged.all()
        assert too.all()
        np.testing.assert_allclose(value, other, rtol=1e-6)


@needs_compiler
def test_a_fit_without_a_compiler_is_the_same(without_compiler):
    rng = np.random.default_rng(1)
    table = grid(random_law(rng), 0.005, rng)
    options = {"starts": 5, "resamples": 20, "profile_resamples": 20}
    ours = fit(table, **options)
    without_compiler()
    theirs = fit(table, **options)
    np.testing.assert_allclose(ours.law.vector(), theirs.law.vector(), rtol=1e-4)
    np.testing.assert_allclose(ours.ensemble.vector(), theirs.ensemble.vector(), rtol=1e-2)
    for name, (low, high) in ours.profile_intervals.items():
        other = theirs.profile_intervals[name]
        assert low == pytest.approx(other[0], rel=1e-3)
        assert high == pytest.approx(other[1], rel=1e-3)


@pytest.mark.parametrize("own", [True, False])
def test_what_is_held_stays_and_the_rest_is_at_its_optimum(own, without_compiler):
    if not own:
        without_compiler()
    at = settled()
    row = np.zeros((8, 7))
    row[:, 0] = 1.0
    hold = Hold(np.full(8, 2), row, np.linspace(-1, 1, 8))  # log c_S - log a_S
    theta, value, converged = minimise(at.problem, at.cold, hold=hold)
    assert converged.all()
    np.testing.assert_allclose(theta[:, 2] - theta[:, 0], hold.constant, atol=1e-12)
    for end, least, constant in zip(theta, value, hold.constant, strict=True):
        moved = end + np.random.default_rng(0).normal(0, 1e-3, (200, 7))
        moved[:, 2] = moved[:, 0] + constant
        around = at.problem.value(at.problem.residual(moved)[0], at.problem.objective.delta)
        assert (around >= least * (1 - 1e-7)).all()


def test_a_valley_of_few_sparsities_is_followed_to_its_end():
    """b_S close to 0 leaves the share of c_S open: the fit still converges within its steps."""
    rng = np.random.default_rng(0)
    law = replace(random_law(rng), b_S=0.02)
    result = fit(grid(law, 0.01, rng), resamples=40, profile_resamples=0)
    assert result.status != "not converged"
    assert result.converged_members >= 36


def test_no_cold_start_of_a_member_ends_lower():
    """Where the objective has several bottoms, every refit is the best of all its starts."""
    from simlib.datasets import load_runs
    from simlib.fit import DEFAULT_OBJECTIVE

    rng = np.random.default_rng(0)
    runs = load_runs("t5-laptop").finished
    at, _, begin = prepare(runs, JOINT, DEFAULT_OBJECTIVE, 10, rng)
    theta = min(zip(*minimise(at.problem, begin)[:2], strict=True), key=lambda end: end[1])[0]
    batch = resample_residuals(at.problem, theta, 60, rng)
    found = refit(batch, theta, 60, at.cold)
    fresh = prepare(runs, JOINT, DEFAULT_OBJECTIVE, 60, np.random.default_rng(9))[2]
    cold = minimise(batch, fresh, max_steps=3000)[1]
    assert (cold < found.value * (1 - 1e-3)).mean() <= 0.05
    alone = minimise(batch, np.tile(theta, (60, 1)), max_steps=3000)[1]
    assert (found.value < alone * (1 - 1e-3)).any()  # one start was not enough
