"""Forecasts of a grid's splits held against its runs: errors, and whether the choice was right."""

import numpy as np
import pytest
from factories import random_law, run_record

from simlib.analysis.bitforecast import CATALOG
from simlib.analysis.splitcheck import check_splits, forecast_splits
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.precision import WithBits
from simlib.pages.notebooks import notebook_folder
from simlib.runs.config import RunConfig
from simlib.runs.table import RunTable
from simlib.sweep.grid import read_grid

LAW = WithBits(random_law(np.random.default_rng(3)), (0.8, 0.5), (4, 3))
MEMBERS = LAW.from_vector(np.tile(LAW.vector(), (20, 1)))
FILE = FittedLaw("bits", LAW, MEMBERS, status="converged", converged_members=20)
CONFIGS = [
    RunConfig(nonzero_params=n, sparsity=S, weight_bits=bits, steps=4000, seed=seed)
    for n, S, bits in ((6144, 0.0, None), (24576, 0.0, 4), (12288, 0.75, 4), (32768, 0.0, 3))
    for seed in (0, 1)
]


def runs_of(shift=0.0, worse=None, noise=1e-4):
    """Runs of every split as the law has them, all shifted on the log scale, one of them worse."""
    rng = np.random.default_rng(1)
    return RunTable(
        run_record(
            nonzero_params=round(f.nonzero_params),
            sparsity=f.sparsity,
            data_seen=round(f.data_seen),
            weight_bits=None if f.bits == 16 else f.bits,
            loss=float(f.loss * np.exp(shift + 0.1 * (i == worse) + noise * rng.standard_normal())),
            seed=seed,
        )
        for i, f in enumerate(FORECASTS)
        for seed in (0, 1)
    )


FORECASTS = forecast_splits(CONFIGS, FILE)


def test_seeds_share_a_forecast_at_the_size_that_is_built():
    assert [f.bits for f in FORECASTS] == [16, 4, 4, 3]
    for f in FORECASTS:
        assert f.loss == pytest.approx(LAW(f.sparsity, f.nonzero_params, f.data_seen, f.bits))
        assert f.data_seen == 4000 * 8 * 128
    assert FORECASTS[2].nonzero_params == pytest.approx(12288, rel=0.03)


def test_a_true_law_agrees_and_a_shifted_one_is_contradicted():
    found = check_splits(FORECASTS, runs_of())
    assert found.low <= 0 <= found.high
    assert (found.chosen, found.regret) == (found.best, 0)
    off = check_splits(FORECASTS, runs_of(shift=0.01))
    assert off.low > 0
    assert off.error == pytest.approx(0.01, abs=1e-3)
    assert (off.chosen, off.regret) == (off.best, 0)  # what all share does not change the choice


def test_a_choice_that_turns_out_worse_is_beyond_chance_only_with_little_noise():
    chosen = check_splits(FORECASTS, runs_of()).chosen
    sharp = check_splits(FORECASTS, runs_of(worse=chosen))
    assert sharp.best != chosen
    assert sharp.regret > sharp.allowed > 0
    dull = check_splits(FORECASTS, runs_of(worse=chosen, noise=0.2))
    assert dull.allowed > 10 * sharp.allowed


def test_runs_that_are_missing_are_named():
    runs = runs_of()
    few = RunTable(r for r in runs if r.weight_bits != 3)
    with pytest.raises(InputError, match="weights of 3 bits at 0 sparsity"):
        check_splits(FORECASTS, few)
    with pytest.raises(InputError, match="no split has two seeds"):
        check_splits(FORECASTS, runs.where(seed=0))


def test_shipped_forecasts_are_those_of_the_shipped_law_for_the_grid():
    shipped = CATALOG.load("bytes-laptop")
    grid = read_grid(notebook_folder() / "grids" / "bytes-laptop.yaml")
    again = forecast_splits(grid.configs, load_law(shipped.law), shipped.level)
    assert len(again) == len(shipped.forecasts)
    for one, other in zip(again, shipped.forecasts, strict=True):
        assert (one.bits, one.sparsity) == (other.bits, other.sparsity)
        assert one.loss == pytest.approx(other.loss)
        assert (one.low, one.high) == pytest.approx((other.low, other.high))
