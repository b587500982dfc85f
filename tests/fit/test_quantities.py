"""Profile intervals of what follows from a law, and fits on which nothing may rest."""

from dataclasses import replace

import numpy as np
import pytest
from factories import grid, random_law

from simlib.datasets import load_runs
from simlib.errors import InputError
from simlib.fit import JOINT, QUANTITIES, Objective, Quantity, fit
from simlib.fit.newton import minimise
from simlib.fit.preparation import prepare
from simlib.fit.quantity import Curve
from simlib.laws.optimum import optimal_sparsity

SHARE = QUANTITIES["c_S/(a_S+c_S)"]
WORTH = Quantity(lambda law: law.multiplier(0.75), "log")
CURVED = {
    "share, not on its scale": Quantity(SHARE.of),
    "eff(0.75)": WORTH,
    "best sparsity": Quantity(lambda law: optimal_sparsity(law, 1e7, 1e19), "logit"),
}


@pytest.fixture(scope="module")
def noisy():
    rng = np.random.default_rng(7)
    return grid(random_law(rng), 0.01, rng)


@pytest.mark.slow
def test_profiles_agree_with_resampled_runs_where_the_runs_identify(noisy):
    wanted = {"share": SHARE, **CURVED}
    result = fit(noisy, resamples=200, profile_resamples=60, quantities=wanted)
    for name, found in result.quantities.items():
        values = wanted[name].of(result.ensemble)
        low, high = np.quantile(values, [0.05, 0.95])
        ours = found.profile_interval
        assert ours[0] < found.value < ours[1], name
        assert ours[0] == pytest.approx(low, abs=0.5 * (high - low)), name
        assert ours[1] == pytest.approx(high, abs=0.5 * (high - low)), name
        assert found.interval[0] < found.value < found.interval[1]
    # held along a line or along a curve, it is the same number
    straight, curved = (result.quantities[n] for n in ("share", "share, not on its scale"))
    np.testing.assert_allclose(straight.profile_interval, curved.profile_interval, rtol=1e-3)


def test_a_curved_quantity_is_held_at_its_value_and_the_rest_at_its_optimum(noisy):
    objective = Objective(0.01, log=True)
    at, _, begin = prepare(noisy, JOINT, objective, 4, np.random.default_rng(0))

    def u(theta):
        return np.log(WORTH.of(JOINT.to_law(theta, at.units)))

    best = minimise(at.problem, begin)[0][:1]
    wanted = u(best) + np.array([0.1])
    theta, value, converged = minimise(at.problem, best, hold=Curve(u, wanted, np.array([0])))
    assert converged.all()
    np.testing.assert_allclose(u(theta), wanted, atol=1e-10)
    # no point of the constraint close by is lower: moved, then put back on it
    moved = theta + np.random.default_rng(0).normal(0, 1e-3, (300, 7))
    Curve(u, np.full(300, wanted[0]), np.zeros(300, dtype=int)).place(moved)
    around = at.problem.value(at.problem.residual(moved)[0], objective.delta)
    assert (around >= value[0] * (1 - 1e-7)).all()


def test_the_share_is_open_where_the_runs_do_not_tell_it():
    """t5-laptop: the objective is the same to four digits at shares of .001, .05 and .3."""
    runs = load_runs("t5-laptop").finished
    result = fit(runs, resamples=30, profile_resamples=60, quantities={"share": SHARE})
    low, high = result.quantities["share"].profile_interval
    assert low is None or low < 0.01
    assert high is None or high > 0.9
    assert result.status == "at bound"
    assert not result.decides
    assert "ends at a bound" in result.why_not


def test_a_quantity_at_the_end_of_its_scale_is_refused(noisy):
    nothing = Quantity(lambda law: 0.0 * law.c, "log")
    with pytest.raises(InputError, match="nothing lies at the end of its scale"):
        fit(noisy, resamples=0, profile_resamples=10, quantities={"nothing": nothing})


def test_refits_that_did_not_converge_are_counted_and_decide_nothing(noisy, monkeypatch):
    from simlib.fit import bootstrap

    sound = fit(noisy, resamples=40, profile_resamples=0)
    assert (sound.refits, sound.converged_members) == (40, 40)
    assert sound.decides
    assert sound.why_not == ""

    def stopped(problem, theta, delta=None, max_steps=200, hold=None):
        return minimise(problem, theta, delta, max_steps=4, hold=hold)

    monkeypatch.setattr(bootstrap, "minimise", stopped)
    cut = fit(noisy, resamples=40, profile_resamples=0)
    assert cut.converged_members < 36
    assert cut.why_not.startswith(f"only {cut.converged_members} of its 40 refits")
    assert any("refits" in sentence for sentence in cut.warnings)
    assert "no ensemble" in replace(sound, ensemble=None).why_not


def test_only_intervals_that_were_asked_for_are_given(noisy):
    result = fit(noisy, resamples=0, profile_resamples=0)
    assert result.quantities == {}
    assert result.profile_intervals == {}
