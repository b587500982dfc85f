"""The fit on tables drawn from known laws: recovery, coverage, invariance, refusals."""

import numpy as np
import pytest
from factories import Table, grid, random_law
from scipy.optimize import least_squares

from simlib.errors import InputError
from simlib.fit import DENSE, JOINT, Objective, fit
from simlib.laws.law import JointLaw

QUICK = {"resamples": 0, "profile_resamples": 0}


@pytest.mark.parametrize("objective", [Objective(0.001, log=True), Objective(0.01, log=False)])
@pytest.mark.parametrize("seed", range(25))
def test_recovers_the_law_of_noiseless_runs(seed, objective):
    rng = np.random.default_rng(seed)
    law = random_law(rng)
    result = fit(grid(law, 0.0, rng), objective=objective, seed=seed, **QUICK)
    assert result.status == "converged"
    assert result.agreeing >= 0.9
    np.testing.assert_allclose(result.law.vector(), law.vector(), rtol=1e-6)


def _coverage(truths: int, kind: str, **options: int) -> float:
    """Share of coefficients inside their 90% intervals, pooled over truths."""
    hits = []
    for seed in range(truths):
        rng = np.random.default_rng(1000 + seed)
        law = random_law(rng)
        result = fit(grid(law, 0.005, rng), seed=seed, **options)
        assert result.status == "converged"
        for name, (low, high) in getattr(result, kind).items():
            hits.append((low or -np.inf) <= getattr(law, name) <= (high or np.inf))
    return float(np.mean(hits))


# The checks of one truth are correlated: the bounds below are about three standard errors of as
# many truths with a correlation of one half between coefficients.
def test_bootstrap_intervals_cover_at_their_rate():
    assert 0.78 <= _coverage(20, "intervals", resamples=100, profile_resamples=0) <= 0.99


def test_profile_intervals_cover_at_their_rate():
    assert 0.72 <= _coverage(10, "profile_intervals", resamples=0, profile_resamples=30) <= 1.0


@pytest.fixture(scope="module")
def noisy() -> Table:
    rng = np.random.default_rng(7)
    return grid(random_law(rng), 0.01, rng)


def test_agrees_with_scipys_huber_least_squares(noisy):
    """`least_squares(loss="huber")` minimises the same objective, by other means."""
    objective = Objective(0.003, log=True)
    ours = fit(noisy, objective=objective, **QUICK)

    def residual(x):
        law = JointLaw.from_vector(np.exp(x))
        return np.log(law(noisy.sparsity, noisy.nonzero_params, noisy.data_seen) / noisy.loss)

    start = np.log(ours.law.vector()) + 0.05
    theirs = least_squares(
        residual,
        start,
        loss="huber",
        f_scale=objective.delta,
        x_scale="jac",
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
        max_nfev=2000,
    )
    assert ours.value == pytest.approx(theirs.cost / len(noisy.loss), rel=1e-6)
    assert ours.value <= theirs.cost / len(noisy.loss) * (1 + 1e-9)


def test_order_of_runs_and_seed_do_not_matter(noisy):
    order = np.random.default_rng(0).permutation(len(noisy.loss))
    shuffled = Table(*(v[order] for v in vars(noisy).values()))
    here, there = fit(noisy, seed=1, **QUICK), fit(shuffled, seed=2, **QUICK)
    np.testing.assert_allclose(here.law.vector(), there.law.vector(), rtol=1e-4)
    assert here.value == pytest.approx(there.value, rel=1e-8)


def test_units_of_size_and_data_do_not_matter(noisy):
    scaled = Table(noisy.sparsity, noisy.nonzero_params / 7, noisy.data_seen * 300, noisy.loss)
    here, there = fit(noisy, **QUICK).law, fit(scaled, **QUICK).law
    S, N, D = noisy.sparsity, noisy.nonzero_params, noisy.data_seen
    np.testing.assert_allclose(there(S, N / 7, D * 300), here(S, N, D), rtol=1e-6)
    assert there.b_N == pytest.approx(here.b_N, rel=1e-4)
    assert there.a_D == pytest.approx(here.a_D * 300, rel=1e-4)


