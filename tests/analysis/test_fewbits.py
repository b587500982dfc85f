"""Whether zeros and few bits cost each other anything; what bits are worth beside other laws."""

from dataclasses import replace

import numpy as np
import pytest
from factories import random_law, run_record

from simlib.analysis.bitforecast import (
    CATALOG,
    LARGEST,
    LAW,
    ROUTES,
    SPARSE,
    forecast_bits,
    heldout_runs,
    judge,
)
from simlib.analysis.bitworth import law_beside
from simlib.analysis.fewbits import DECIDING, crossing, power
from simlib.analysis.fewbits import judge as judge_excess
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.precision import WithBits
from simlib.runs.table import RunTable

LAW_OF_ZEROS = load_law("t5-c4-refit")
EFF = {16: 1.0, 8: 0.99, 4: 0.8, 3: 0.6}
SEEDS = 3


def crossed(extra=0.0, noise=0.004, seed=0):
    """Three sparsities by four numbers of bits by seeds; sparse models lose `extra` more."""
    rng = np.random.default_rng(seed)
    law = WithBits(LAW_OF_ZEROS.joint, tuple(EFF.values())[1:], tuple(EFF)[1:])
    rows = []
    for S in (0.0, 0.5, 0.75):
        for bits in EFF:
            for s in range(SEEDS):
                full, few = law(S, 1e4, 1e9), law(S, 1e4, 1e9, bits)
                loss = full + (1 + extra * (S > 0)) * (few - full)
                rows.append(
                    run_record(
                        nonzero_params=10_000,
                        sparsity=S,
                        data_seen=10**9,
                        weight_bits=None if bits == 16 else bits,
                        loss=float(loss) * np.exp(noise * rng.standard_normal()),
                        seed=s,
                    )
                )
    return RunTable(rows)


def test_where_worths_multiply_nothing_is_left_of_the_cost():
    found = crossing(crossed(noise=0.0), LAW_OF_ZEROS)
    assert (found.sparsities, found.bits) == ((0, 0.5, 0.75), (16, 8, 4, 3))
    np.testing.assert_allclose(found.excess, 0, atol=1e-12)
    more = crossing(crossed(extra=0.5, noise=0.0), LAW_OF_ZEROS)
    np.testing.assert_allclose(more.excess[1:], 0.5 * found.cost[1:], atol=1e-12)


def test_the_noise_is_that_of_the_mean_over_drawn_seeds():
    found = [crossing(crossed(seed=seed), LAW_OF_ZEROS) for seed in range(100)]
    few = np.isin(found[0].bits, DECIDING)
    drawn = [one.excess[1:, few].mean() for one in found]
    said = np.sqrt(np.mean([one.noise() ** 2 for one in found]))
    assert np.std(drawn) == pytest.approx(said, rel=0.2)
    assert abs(np.mean(drawn)) < 0.3 * np.std(drawn)


def test_the_rule_is_right_as_often_as_it_says():
    wrong, found = 0, 0
    for seed in range(100):
        wrong += judge_excess(crossing(crossed(seed=seed), LAW_OF_ZEROS)).verdict == "contradicted"
        true = judge_excess(crossing(crossed(0.5, seed=seed), LAW_OF_ZEROS))
        found += true.verdict == "contradicted"
    said = judge_excess(crossing(crossed(), LAW_OF_ZEROS)).power
    assert wrong <= 20  # of a level of 90 %
    assert found / 100 == pytest.approx(said, abs=0.2)
    assert power(0.0, 1.645, 1.0) == pytest.approx(0.1, abs=1e-3)


def test_without_power_nothing_found_is_undecided():
    judged = judge_excess(crossing(crossed(noise=0.0), LAW_OF_ZEROS))
    assert judge_excess(crossing(crossed(noise=1e-5), LAW_OF_ZEROS), (8, 4, 3)).power > 0.99
    assert replace(judged, low=-1.0, high=1.0, power=0.5).verdict == "undecided"
    assert replace(judged, low=-1.0, high=1.0, power=0.9).verdict == "holds"
    assert replace(judged, low=0.1, high=1.0, power=0.9).verdict == "contradicted"


