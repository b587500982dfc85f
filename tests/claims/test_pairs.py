"""Pairs of runs give what the law that drew them says."""

import numpy as np
import pytest
from making import DATA, LAPTOP, SIZES, law_file, table

from simlib.claims.pairs import pairs
from simlib.errors import InputError
from simlib.runs.table import RunTable


@pytest.fixture(scope="module")
def exact() -> RunTable:
    return table(seed=0.0, repeats=1)


@pytest.mark.parametrize(("size", "data"), [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)])
def test_gains_are_the_ratio_of_the_two_losses(exact, size, data):
    found = pairs(exact, LAPTOP, size=size, data=data)
    S, N = found.sparsity, found.nonzero_params
    D = found.data_seen * (1 - S) ** data
    dense = LAPTOP(0.0, N * (1 - S) ** -size, D * (1 - S) ** -data)
    np.testing.assert_allclose(found.gain, np.log(dense / LAPTOP(S, N, D)), atol=1e-4)
    np.testing.assert_allclose(found.difference, dense - LAPTOP(S, N, D), atol=1e-3)


def test_every_setting_with_a_partner_is_found_once(exact):
    assert len(pairs(exact, LAPTOP)) == 3 * len(SIZES) * len(DATA)
    # twice, four and eight times the data of the dense partner must be in the table
    assert len(pairs(exact, LAPTOP, data=1.0)) == len(SIZES) * (4 + 3 + 2)


def test_a_size_that_is_built_a_little_off_does_not_move_the_gain(exact):
    def off(run):
        if run.sparsity > 0:
            return run
        N = round(1.02 * run.nonzero_params)
        return run.model_copy(
            update={
                "nonzero_params": N,
                "dense_params": N,
                "loss": float(LAPTOP(0.0, N, run.data_seen)),
            }
        )

    moved = pairs(RunTable(off(r) for r in exact), LAPTOP)
    np.testing.assert_allclose(moved.gain, pairs(exact, LAPTOP).gain, atol=1e-4)


def test_by_the_joint_law_the_break_even_budget_does_not_drift(exact):
    low, high = pairs(exact, LAPTOP, data=1.0).drift(LAPTOP, law_file(LAPTOP).members()).interval
    assert low < 1.0 < high
    assert high / low < 2.0


def test_the_slope_has_the_sign_of_the_law(exact):
    growing = pairs(exact, LAPTOP, data=1.0).slope()
    assert growing.sign == 1
    steady = pairs(exact, LAPTOP).slope()  # by the joint law, in nats
    assert steady.mean == pytest.approx(0.0, abs=1e-5)
    # under the mask of one network, longer training makes sparsity cost more of the loss
    assert pairs(exact, LAPTOP, size=1.0).slope(relative=True).mean < 0


def test_what_has_no_partner_is_refused(exact):
    with pytest.raises(InputError, match="no sparse run has the dense partner"):
        pairs(RunTable(r for r in exact if r.sparsity > 0), LAPTOP)
    short = RunTable(r for r in exact if r.data_seen == DATA[0])
    with pytest.raises(InputError, match="too few"):
        pairs(short, LAPTOP).slope()


def test_a_size_counts_once_however_many_pairs_it_has(exact):
    """All pairs of a size share its dense runs, so their number does not narrow the interval."""
    found = pairs(exact, LAPTOP)
    assert found.mean().values == len(SIZES)
    off = RunTable(
        r.model_copy(update={"loss": r.loss * 1.05})
        if r.sparsity == 0 and r.nonzero_params == SIZES[0]
        else r
        for r in exact
    )
    low, high = pairs(off, LAPTOP).mean().interval
    alone = np.delete(pairs(off, LAPTOP).gain, found.size == 0).mean()
    assert low < alone < high