def test_the_same_seed_gives_the_same_ensemble(noisy):
    first, second = (fit(noisy, resamples=20, profile_resamples=0, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.ensemble.vector(), second.ensemble.vector())
    assert first.ensemble.vector().shape == (20, 7)


def test_every_resample_reaches_its_own_optimum(noisy):
    """A resample is a table with weights; fitted alone from 25 starts it gets no lower."""
    from simlib.fit.bootstrap import refit, resample_residuals
    from simlib.fit.newton import Problem, minimise
    from simlib.laws.form import Units

    objective = Objective(0.001, log=True)
    units = Units.of(noisy.nonzero_params, noisy.data_seen)
    design = JOINT.design(noisy.sparsity, noisy.nonzero_params, noisy.data_seen, units)
    runs = len(noisy.loss)
    problem = Problem(
        design,
        np.zeros(design.shape[:2]),
        np.log(noisy.loss),
        np.full(runs, 1 / runs),
        objective,
        JOINT.lower,
        JOINT.upper,
        JOINT.valleys,
    )
    theta = JOINT.from_law(fit(noisy, objective=objective, **QUICK).law, units)
    rng = np.random.default_rng(0)
    batch = resample_residuals(problem, theta, 8, rng)
    values = refit(batch, theta, 8)[1]
    for member in range(8):
        alone = batch.members(np.full(25, member))
        starts = theta + rng.normal(0, 0.5, (25, 7))
        best = minimise(alone, starts)[1].min()
        assert values[member] <= best * (1 + 1e-4)


def test_dense_law_from_dense_runs(noisy):
    keep = noisy.sparsity == 0
    dense = Table(*(v[keep] for v in vars(noisy).values()))
    result = fit(dense, DENSE, **QUICK)
    assert result.status == "converged"
    assert result.log_rmse < 0.02
    with pytest.raises(InputError, match="dense runs only"):
        fit(noisy, DENSE, **QUICK)


def test_three_amounts_of_data_within_a_factor_of_two_do_not_identify_the_data_exponent():
    rng = np.random.default_rng(5)
    law = random_law(rng)
    S, N, D = (
        v.ravel() for v in np.meshgrid([0, 0.5, 0.75], np.geomspace(1e6, 1e8, 6), [1, 1.4, 2])
    )
    table = Table(S, N, D * 1e9, law(S, N, D * 1e9) * np.exp(0.01 * rng.standard_normal(S.size)))
    said = " ".join(fit(table, resamples=50, profile_resamples=50).warnings)
    assert "b_D is not identified" in said
    assert "b_N is not identified" not in said


def _with(table: Table, name: str, row: int, value: float) -> Table:
    names = ("sparsity", "nonzero_params", "data_seen", "loss")
    columns = {k: getattr(table, k).copy() for k in names}
    columns[name][row] = value
    return Table(*columns.values())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sparsity", 1.0, r"run 4: sparsity is 1\.0"),
        ("loss", np.nan, "run 4: loss is nan"),
        ("loss", 0.0, r"run 4: loss is 0\.0"),
        ("nonzero_params", -5.0, "run 4: nonzero_params"),
        ("data_seen", np.inf, "run 4: data_seen"),
    ],
)
def test_impossible_values_are_refused_by_row(noisy, name, value, said):
    with pytest.raises(InputError, match=said):
        fit(_with(noisy, name, 3, value))


def test_tables_that_cannot_identify_the_law_are_refused(noisy):
    few = Table(*(v[:7] for v in vars(noisy).values()))
    with pytest.raises(InputError, match="7 runs cannot fix the 7 coefficients"):
        fit(few)
    one_D = Table(
        noisy.sparsity, noisy.nonzero_params, np.full_like(noisy.data_seen, 1e9), noisy.loss
    )
    with pytest.raises(InputError, match="1 different value of data_seen"):
        fit(one_D)
    twice = Table(*(np.append(v, v[0]) for v in vars(noisy).values()))
    with pytest.raises(InputError, match="run 1 stands 2 times"):
        fit(twice)


def test_at_a_bound_the_answer_says_so_and_its_profiles_hold_the_truth():
    """60 runs that hardly tell a floor from none: the bootstrap says nothing, the profiles do."""
    law = JointLaw(200.0, 1.0, 300.0, 0.35, 2e8, 0.3, 0.6)
    S, N, D = (
        v.ravel()
        for v in np.meshgrid([0, 0.5, 0.75], np.geomspace(1e6, 1e8, 5), [1e9, 2e9, 4e9, 8e9])
    )
    bound = []
    for seed in range(12):
        noise = np.exp(0.02 * np.random.default_rng(seed).standard_normal(S.size))
        table = Table(S, N, D, law(S, N, D) * noise)
        result = fit(table, resamples=20, profile_resamples=40)
        if result.status == "at bound":
            bound.append(result)
    assert len(bound) >= 3
    inside = []
    for result in bound:
        assert not result.intervals
        assert "ends at a bound" in " ".join(result.warnings)
        low, high = result.profile_intervals["c"]
        assert low is None  # nothing keeps the floor from being absent
        inside.append(high is None or law.c <= high)
    assert np.mean(inside) >= 0.7


def test_starts_that_disagree_are_said():
    """Losses without a law have several bottoms."""
    rng = np.random.default_rng(21)
    S, N, D = (
        v.ravel() for v in np.meshgrid([0, 0.5, 0.75], np.geomspace(1e6, 1e8, 4), [1e8, 1e9, 1e10])
    )
    result = fit(Table(S, N, D, rng.uniform(1, 5, S.size)), **QUICK)
    assert result.agreeing < 0.9
    assert f"only {result.agreeing:.0%} of 25 starts agree" in " ".join(result.warnings)


def test_a_fit_that_is_stopped_early_says_so(noisy, monkeypatch):
    import simlib.fit as module

    def stopped(problem, theta, **_options):
        values = problem.residual(theta)[0].std(axis=1)
        return theta, values, np.zeros(len(theta), dtype=bool)

    monkeypatch.setattr(module, "minimise", stopped)
    result = fit(noisy, **QUICK)
    assert result.status == "not converged"
    assert any("did not converge" in sentence for sentence in result.warnings)


def test_a_sample_of_many_runs_finds_the_optimum_of_all(noisy, monkeypatch):
    """Where a sample tells the starts apart, the end is still the optimum of every run."""
    import simlib.fit as module

    whole = fit(noisy, **QUICK)
    monkeypatch.setattr(module, "MANY", 60)
    sampled = fit(noisy, **QUICK)
    assert sampled.value == pytest.approx(whole.value, rel=1e-6)
    assert sampled.runs == len(noisy.loss)


def test_a_refused_step_changes_nothing_but_the_damping(noisy):
    """Members of a batch go their own ways: together or alone, they reach the same ends."""
    from simlib.fit.newton import minimise
    from simlib.fit.preparation import prepare

    settled, _, begin = prepare(
        noisy, JOINT, Objective(0.001, log=True), 8, np.random.default_rng(0)
    )
    together = minimise(settled.problem, begin.copy())[1]
    alone = [minimise(settled.problem, start[None].copy())[1][0] for start in begin]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
