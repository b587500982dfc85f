"""Fits of laws of bits: known ones are recovered, and tables that cannot show bits are refused."""

from dataclasses import dataclass

import numpy as np
import pytest
from factories import random_law

from simlib.errors import InputError
from simlib.fit import FORMS, JOINT, fit
from simlib.fit.fittedlaw import read_law
from simlib.laws.precision import WithBits
from simlib.runs.cells import Columns
from simlib.runs.table import RunRecord, RunTable

QUICK = {"resamples": 0, "profile_resamples": 0}
BITS = FORMS["bits"]
LAW = random_law(np.random.default_rng(1))
TRUTHS = {
    "joint": WithBits(LAW, (0.95, 0.7, 0.3), (8, 4, 2)),
    "dense": WithBits(LAW.dense, (0.95, 0.7, 0.3), (8, 4, 2)),
}


@dataclass(frozen=True)
class BitColumns(Columns):
    """Columns with the bits of each run's weights."""

    P: np.ndarray

    @property
    def weight_bits(self):
        return self.P


def runs_of(name, noise=0.0, seed=0):
    """Every combination of size, data, bits and, around a joint law, sparsity."""
    S = [0.0, 0.5, 0.75, 0.875] if name == "joint" else [0.0]
    columns = np.meshgrid(S, np.geomspace(1e6, 1e8, 4), np.geomspace(1e8, 1e10, 4), [16, 8, 4, 2])
    S, N, D, P = (column.ravel() for column in columns)
    drawn = np.random.default_rng(seed).standard_normal(S.size)
    return BitColumns(S, N, D, TRUTHS[name](S, N, D, P) * np.exp(noise * drawn), P)


@pytest.mark.parametrize("name", TRUTHS)
def test_recovers_itself_from_noiseless_runs(name):
    found = fit(runs_of(name), BITS, **QUICK)
    assert found.status == "converged"
    assert found.log_rmse < 1e-6
    assert found.law.bits == (8, 4, 2)
    np.testing.assert_allclose(found.law.vector(), TRUTHS[name].vector(), rtol=1e-3)


@pytest.mark.parametrize("name", TRUTHS)
def test_intervals_hold_the_truth_and_survive_a_law_file(name, tmp_path):
    found = fit(runs_of(name, 0.003), BITS, resamples=60, profile_resamples=20, starts=5)
    for bits, eff in zip((8, 4, 2), (0.95, 0.7, 0.3), strict=True):
        low, high = found.profile_intervals[f"eff({bits})"]
        assert 0.93 * low < eff < 1.07 * high  # nine of ten hold it, the others come near
        assert high / low < 1.5
    found.save(tmp_path / "law.json")
    back = read_law(tmp_path / "law.json")
    assert back.form == "bits"
    np.testing.assert_allclose(back.law.vector(), found.law.vector())
    law, ensemble = back.by_bits
    assert ensemble.expand(1)(0.0, [1e6, 1e7], 1e9, 4).shape == (60, 2)
    assert law(0.0, 1e7, 1e9, 4) == found.law(0.0, 1e7, 1e9, 4)


def test_bits_of_one_kind_leave_their_worth_unknown():
    runs = runs_of("dense")
    for keep, told in ((16, "weights of 16 bits"), (4, "weights of 4 bits")):
        with pytest.raises(InputError, match=told):
            fit(runs.where(keep == runs.P), BITS, **QUICK)


def record(**changes):
    fields = {"nonzero_params": 10**6, "sparsity": 0.5, "data_seen": 10**9, "loss": 3.0}
    return RunRecord(**(fields | changes))


def test_a_law_that_knows_no_bits_is_not_fitted_to_runs_that_differ_in_them():
    mixed = RunTable(record(weight_bits=p, loss=3.0 + 0.01 * i) for i, p in enumerate([None, 4, 3]))
    with pytest.raises(InputError, match="weights of 3, 4, 16 bits, and the joint law knows none"):
        fit(mixed, JOINT, **QUICK)
    with pytest.raises(InputError, match="at least 3"):  # of one number of bits: judged as ever
        fit(RunTable(record(weight_bits=4, loss=3 + i / 7) for i in range(9)), JOINT, **QUICK)
    plain = fit(runs_of("dense").where(runs_of("dense").P == 16), FORMS["dense"], **QUICK)
    with pytest.raises(InputError, match="says nothing of the bits"):
        _ = plain.by_bits
