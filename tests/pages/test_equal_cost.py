"""Sentences, tables and charts of the page on equal cost follow the runs."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.claims.crossover import at_equal_cost, crossovers, dense_fit, dense_law
from simlib.claims.designs import OURS, SIZES, drawn, language_rows
from simlib.claims.truths import PILOT, TRUTHS
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.optimum import COSTS
from simlib.pages import equal_cost
from simlib.runs.table import RunTable

DENSE = COSTS["dense"]


@pytest.fixture(scope="module")
def tables():
    return {
        name: drawn(language_rows(), TRUTHS[name], PILOT, OURS, np.random.default_rng(0))
        for name in ("joint", "no worth", "early")
    }


@pytest.fixture(scope="module")
def law_file():
    members = type(PILOT.law).from_vector(np.tile(PILOT.law.vector(), (5, 1)))
    return FittedLaw("truth", PILOT.law, members, {"status": "converged"})


def answer(tables, name: str, cost: str = "dense") -> str:
    return equal_cost.answer(crossovers(tables[name], COSTS[cost]), cost)


def test_the_answer_says_who_wins(tables):
    said = answer(tables, "joint")
    assert said.startswith("If zeros cost as much as weights while training, sparsity overtakes")
    assert "50% from 8" in said
    assert "and 87.5% from 73" in said
    assert "of 25% and 93.8% sparsity these runs cannot tell" in said  # of two sizes
    assert "The largest gain is" in said
    assert "sparsity wins from the shortest runs on" in answer(tables, "early", "sparse")


@pytest.mark.parametrize("cost", COSTS)
def test_where_sparsity_is_worth_nothing_it_never_wins(tables, cost):
    said = answer(tables, "no worth", cost)
    assert "sparse is never seen to win; dense is still ahead of 50%, 75% and 87.5%" in said
    assert "overtakes" not in said
    assert "gained" not in said


def test_a_dense_fit_at_a_bound_answers_nothing(tables):
    fitted = dense_fit(tables["joint"])
    assert equal_cost.no_answer(fitted, "dense") == ""
    bound = replace(fitted, status="at bound")
    assert "cannot tell how much training" in equal_cost.no_answer(bound, "dense")
    pairs = at_equal_cost(tables["joint"], fitted.law, DENSE)
    for fit, warned in ((fitted, False), (bound, True)):
        said = equal_cost.reach_sentence(pairs, fit, tables["joint"])
        assert ("decides anything" in said) == warned


def test_the_page_says_how_far_runs_reach(tables):
    runs = tables["joint"]
    short = RunTable(r for r in runs if r.data_seen <= 8_192_000)
    for table in (runs, short):
        fitted = dense_fit(table)
        pairs = at_equal_cost(table, fitted.law, DENSE)
        said = equal_cost.reach_sentence(pairs, fitted, table)
        assert said.startswith(f"The {len(pairs)} pairs reach from ")
        assert "longer training is not seen here" in said
    assert "For 4 of 57 pairs the dense curve is drawn past" in equal_cost.reach_sentence(
        at_equal_cost(runs, dense_law(runs), DENSE), dense_fit(runs), runs
    )


def test_pairs_are_counted_on_both_sides(tables):
    for name, wins in (("early", True), ("no worth", False)):
        runs = tables[name]
        dense = dense_law(runs)
        pairs = at_equal_cost(runs, dense, DENSE)
        said = equal_cost.seen_sentence(pairs, dense, runs)
        assert (f"in all {len(pairs)} pairs, the dense one in none" in said) == wins
        assert (f"in none of {len(pairs)} pairs, the dense one in {len(pairs)}" in said) != wins
    alone = RunTable(r for r in runs if r.seed == 0)
    said = equal_cost.seen_sentence(at_equal_cost(alone, dense, DENSE), dense, alone)
    assert "nothing known of the noise of seeds" in said


def test_the_law_is_held_against_the_runs(tables, law_file):
    runs = tables["joint"]
    dense, found = dense_law(runs), crossovers(runs, DENSE)
    said = equal_cost.law_sentence(found, dense, law_file, DENSE)
    assert (
        said == "The joint law of the same runs agrees at all 3 sparsities of which the "
        "runs can tell."
    )
    late = replace(law_file, law=TRUTHS["hardly any worth"].of(PILOT))
    said = equal_cost.law_sentence(found, dense, late, DENSE)
    assert said.endswith("none of 3 sparsities of which the runs can tell.")
    assert "No law" in equal_cost.law_sentence(found, dense, None, DENSE)
    assert "no law can be held" in equal_cost.law_sentence([], dense, law_file, DENSE)


def test_a_table_without_a_law_that_decides_says_so(tables, law_file):
    runs = tables["joint"]
    dense, found = dense_law(runs), crossovers(runs, DENSE)
    for law, decides in ((None, False), (law_file, True)):
        shown = equal_cost.crossover_table(found, dense, law, {"ViT": PILOT.law}, DENSE)
        gains = equal_cost.gain_table(found, dense, law, DENSE)
        assert len(shown.rows) == len(gains.rows) == len(found)
        for table, column in ((shown, "our law"), (gains, "our law")):
            assert {len(row) for row in table.rows} == {len(table.header)}
            cells = {row[table.header.index(column)] for row in table.rows}
            assert ("decides nothing" in cells) != decides


def test_the_chart_holds_every_pair_and_the_law_only_if_there_is_one(tables, law_file):
    runs = tables["joint"]
    dense = dense_law(runs)
    pairs = at_equal_cost(runs, dense, DENSE)
    for law, layers in ((None, 3), (law_file, 4)):
        chart = equal_cost.gain_chart(pairs, dense, law, runs, DENSE).to_dict()
        assert len(chart["spec"]["layer"]) == layers
        rows = chart["data"]["values"]
        assert len(rows) == len(pairs)
        assert all(row["low"] < row["gain"] < row["high"] for row in rows)
        assert len({row["size"] for row in rows}) == len(SIZES) == len(chart["facet"]["sort"])
    errors = np.array([row["law"] - row["gain"] for row in rows])
    assert np.abs(errors).max() < 0.03  # the law is the truth


def test_what_the_cost_of_output_layers_changes_is_a_sentence(tables):
    body = crossovers(tables["joint"], DENSE)
    told = equal_cost.head_sentence(body, InputError("no heads"), "dense")
    assert told.endswith("that cannot be told: no heads.")
    moved = [c._replace(multiple=c.multiple / 2) for c in body]
    told = equal_cost.head_sentence(body, moved, "dense")
    assert "that moves the crossovers at 25% from" in told
    nowhere = [c._replace(multiple=None) for c in body]
    assert "moves no crossover" in equal_cost.head_sentence(body, nowhere, "dense")


def test_counts_that_a_table_lacks_are_named_in_their_row(tables):
    wider = RunTable(  # what is not in the body is in proportion to what is under the mask
        r.model_copy(update={"total_nonzero_params": r.nonzero_params + r.dense_params})
        for r in tables["joint"]
    )
    shown = equal_cost.count_table({"old": wider})
    assert [row[:3] for row in shown.rows] == [
        ("old", "dense", count) for count in ("body", "body and output layer", "all parameters")
    ]
    assert "does not have this count" in shown.rows[1][-1]
    assert shown.rows[0][3:5] == ("6,144", "6,144")  # bodies of one size
    assert shown.rows[2][3:5] == ("12,288", "30,720")
