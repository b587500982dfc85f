"""Virtual runs: what went in comes out, and none can be taken for a measured one."""

import numpy as np
import pytest
from factories import random_law

from simlib.datasets import load_law, load_runs
from simlib.errors import InputError
from simlib.fit import fit
from simlib.laws.law import PUBLISHED
from simlib.runs.simulated import is_simulated, simulated_warning
from simlib.runs.table import RunRecord, RunTable, read_table, write_table
from simlib.simulate.virtual import (
    Noise,
    estimate_noise,
    usual_noise,
    virtual_runs,
)

LAW = random_law(np.random.default_rng(5))
S, N, D = (
    a.ravel()
    for a in np.meshgrid([0.0, 0.5, 0.75], np.geomspace(1e6, 1e8, 5), np.geomspace(1e8, 1e10, 5))
)


def test_without_noise_the_runs_lie_on_the_law_and_a_fit_finds_it():
    runs = virtual_runs(LAW, S, N, D, Noise(0.0, 0.0))
    np.testing.assert_allclose(
        runs.loss, LAW(runs.sparsity, runs.nonzero_params, runs.data_seen), rtol=1e-12
    )
    found = fit(runs, resamples=0, profile_resamples=0)
    np.testing.assert_allclose(found.law.vector(), LAW.vector(), rtol=1e-3)


@pytest.mark.parametrize(("seed", "misfit"), [(0.01, 0.0), (0.0, 0.01), (0.004, 0.008)])
def test_the_noise_that_went_in_is_estimated_back(seed, misfit):
    runs = virtual_runs(LAW, S, N, D, Noise(seed, misfit), repeats=4, seed=1)
    found = estimate_noise(runs, LAW)
    assert found.seed == pytest.approx(seed, rel=0.15, abs=1e-12)
    assert found.misfit == pytest.approx(misfit, rel=0.25, abs=4e-3)
    assert found.total == pytest.approx(np.hypot(seed, misfit), rel=0.2)


def test_without_repeats_all_residual_is_misfit():
    runs = virtual_runs(LAW, S, N, D, Noise(0.006, 0.008))
    found = estimate_noise(runs, LAW)
    assert found.seed is None
    assert found.misfit == pytest.approx(0.01, rel=0.25)


def test_usual_noise_is_that_of_the_laws_own_table():
    ours, theirs = load_law("gpt-laptop"), load_law("t5-c4-refit")
    found = usual_noise(ours)
    least = ours.fitted_range.data_seen[0]
    fitted = [r for r in load_runs("gpt-laptop") if r.data_seen >= least]
    assert found == estimate_noise(RunTable(fitted), ours.law)
    assert found.seed > 0  # it has repeats
    assert found.total == pytest.approx(ours.log_rmse, rel=0.2)
    assert usual_noise(theirs) == Noise(None, theirs.log_rmse)  # one run a setting


def test_every_record_is_marked_and_the_marks_survive_a_file(tmp_path):
    runs = virtual_runs(PUBLISHED["t5-c4"], S, N, D, Noise(0.01, 0.0), name="t5-c4", repeats=2)
    write_table(tmp_path / "virtual.csv", runs)
    back = read_table(tmp_path / "virtual.csv")
    assert len(back) == 2 * len(S)
    assert len({r.run_id for r in back}) == len(back)
    assert all(is_simulated(r) for r in back)
    assert "150 of 150 runs are simulated, not measured (simulated:t5-c4)" in simulated_warning(
        back
    )
    for blanked in ("run_id", "dataset", "device", "commit"):
        assert is_simulated(back.records[0].model_copy(update={blanked: ""}))


def test_measured_runs_are_not_marked_and_a_mixture_is_counted():
    real = RunRecord(family="gpt", nonzero_params=100, sparsity=0.0, data_seen=10, loss=2.0)
    assert simulated_warning(RunTable([real])) is None
    mixed = RunTable([real, *virtual_runs(LAW, 0.5, 1e7, 1e9, Noise(0.0, 0.0))])
    assert simulated_warning(mixed).startswith("1 of 2 runs")


def test_the_same_seed_gives_the_same_table_and_another_another():
    tables = [virtual_runs(LAW, S, N, D, Noise(0.01, 0.01), seed=s) for s in (0, 0, 1)]
    assert tables[0].records == tables[1].records
    assert (tables[0].loss != tables[2].loss).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Noise(-0.1, 0.0), "at least 0"),
        (lambda: virtual_runs(LAW, 0.5, 1e7, 1e9, Noise(0.0, 1e3)), "noise of 1000 on log loss"),
        (lambda: virtual_runs(LAW, 1.0, 1e7, 1e9, Noise(0.0, 0.0)), "sparsity"),
        (lambda: virtual_runs(LAW, 0.5, 1e7, 1e9, Noise(0.0, 0.0), repeats=0), "at least once"),
        (
            lambda: estimate_noise(virtual_runs(LAW, 0.5, 1e7, 1e9, Noise(0.0, 0.0)), LAW),
            "1 different settings",
        ),
    ],
)
def test_impossible_tables_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        wrong()
