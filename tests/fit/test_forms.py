"""Rival laws and their forms: each recovers itself, in any unit, and says what it does not know."""

from dataclasses import dataclass

import numpy as np
import pytest
from factories import Table, grid, random_law
from scipy.integrate import quad

from simlib.errors import InputError
from simlib.fit import DEFAULT_OBJECTIVE, FORMS, JOINT, fit
from simlib.fit.fittedlaw import read_law
from simlib.fit.newton import minimise
from simlib.fit.preparation import prepare
from simlib.fit.problem import Hold
from simlib.laws.base import BaseLaw, Coefficient
from simlib.laws.extensions import DataExponentLaw, DataFactorLaw, FixedDataLaw, SizeExponentLaw
from simlib.laws.form import Amplitude, ByLevel, Exponent, Form, Outer, Units
from simlib.laws.law import JointLaw
from simlib.laws.rivals import (
    PUBLISHED_ACTIVATION,
    PUBLISHED_EXPERTS,
    SCHEDULE,
    ActivationLaw,
    AverageParams,
    CapacityLaw,
    DensityPower,
    ExpertsLaw,
    FreeMultiplier,
    find_levels,
    pruning_error,
)

QUICK = {"resamples": 0, "profile_resamples": 0}
TAIL = {"a_D": 3e8, "b_D": 0.45, "c": 1.2}
LEVELS = (0.5, 0.75, 0.875)
RIVALS = ("density-power", "free-multiplier", "capacity", "experts", "activation")
TRUTHS = {
    "density-power": DensityPower(a_N=300.0, k=0.5, b_N=0.3, **TAIL),
    "average-params": AverageParams(a_N=300.0, b_N=0.3, **TAIL),
    "free-multiplier": FreeMultiplier(300.0, 0.3, **TAIL, eff=(1.5, 1.4, 2.4), levels=LEVELS),
    "capacity": CapacityLaw(a_N=300.0, b_N=0.3, F=0.6, C=1.3, **TAIL),
    "experts": ExpertsLaw(
        a=400.0, alpha=0.35, g=0.3, lam=-0.7, d=20.0, delta=0.9, gamma=0.2, **TAIL
    ),
    "activation": ActivationLaw(B=60.0, C=200.0, beta=0.12, alpha=0.3, **TAIL),
    "size-exponent": SizeExponentLaw(a_S=800.0, b_S=0.9, b_SN=0.4, c_S=40.0, b_N=0.2, **TAIL),
    "data-factor": DataFactorLaw(a_S=150.0, b_S=0.9, c_S=150.0, b_N=0.3, h=-0.4, **TAIL),
    "data-exponent": DataExponentLaw(a_S=150.0, b_S=0.9, c_S=150.0, b_N=0.3, q=0.2, v=0.05, **TAIL),
    "fixed-data": FixedDataLaw(a_S=150.0, b_S=0.9, c_S=150.0, b_N=0.3, c=1.7),
}
S = np.array([0.0, 0.5, 0.75, 0.875])


def plain(name: str) -> Form:
    """The form with everything fixed that is not an entry of theta."""
    form = FORMS[name]
    if isinstance(form, ByLevel):
        return form.at(LEVELS)
    return form.at(TRUTHS[name].F) if isinstance(form, Outer) else form


def test_every_form_has_a_truth_here_and_a_place_in_law_files():
    # bits need a column more: test_bits_form.py
    assert set(TRUTHS) == set(FORMS) - {"joint", "dense", "bits"}
    assert all(isinstance(TRUTHS[name], FORMS[name].law) for name in TRUTHS)


@pytest.mark.parametrize("name", TRUTHS)
def test_recovers_itself_from_noiseless_runs(name):
    law = TRUTHS[name]
    runs = grid(law, 0.0, np.random.default_rng(0))
    result = fit(runs, FORMS[name], seed=1, **QUICK)
    assert result.value < 1e-14
    points = (S[:, None], np.geomspace(3e5, 1e9, 5), 3e10)
    np.testing.assert_allclose(result.law(*points), law(*points), rtol=1e-3)
    if name not in ("experts", "activation"):  # whose coefficients trade places
        np.testing.assert_allclose(result.law.vector(), law.vector(), rtol=1e-3)


@pytest.mark.parametrize("name", TRUTHS)
def test_solver_and_law_say_the_same(name):
    """theta -> law -> theta is exact, and the exponentials sum to the law in any unit."""
    form, law = plain(name), TRUTHS[name]
    N, D = np.geomspace(1e6, 1e9, 4), np.geomspace(1e9, 1e11, 4)
    for units in (Units(0.0, 0.0), Units(np.log(2e7), np.log(5e9))):
        theta = form.from_law(law, units)
        back = form.to_law(theta, units)
        np.testing.assert_allclose(back.vector(), law.vector(), rtol=1e-9, atol=1e-12)
        total = np.exp(form.design(S, N, D, units) @ theta).sum(axis=-1)
        np.testing.assert_allclose(total, law(S, N, D), rtol=1e-9)


