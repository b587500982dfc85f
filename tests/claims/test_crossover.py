"""The crossover of sparse and dense models at equal cost, on runs whose law is known."""

import numpy as np
import pytest

from simlib.claims.crossover import (
    at_equal_cost,
    beyond,
    crossovers,
    data_at,
    dense_law,
    in_units,
    noise,
)
from simlib.claims.designs import OURS, SIZES, Scatter, drawn, language_rows
from simlib.claims.pairs import SHORT
from simlib.claims.truths import PILOT, TRUTHS
from simlib.errors import InputError
from simlib.laws.law import PUBLISHED
from simlib.laws.optimum import COSTS, break_even_multiple, chinchilla_flops
from simlib.runs.table import RunTable

CALM = Scatter(1e-6, 0.0)  # some, since rows that repeat to the bit are refused


def virtual(truth: str, scatter: Scatter, seed: int = 0) -> RunTable:
    return drawn(language_rows(), TRUTHS[truth], PILOT, scatter, np.random.default_rng(seed))


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("S", [0.25, 0.75, 0.9375])
def test_at_the_break_even_multiple_sparse_and_dense_are_equal(cost, S):
    for law in PUBLISHED.values():
        for N in (1e6, 1e9):
            flops = chinchilla_flops(law, N) * break_even_multiple(law, S, cost)
            sparse = law(S, N, cost.data_seen(S, N, flops))
            assert sparse == pytest.approx(law(0.0, N, COSTS["dense"].data_seen(0.0, N, flops)))


def test_dense_models_have_nothing_to_break_even_with():
    law = PUBLISHED["t5-c4"]
    no_gain = type(law)(0.0, law.b_S, law.c_S, law.b_N, law.a_D, law.b_D, law.c)
    assert break_even_multiple(no_gain, 0.5) == np.inf


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_without_noise_the_crossover_is_that_of_the_law(cost):
    found = crossovers(virtual("joint", CALM), cost)
    assert [round(c.sparsity, 2) for c in found] == [0.25, 0.5, 0.75, 0.88, 0.94]
    for c in found:
        true = float(break_even_multiple(PILOT.law, c.sparsity, cost))
        assert (c.side == 0) == (c.reach[0] < true < c.reach[1])
        if c.side == 0:
            assert c.multiple == pytest.approx(true, rel=0.02)  # the curve between runs is drawn


@pytest.mark.slow
@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_intervals_hold_the_truth_about_nine_times_in_ten(cost):
    crossing, gaining = [], []
    for seed in range(12):
        runs = virtual("joint", OURS, seed)
        dense, law = dense_law(runs), PILOT.law
        for c in crossovers(runs, cost):
            if c.sizes < len(SIZES):
                assert c.first.interval == c.last.interval == c.interval == (None, None)
                continue
            if c.side == 0:
                true = float(in_units(law, c.sparsity, c.nonzero_params, cost, dense))
                crossing.append(c.interval[0] < true < c.interval[1])
            for multiple, gain in zip(c.typical, (c.first, c.last), strict=True):
                N, D = c.nonzero_params, data_at(dense, multiple, c.nonzero_params)
                own = D / cost.multiplier(c.sparsity)
                true = float(np.log(law(0.0, N, D) / law(c.sparsity, N, own)))
                gaining.append(gain.interval[0] < true < gain.interval[1])
    assert len(crossing) > 15
    assert np.mean(crossing) > 0.8
    assert np.mean(gaining) > 0.8


@pytest.mark.slow
def test_sparsity_that_is_worth_nothing_never_wins():
    said = [
        c.verdict
        for seed in range(4)
        for cost in COSTS.values()
        for c in crossovers(virtual("no worth", OURS, seed), cost)
    ]
    assert set(said) <= {"behind", "open"}
    assert said.count("behind") > len(said) / 3


def test_sparsity_that_pays_early_wins_all_along():
    found = crossovers(virtual("early", OURS), COSTS["dense"])
    whole = [c for c in found if c.sizes == len(SIZES)]
    assert [c.verdict for c in whole] == ["ahead"] * 3
    assert all(c.side < 0 for c in found)


def test_a_law_that_says_of_training_the_reverse_is_seen():
    """Where sparsity takes off the data term, it is ahead at first and behind in the end."""
    for c in crossovers(virtual("short training", CALM), COSTS["sparse"]):
        assert c.first.mean > c.last.mean