def test_a_table_without_a_cell_is_refused():
    runs = crossed()
    sparser = run_record(nonzero_params=10_000, data_seen=10**9, sparsity=0.9)
    assert crossing(RunTable([*runs, sparser]), LAW_OF_ZEROS).sparsities == (0, 0.5, 0.75)
    few = RunTable(r for r in runs if not (r.sparsity == 0.5 and r.weight_bits == 4))
    with pytest.raises(InputError, match="lack a cell"):
        crossing(few, LAW_OF_ZEROS)
    with pytest.raises(InputError, match="no dense model has weights of few bits"):
        crossing(runs.where(weight_bits=None), LAW_OF_ZEROS)


def test_the_worth_of_bits_beside_a_law_is_that_of_runs_which_follow_it():
    dense = random_law(np.random.default_rng(0)).dense
    wide = WithBits(dense, (0.9,), (8,))
    many = wide.from_vector(np.tile(wide.vector(), (30, 1)))
    file = FittedLaw("wide", wide, ensemble=many, status="converged", converged_members=30)
    own = WithBits(dense, (0.7, 0.2), (4, 2))
    runs = RunTable(
        run_record(
            sparsity=0.0,
            nonzero_params=round(N),
            data_seen=round(100 * N),
            weight_bits=bits,
            loss=float(own(0.0, round(N), round(100 * N), bits)),
        )
        for N in (1e7, 1e8, 1e9)
        for bits in (4, 2, 16)
    )
    found = law_beside(file, runs, "narrow")
    np.testing.assert_allclose(found.law.vector(), own.vector(), rtol=1e-9)
    assert found.intervals["eff(4)"] == pytest.approx((0.7, 0.7))
    assert (found.runs, found.log_rmse) == (6, pytest.approx(0, abs=1e-12))
    with pytest.raises(InputError, match="no run has few bits"):
        law_beside(file, runs.where(weight_bits=16), "narrow")
    low = RunTable(r.model_copy(update={"loss": 1e-3}) for r in runs)
    with pytest.raises(InputError, match="so low a loss"):
        law_beside(file, low, "narrow")


def heldout():
    """Runs that follow the shipped law, those of 4:8 as if zeros were worth nothing."""
    law = load_law(LAW).law
    return {
        group: RunTable(
            run_record(
                sparsity=S,
                nonzero_params=N,
                data_seen=100 * N,
                weight_bits=4,
                loss=float(law(0.0, N, 100 * N, 4)),
            )
            for N in sizes
        )
        for group, S, sizes in ((LARGEST, 0.0, [10**9]), (SPARSE, 0.5, [10**7, 10**8]))
    }


def test_a_route_that_is_true_holds_and_the_others_are_contradicted():
    runs = heldout()
    forecasts = forecast_bits(runs)
    assert len(forecasts) == 1 + 2 * len(ROUTES[SPARSE])
    routes = {(r.group, r.route): r for r in judge(forecasts, runs, scatter=0.003)}
    true = routes[SPARSE, ""]
    assert (true.verdict, true.mean) == ("holds", pytest.approx(0, abs=1e-9))
    assert routes[SPARSE, "t5-c4-refit"].verdict == "contradicted"
    assert routes[SPARSE, "t5-c4-refit"].mean > 0  # zeros that are worth nothing disappoint it
    assert routes[LARGEST, ""].verdict == "not contradicted"
    loose = {(r.group, r.route): r for r in judge(forecasts, runs, scatter=1.0)}
    assert {r.verdict for (group, _), r in loose.items() if group == SPARSE} == {"undecided"}


def test_shipped_forecasts_are_those_of_the_shipped_law():
    shipped, judged = CATALOG.load("quest"), CATALOG.load("quest-judged")
    assert shipped.routes == []
    assert judged.forecasts == shipped.forecasts
    law = load_law(shipped.law).law
    for f in shipped.forecasts:
        one = 1.0 if not f.route else load_law(f.route).joint.multiplier(f.sparsity)
        assert f.loss == pytest.approx(law(0.0, f.nonzero_params * one, f.data_seen, f.bits))
        assert f.low < f.loss < f.high
    try:
        runs = heldout_runs()
    except InputError:
        pytest.skip("quest-runs.json is not at hand: set SIMLIB_DATA to its folder")
    again = judge(shipped.forecasts, runs, load_law(shipped.law).log_rmse, shipped.level)
    for one, other in zip(again, judged.routes, strict=True):
        assert one.mean == pytest.approx(other.mean)
        assert one.verdict == other.verdict