@pytest.mark.parametrize("name", ["capacity", "free-multiplier", "data-exponent"])
def test_units_of_size_and_data_do_not_matter(name):
    rng = np.random.default_rng(3)
    runs = grid(random_law(rng), 0.01, rng)
    scaled = Table(runs.sparsity, runs.nonzero_params / 7, runs.data_seen * 300, runs.loss)
    here, there = (fit(t, FORMS[name], **QUICK) for t in (runs, scaled))
    assert there.value == pytest.approx(here.value, rel=1e-7)
    predicted = there.law(scaled.sparsity, scaled.nonzero_params, scaled.data_seen)
    here_predicted = here.law(runs.sparsity, runs.nonzero_params, runs.data_seen)
    np.testing.assert_allclose(predicted, here_predicted, rtol=1e-4)


@pytest.mark.parametrize("name", TRUTHS)
def test_ensembles_predict_around_the_fit_and_survive_a_law_file(name, tmp_path):
    runs = grid(TRUTHS[name], 0.005, np.random.default_rng(2))
    result = fit(runs, FORMS[name], resamples=12, profile_resamples=0, starts=5)
    assert result.ensemble.vector().shape == (12, len(result.law.names()))
    result.save(tmp_path / "law.json")
    back = read_law(tmp_path / "law.json")
    points = (S[:, None], np.geomspace(1e6, 1e8, 3), 1e9)
    members = back.ensemble.expand(2)(*points)
    assert members.shape == (12, 4, 3)
    np.testing.assert_allclose(back.law(*points), result.law(*points))
    np.testing.assert_allclose(np.median(members, axis=0), result.law(*points), rtol=0.03)


def test_the_outer_search_finds_the_least_objective():
    """No value of the searched coefficient on a fine row gives a lower objective."""
    rng = np.random.default_rng(5)
    runs = grid(random_law(rng), 0.01, rng)
    form = FORMS["capacity"]
    assert isinstance(form, Outer)
    best = fit(runs, form, **QUICK)
    for F in best.law.F * np.array([0.5, 0.9, 0.99, 1.01, 1.1, 2.0]):
        assert fit(runs, form.at(F), starts=5, **QUICK).value >= best.value * (1 - 1e-9)


def test_extensions_contain_the_joint_law_and_say_so():
    joint = random_law(np.random.default_rng(0))
    N, D = np.geomspace(1e6, 1e9, 4), np.geomspace(1e8, 1e11, 4)
    for kind in (SizeExponentLaw, DataFactorLaw, DataExponentLaw):
        np.testing.assert_allclose(kind.of(joint)(S, N, D), joint(S, N, D), rtol=1e-12)


def test_a_wider_form_never_fits_worse():
    rng = np.random.default_rng(8)
    runs = grid(random_law(rng), 0.01, rng)
    joint = fit(runs, JOINT, **QUICK).value
    for name in ("size-exponent", "data-factor", "data-exponent", "free-multiplier"):
        assert fit(runs, FORMS[name], **QUICK).value <= joint * (1 + 1e-6)
    power = fit(runs, FORMS["density-power"], **QUICK).value
    assert joint <= power * (1 + 1e-6)
    factor = fit(runs, FORMS["data-factor"], **QUICK).value
    assert fit(runs, FORMS["data-exponent"], **QUICK).value <= factor * (1 + 1e-6)


@pytest.mark.parametrize("name", TRUTHS)
def test_dense_models_are_a_dense_law_in_every_form(name):
    """At S = 0 twice the parameters or data never raise the loss, and the floor is approached."""
    law = TRUTHS[name]
    N = np.geomspace(1e6, 1e12, 20)
    loss = law(0.0, N, 1e10)
    assert (np.diff(loss) < 0).all()
    floor = law(0.0, 1e60, 1e60)
    assert 0 < floor <= law(0.0, 1e12, 1e12)


def test_pruning_error_is_the_integral_of_what_is_pruned():
    def density(z):
        return z**2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    for sparsity, quantile in ((0.5, 0.67448975), (0.9, 1.64485363)):
        assert pruning_error(sparsity) == pytest.approx(2 * quad(density, 0, quantile)[0])
    assert pruning_error(0.0) == 0
    assert pruning_error(1 - 1e-9) == pytest.approx(1, abs=1e-6)


def test_a_dense_model_has_capacity_one_and_more_sparsity_less():
    rho = TRUTHS["capacity"].capacity(np.linspace(0, 0.99, 50))
    assert rho[0] == 1
    assert (np.diff(rho) < 0).all()


