"""The best split of a number of bytes, against trying every split."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from factories import random_law

from simlib.analysis.byteworth import best_split, byte_worth
from simlib.cli.plan import command
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw, Range
from simlib.laws.precision import WithBits
from simlib.simulate.footprint import STORAGE, Storage, index_entropy
from simlib.simulate.limits import Limits
from simlib.simulate.split import plan_bytes

BITS = (8, 4, 3)
RNG = np.random.default_rng(2)


def law_file(dense=False, members=40):
    """A law of bits in which 75 % zeros help, with an ensemble around it."""
    law = replace(random_law(RNG), a_S=400.0, b_S=1.2, c_S=150.0, b_N=0.3)
    own = WithBits(law.dense if dense else law, (0.99, 0.8, 0.5), BITS)
    scatter = np.exp(0.03 * RNG.standard_normal((members, len(own.vector()))))
    return FittedLaw(
        "bits",
        own,
        ensemble=own.from_vector(own.vector() * scatter),
        status="converged",
        converged_members=members,
        runs=100,
        log_rmse=0.01,
        range=Range((0.0, 0.0 if dense else 0.875), (1e6, 1e8), (1e8, 1e10)),
    )


FILE = law_file()


def bytes_of(S, bits, mask):
    """Bytes of a non-zero weight, from first principles: its bits, and its share of the mask."""
    place = 0.0 if S == 0 else 1.0
    if mask == "entropy" and S > 0:
        place = -S * np.log2(S) - (1 - S) * np.log2(1 - S)
    marked = bits / 8 + place / 8 / (1 - S)
    return min(marked, bits / 8 / (1 - S)) if bits == 16 else marked


@pytest.mark.parametrize("mask", ["bitmask", "entropy"])
@pytest.mark.parametrize("budget", [{"data_seen": 2e9}, {"flops": 1e18}])
def test_no_split_on_a_fine_grid_is_better(mask, budget):
    limits = Limits(sparsity=0.875, kept=STORAGE[mask])
    plan = plan_bytes(FILE, 2e7, limits=limits, **budget)
    least = {}
    for bits in (16, *BITS):
        for S in np.linspace(0, 0.875, 176):
            N = np.geomspace(1e4, 2e7 / bytes_of(S, bits, mask), 300)
            D = budget.get("data_seen") or budget["flops"] * (1 - S) / (6 * N)
            least[bits, S] = FILE.law(S, N, D, bits).min()
    for split in plan.splits:
        tried = min(loss for (bits, _), loss in least.items() if bits == split.bits)
        assert split.loss <= tried * (1 + 1e-9)
        assert split.loss == pytest.approx(tried, rel=2e-4)
        assert split.weight_bytes <= 2e7 * (1 + 1e-9)
    assert plan.best.bits == min(least, key=least.get)[0]
    assert sum(s.share for s in plan.splits) == pytest.approx(1)


def test_bytes_hold_back_a_run_of_given_data_and_a_small_budget_does_not_fill_them():
    full = plan_bytes(FILE, 2e7, data_seen=2e9)
    for split in full.splits:
        taken = split.nonzero_params * bytes_of(split.sparsity, split.bits, "bitmask")
        assert split.weight_bytes == pytest.approx(taken)
        assert taken == pytest.approx(2e7)
        assert split.data_seen == 2e9
        assert split.interval[0] < split.loss < split.interval[1]
        low, high = split.sparsity_interval
        assert low - 1e-6 <= split.sparsity <= high + 1e-6
    poor = plan_bytes(FILE, 2e9, flops=1e14)
    assert poor.best.weight_bytes < 1e9
    assert any("holds its size back" in said for said in poor.warnings)


def test_the_best_byte_is_the_best_split_whatever_the_bytes():
    for mask in ("bitmask", "entropy"):
        limits = Limits(sparsity=0.875, kept=STORAGE[mask])
        best = best_split(FILE, FILE, 0.875, STORAGE[mask])
        for size in (1e6, 1e9):
            plan = plan_bytes(FILE, size, data_seen=1e9, limits=limits)
            assert plan.best.bits == best.bits
            assert plan.best.sparsity == pytest.approx(best.sparsity, abs=0.003)
            dense = size / 2 * best.worth
            assert plan.best.loss == pytest.approx(FILE.law(0, dense, 1e9), rel=1e-5)


def test_a_byte_of_dense_whole_weights_is_worth_one():
    found = byte_worth(FILE, FILE, [0.0, 0.5], 16, STORAGE["bitmask"])
    assert (found.value[0], found.low[0], found.high[0]) == (1, 1, 1)
    m = FILE.law.law.multiplier(0.5)
    assert found.value[1] == pytest.approx(m * 2 / 2.25)
    nothing = byte_worth(FILE, None, [0.5], 4, STORAGE["bitmask"])
    assert nothing.value[0] == pytest.approx(0.8 * 2 / 0.75)


def test_positions_cost_a_bit_a_place_or_their_entropy():
    assert index_entropy([0.0, 0.5, 0.75]) == pytest.approx([0, 1, 0.8112781245])
    for mask in ("bitmask", "entropy"):
        few, whole = STORAGE[mask].of_bits(4), STORAGE[mask]
        for S in (0.0, 0.05, 0.5, 0.9):
            assert few.bytes_per_nonzero(S) == pytest.approx(bytes_of(S, 4, mask))
            assert whole.bytes_per_nonzero(S) == pytest.approx(bytes_of(S, 16, mask))
    with pytest.raises(InputError, match="'none' has no mask"):
        Storage("none", 2.0, None).of_bits(4)


def test_a_dense_law_chooses_bits_alone():
    plan = plan_bytes(law_file(dense=True), 2e7, data_seen=2e9)
    assert {split.sparsity for split in plan.splits} == {0.0}
    assert any("only bits are chosen" in said for said in plan.warnings)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give a training budget or the data"),
        ({"flops": 1e18, "data_seen": 1e9}, "and not both"),
        ({"weight_bytes": 10.0, "data_seen": 1e9}, "1000 bytes or more"),
        ({"weight_bytes": float("nan"), "data_seen": 1e9}, "1000 bytes or more"),
        ({"data_seen": 3.0}, "no model meets this"),
        ({"data_seen": 1e9, "level": 1.5}, "level"),
    ],
)
def test_what_cannot_be_planned_is_refused(given, told):
    with pytest.raises(InputError, match=told):
        plan_bytes(FILE, **({"weight_bytes": 2e7} | given))


def test_the_command_answers_as_the_function_does():
    ask = ["--law", "quest", "--bytes", "5e8", "--data", "5e10"]
    said = json.loads(CliRunner().invoke(command, [*ask, "--json"]).output)
    assert said["best_bits"] == 4
    assert [s["bits"] for s in said["splits"]] == [16, 8, 4, 3, 2, 1]
    text = CliRunner().invoke(command, ask).output
    assert text.splitlines()[1].startswith("best: 4 bits, 0.0% sparse, 1e+09 non-zero")
    assert "decides nothing" in text


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--bytes", "5e8"], "give a training budget"),
        (["--bytes", "5e8", "--data", "1e9", "--memory", "3"], "--memory says nothing with"),
        (["--bytes", "5e8", "--data", "1e9", "--max-data", "1e9"], "give one of them"),
        (["--bytes", "5e8", "--data", "1e9", "--storage", "dense"], "has no mask"),
        (["--data", "1e9", "--flops", "1e20"], "--data goes with --bytes"),
    ],
)
def test_options_that_do_not_go_together_are_refused(more, told):
    with pytest.raises(InputError, match=told):
        CliRunner().invoke(command, ["--law", "quest", *more], catch_exceptions=False)


def test_a_law_that_knows_no_bits_is_refused():
    ask = ["--law", "t5-c4-refit", "--bytes", "1e9", "--data", "1e10"]
    with pytest.raises(InputError, match="take a law of the form bits"):
        CliRunner().invoke(command, ask, catch_exceptions=False)
