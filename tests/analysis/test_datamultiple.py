"""The multiple that was put into a table comes out, with an interval, or as a bound."""

import math
from dataclasses import replace

import numpy as np
import pytest

from simlib.analysis.datamultiple import Multiple, data_multiples
from simlib.errors import InputError
from simlib.laws.law import JointLaw
from simlib.laws.optimum import cost_model
from simlib.pages.pretrained import break_even_text, cheaper, falling, multiple_text
from simlib.runs.cells import seed_spread
from simlib.runs.table import RunRecord, RunTable

LAW = JointLaw(a_S=1.0, b_S=0.6, c_S=3.5, b_N=0.2, a_D=4e6, b_D=0.2, c=0.15)
N, S, PRUNED, TRAINED = 6144, 0.5, 256_000, 2_048_000
DATA = (128_000, 256_000, 512_000, 1_024_000, 2_048_000, 4_096_000)


def run(loss: float, **fields: object) -> RunRecord:
    shape = {"family": "gpt", "dense_params": 2 * N, "width": 24, "depth": 2, "lr": 0.005}
    return RunRecord(
        **{
            **shape,
            "batch": 8,
            "seq_len": 64,
            "nonzero_params": N,
            "sparsity": S,
            "pruner": "gmp",
            "prune_start": 0.25,
            "prune_end": 0.75,
            "schedule": "cubic",
            "seed": 0,
            "loss": loss,
        }
        | fields
    )


def table(
    worth: float, noise: float = 0.0, seeds: int = 2, data: tuple[int, ...] = DATA
) -> RunTable:
    """Runs from scratch on the law, and pruned ones as good as `worth` times their data."""
    rng = np.random.default_rng(0)

    def loss(D: float) -> float:
        return float(LAW(S, N, D) * np.exp(noise * rng.standard_normal()))

    dense = {"sparsity": 0.0, "pruner": "none", "nonzero_params": 2 * N, "schedule": ""}
    dense |= {"prune_start": None, "prune_end": None, "data_seen": TRAINED}
    pruned = {"pruner": "from_checkpoint", "data_seen": PRUNED}
    rows = []
    for i in range(seeds):
        rows += [run(loss(D), run_id=f"s{D}-{i}", data_seen=D, seed=i) for D in data]
        rows.append(run(1.9, run_id=f"d{i}", seed=i, **dense))
        rows.append(run(loss(worth * PRUNED), run_id=f"p{i}", seed=i, start=f"d{i}", **pruned))
    return RunTable(rows)


def only(runs: RunTable) -> Multiple:
    (found,) = data_multiples(runs)
    return found


@pytest.mark.parametrize("worth", [1.0, 2.0, 4.0, 8.0])
def test_a_known_multiple_comes_out(worth: float) -> None:
    found = only(table(worth))
    assert found.value == pytest.approx(worth)
    assert found.ends == pytest.approx((worth, worth))
    assert found.gain == pytest.approx(float(np.log(LAW(S, N, PRUNED) / LAW(S, N, worth * PRUNED))))
    assert (found.start_data, found.dense_params, found.seeds) == (TRAINED, 2 * N, 2)


def test_noise_widens_the_interval_about_the_truth() -> None:
    noisy, noisier = only(table(4.0, 0.005)), only(table(4.0, 0.015))
    widths = []
    for found in (noisy, noisier):
        low, high = found.ends
        assert low is not None
        assert high is not None
        assert low < 4 < high
        widths.append(math.log(high / low))
    assert widths[0] < widths[1]
    assert seed_spread(table(4.0, 0.01, seeds=40)).deviation == pytest.approx(0.01, rel=0.15)


def test_beyond_the_measured_data_there_is_a_bound_only() -> None:
    found = only(table(20.0))
    assert found.value is None
    assert found.above
    assert found.bound == DATA[-1] / PRUNED
    assert multiple_text(found) == "more than 16 (16 or more)"
    worse = only(table(0.25))
    assert worse.value is None
    assert not worse.above
    assert worse.ends[0] is None
    assert "less than 0.50" in multiple_text(worse)


@pytest.mark.parametrize("cost", ["dense", "sparse"])
def test_at_break_even_both_ways_cost_the_same(cost: str) -> None:
    found = only(table(4.0))
    models = found.break_even(found.matched, cost)
    assert models is not None
    flops = cost_model(cost).flops
    pruned = 6 * 2 * N * TRAINED / models + float(flops(S, N, PRUNED))
    assert pruned == pytest.approx(float(flops(S, N, 4 * PRUNED)))


def test_who_is_cheaper_follows_the_number_of_models() -> None:
    # dense cost is proportional to data: trained on 8 times the data that it was pruned over
    assert cheaper(only(table(4.0)), "dense") == -1
    assert cheaper(only(table(12.0)), "dense") == 1
    assert break_even_text(only(table(0.25)), "dense") == "never seen"
    assert only(table(1.0)).break_even(PRUNED, "dense") == math.inf


def test_falling_multiples_are_counted_by_group() -> None:
    one = only(table(4.0))
    less = replace(one, sparsity=0.75, matched=2.0 * PRUNED)
    other = replace(one, nonzero_params=2 * N)
    more = replace(other, sparsity=0.75, matched=None)  # beyond the measured data, above
    assert falling([less, one], "sparsity") == "the only combination"
    assert (
        falling([less, one, other, replace(more, above=True)], "sparsity") == "1 of 2 combinations"
    )
    assert falling([one, less], "data_seen") == "no combination"


def test_what_is_missing_is_named() -> None:
    whole = table(4.0)
    with pytest.raises(InputError, match="from_checkpoint"):
        data_multiples(RunTable(r for r in whole if r.pruner != "from_checkpoint"))
    with pytest.raises(InputError, match="add the dense run"):
        data_multiples(RunTable(r for r in whole if r.sparsity))
    with pytest.raises(InputError, match="no curve"):
        data_multiples(table(4.0, data=DATA[:2]))
    with pytest.raises(InputError, match="add seeds"):
        data_multiples(table(4.0, seeds=1))