def test_two_sizes_have_no_interval_and_three_have():
    runs = virtual("joint", OURS)
    three = RunTable(r for r in runs if r.nonzero_params in SIZES[::2])
    for c in crossovers(three, COSTS["dense"]):
        assert (None in c.last.interval) == (c.sizes < 3)
        assert c.last.interval != (None, None) or c.verdict == "open"


def test_dense_curves_are_read_off_between_runs_and_little_beyond_them():
    runs = virtual("joint", CALM)
    found = at_equal_cost(runs, dense_law(runs), COSTS["sparse"])
    truth = PILOT.law
    gain = truth(0.0, found.nonzero_params, found.data_seen) / truth(
        found.sparsity, found.nonzero_params, found.own_data_seen
    )
    np.testing.assert_allclose(found.gain, np.log(gain), atol=1e-3)
    longest = max(r.data_seen for r in runs)
    past = beyond(found, runs)
    np.testing.assert_array_equal(past, found.data_seen > longest)
    assert past.any()
    assert found.data_seen.max() <= SHORT * longest


def test_a_dense_run_that_is_off_moves_the_pairs_about_it_alone():
    runs = virtual("joint", CALM)
    law = dense_law(runs)

    def worse(run):
        hit = run.sparsity == 0 and (run.nonzero_params, run.data_seen) == (SIZES[0], 8_192_000)
        return run.model_copy(update={"loss": run.loss * 1.1}) if hit else run

    before, after = (
        at_equal_cost(t, law, COSTS["sparse"]) for t in (runs, RunTable(map(worse, runs)))
    )
    moved = ~np.isclose(before.gain, after.gain, atol=1e-9)
    data = after.data_seen[moved]
    assert moved.any()
    assert ((data > 4_096_000) & (data < 16_384_000)).all()
    assert (after.nonzero_params[moved] == SIZES[0]).all()
    assert (after.gain - before.gain).max() < np.log(1.1)  # none of them lies at that very data


@pytest.mark.slow
def test_bars_are_as_long_as_gains_of_new_seeds_scatter():
    loud = Scatter(0.004, 0.0)
    tables = [virtual("joint", loud, seed) for seed in range(30)]
    law = dense_law(tables[0])
    gains = np.array([at_equal_cost(t, law, COSTS["dense"]).gain for t in tables])
    half = np.mean([noise(at_equal_cost(t, law, COSTS["dense"]), t) for t in tables], axis=0)
    inside = np.abs(gains - gains.mean(axis=0)) < half
    assert 0.85 < inside.mean() < 0.97
    assert half[gains.shape[1] - 1] != half[0] or len(set(half.round(9))) > 1  # two seeds: longer


def test_without_repeats_there_are_no_bars():
    runs = RunTable(r for r in virtual("joint", OURS) if r.seed == 0)
    assert np.isnan(noise(at_equal_cost(runs, dense_law(runs), COSTS["dense"]), runs)).all()


@pytest.mark.parametrize("embeddings", ["dense", "pruned"])
def test_output_layers_count_with_their_own_sparsity(embeddings):
    runs = virtual("joint", CALM)
    law = dense_law(runs)
    with pytest.raises(InputError, match="output layers"):
        crossovers(runs, COSTS["dense"], head=True)

    def headed(run):  # widths grow with the root of the size under the mask
        S = 1 - np.sqrt(1 - run.sparsity) if embeddings == "pruned" else 0.0
        mean = 256 * (run.dense_params / 24) ** 0.5 * COSTS["sparse"].multiplier(S) * (1 - S)
        flops = 6 * mean * run.data_seen
        return run.model_copy(update={"flops_head": float(flops), "embeddings": embeddings})

    heads = RunTable(map(headed, runs))
    for cost in COSTS.values():
        body, whole = (at_equal_cost(heads, law, cost, head=h) for h in (False, True))
        for S in (0.5, 0.75):
            ratio = [
                p.data_seen[i] / p.own_data_seen[i]
                for p in (body, whole)
                for i in [
                    np.flatnonzero(np.isclose(p.sparsity, S) & (p.nonzero_params == SIZES[0]))[0]
                ]
            ]
            head = 256 * (SIZES[0] / 24) ** 0.5
            own = 256 * (SIZES[0] / (1 - S) / 24) ** 0.5
            if embeddings == "pruned":  # sizes count while zeros cost nothing, dense ones if not
                own *= 1.0 if cost.name == "dense" else 0.375 + 0.625 * np.sqrt(1 - S)
            expected = (SIZES[0] * cost.multiplier(S) + own) / (SIZES[0] + head)
            assert ratio[0] == pytest.approx(float(cost.multiplier(S)))
            assert ratio[1] == pytest.approx(float(expected))
