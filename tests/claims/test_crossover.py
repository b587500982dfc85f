"""The crossover of sparse and dense models at equal cost, on runs whose law is known."""

import numpy as np
import pytest

from simlib.claims.crossover import at_equal_cost, crossovers, dense_law
from simlib.claims.designs import OURS, Scatter, drawn, language_rows
from simlib.claims.truths import PILOT, TRUTHS
from simlib.errors import InputError
from simlib.law import PUBLISHED
from simlib.optimum import COSTS, break_even_multiple, chinchilla_flops
from simlib.runs import RunTable

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
            assert c.multiple == pytest.approx(true, rel=0.03)  # dense losses are moved by a law


def test_intervals_hold_the_truth_nine_times_in_ten():
    inside = []
    for seed in range(12):
        for c in crossovers(virtual("joint", OURS, seed), COSTS["dense"]):
            if c.interval[0] is not None and c.side == 0:
                low, high = c.interval
                true = float(break_even_multiple(PILOT.law, c.sparsity, "dense"))
                inside.append(low < true < high)
    assert len(inside) > 25
    assert np.mean(inside) > 0.8


def test_sparsity_that_is_worth_nothing_never_crosses():
    for cost in COSTS.values():
        found = crossovers(virtual("no worth", OURS), cost)
        assert all(c.side > 0 for c in found)
        assert all(c.last.mean < 0 for c in found)


def test_a_crossover_before_all_runs_is_not_put_among_them():
    found = crossovers(virtual("early", OURS), COSTS["dense"])
    assert all(c.side < 0 and c.first.mean > 0 for c in found)


def test_a_larger_head_under_the_mask_moves_the_crossover_back():
    runs = virtual("joint", CALM)
    with pytest.raises(InputError, match="output layers"):
        crossovers(runs, COSTS["dense"], head=True)
    heads = RunTable(  # widths grow with the root of the size under the mask
        r.model_copy(update={"head_nonzero_params": round(256 * (r.dense_params / 12) ** 0.5)})
        for r in runs
    )
    law = dense_law(heads)
    body, whole = (at_equal_cost(heads, law, COSTS["dense"], head=h) for h in (False, True))
    data = {
        S: np.divide(*(p.data_seen[np.isclose(p.sparsity, S)].min() for p in (whole, body)))
        for S in (0.5, 0.75)
    }
    assert data[0.75] < data[0.5] < 1  # heads grow less than bodies: less data is given up
