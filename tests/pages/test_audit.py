"""What the audit page says follows from tables, texts and the last verification."""

import numpy as np
import pytest

from simlib.datasets import load_runs
from simlib.pages import audit
from simlib.runs.table import RunTable
from simlib.runs.verification import Repeat, Verification


def repeat(again: float, same: bool = False) -> Repeat:
    return Repeat("t", "0" * 16, "gpt", 2.0, again, same, None, None)


def test_the_sentence_counts_what_agrees_and_what_is_equal():
    found = Verification({"date": "2026-01-02"}, 0.01, (repeat(2.0), repeat(2.01), repeat(2.1)))
    said = audit.repeats_sentence(found)
    assert "2 of 3 runs drawn by chance and trained again on 2026-01-02 agree with" in said
    assert "1 to the last bit" in said
    assert "5.000% of the loss" in said
    assert [row[4] for row in audit.repeats_table(found).rows] == ["+0.000%", "+0.500%", "+5.000%"]


def test_the_sentence_reads_well_for_one_run_and_for_none_that_agrees():
    one = audit.repeats_sentence(Verification({"date": "2026-01-02"}, 0.01, (repeat(2.0),)))
    assert one.startswith(
        "The only run drawn by chance and trained again on 2026-01-02 agrees with"
    )
    far = audit.repeats_sentence(Verification({"date": "2026-01-02"}, 0.01, (repeat(3.0),) * 2))
    assert far.startswith("None of 2 runs drawn")
    assert "none to the last bit" in far


def test_the_entropy_of_pairs_is_that_of_a_known_source():
    rng = np.random.default_rng(0)
    coins = rng.integers(0, 2, 200_000).astype(np.uint8)
    assert audit.pair_entropy(coins) == pytest.approx(np.log(2), abs=1e-3)
    assert audit.pair_entropy(np.tile(np.array([1, 2, 3], np.uint8), 1000)) == pytest.approx(0)


def test_only_the_shortest_runs_are_held_against_pairs():
    runs = load_runs("gpt-laptop").finished
    few = RunTable(
        r.model_copy(update={"loss": loss, "data_seen": data})
        for r, loss, data in zip(
            runs, (2.0, 2.05, 2.2, 2.0), (1000, 1000, 1000, 9000), strict=False
        )
    )
    assert audit.near_pairs(few, 2.0) == "2 of 3 runs"


def test_beginnings_are_counted_once_a_shape():
    runs = load_runs("gpt-laptop").finished
    assert audit.prefixes(RunTable(r for r in runs if r.seed == 0)) == (
        f"the {sum(r.seed == 0 for r in runs)} runs of seed 0 share "
        f"{len({r.dense_params for r in runs if r.seed == 0})} beginnings"
    )