def test_mean_parameters_are_those_of_the_schedule():
    t = (np.arange(400_000) + 0.5) / 400_000
    done = 1 - (1 - np.clip((t - 0.25) / 0.5, 0, 1)) ** 3
    for sparsity in (0.5, 0.875):
        mean = (1 - sparsity * done).mean() / (1 - sparsity)
        assert SCHEDULE.multiplier(sparsity) == pytest.approx(mean, rel=1e-6)


def test_levels_are_found_and_strangers_refused():
    measured = [0.0, 0.001, 0.4991, 0.5, 0.5004, 0.875, 0.8741, 0.8755]
    assert find_levels(measured) == (0.5, 0.875)
    law = FreeMultiplier(300.0, 0.3, **TAIL, eff=(1.5, 2.4), levels=(0.5, 0.875))
    assert law(0.499, 1e7, 1e9) == law(0.5, 1e7, 1e9)
    with pytest.raises(InputError, match=r"sparsity 0\.75 is none of the law's own"):
        law(0.75, 1e7, 1e9)


def test_published_laws_of_other_kinds_of_sparsity_evaluate_in_their_range():
    experts = PUBLISHED_EXPERTS(np.array([0.0, 0.5, 0.9]), 1e9, 1e11)
    assert ((experts > 1) & (experts < 4)).all()
    a, b = (PUBLISHED_ACTIVATION(0.4, 1e9, D) for D in (1e9, 1e12))
    assert a == b


def test_rival_forms_refuse_tables_that_cannot_identify_them():
    runs = grid(TRUTHS["capacity"], 0.0, np.random.default_rng(0))
    dense = Table(*(v[runs.sparsity == 0] for v in vars(runs).values()))
    for name in RIVALS:
        with pytest.raises(InputError, match="1 different value of sparsity"):
            fit(dense, FORMS[name], **QUICK)


PROFILED = [name for name in FORMS if not isinstance(FORMS[name], Outer)]
SCATTERED = {"joint": JointLaw(150.0, 0.9, 150.0, 0.3, **TAIL)} | TRUTHS


@pytest.mark.parametrize("name", [name for name in PROFILED if name in SCATTERED])
def test_every_coefficient_has_a_profile_whose_ends_rise_alike(name):
    """Held at either end of its interval, a coefficient costs the runs equally much."""
    runs = grid(SCATTERED[name], 0.005, np.random.default_rng(2))
    found = fit(runs, FORMS[name], resamples=0, profile_resamples=20, starts=5)
    assert set(found.profile_intervals) == set(found.law.names())
    settled, _, _ = prepare(runs, FORMS[name], DEFAULT_OBJECTIVE, 1, np.random.default_rng(0))
    form, units, problem = settled.form, settled.units, settled.problem
    theta = form.from_law(found.law, units)[None]
    for coefficient, ends in found.profile_intervals.items():
        low, high = (np.nan if end is None else end for end in ends)
        assert not low >= found.coefficients[coefficient]
        assert not high <= found.coefficients[coefficient]
        holds = [form.hold(coefficient, end, units) for end in ends if end is not None]
        if len(holds) < 2 or None in holds:  # open, or held along a curve
            continue
        rise = [minimise(problem, theta, hold=Hold.of([hold]))[1][0] for hold in holds]
        assert rise[0] - found.value == pytest.approx(rise[1] - found.value, rel=0.02)


@dataclass(frozen=True)
class MixedLaw(BaseLaw):
    """`L = a N^-b + m N^-u D^-v + c`: a term that holds size and data together."""

    a: Coefficient
    b: Coefficient
    m: Coefficient
    u: Coefficient
    v: Coefficient
    c: Coefficient

    def __call__(self, S, N, D):
        return self.a * N**-self.b + self.m * N**-self.u * D**-self.v + self.c + 0 * np.asarray(S)


MIXED = Form(
    "mixed",
    MixedLaw,
    {
        "a": Amplitude(per_N="b"),
        "b": Exponent(),
        "m": Amplitude(per_N="u", per_D="v"),
        "u": Exponent(),
        "v": Exponent(),
        "c": Amplitude(),
    },
    lambda S, n, d: [{"a": 1.0, "b": -n}, {"m": 1.0, "u": -n, "v": -d}, {"c": 1.0}],
    curved=(),
    distinct=(1, 3, 3),
)


def test_a_term_may_hold_size_and_data_together():
    law = MixedLaw(300.0, 0.3, 4e4, 0.15, 0.4, 1.2)
    runs = grid(law, 0.0, np.random.default_rng(0))
    found = fit(runs, MIXED, seed=1, **QUICK)
    np.testing.assert_allclose(found.law.vector(), law.vector(), rtol=1e-3)
    noisy = fit(grid(law, 0.005, np.random.default_rng(0)), MIXED, resamples=0, starts=5)
    for name, (low, high) in noisy.profile_intervals.items():
        assert low < noisy.coefficients[name] < high, name
