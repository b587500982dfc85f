"""Sentences and tables of the page on equal cost follow the runs."""

import numpy as np
import pytest

from simlib.claims.crossover import at_equal_cost, crossovers, dense_law
from simlib.claims.designs import OURS, drawn, language_rows
from simlib.claims.truths import PILOT, TRUTHS
from simlib.errors import InputError
from simlib.optimum import COSTS
from simlib.pages import equal_cost


@pytest.fixture(scope="module")
def tables():
    return {
        name: drawn(language_rows(), TRUTHS[name], PILOT, OURS, np.random.default_rng(0))
        for name in ("joint", "no worth", "early")
    }


def answer(tables, name: str, cost: str = "dense") -> str:
    return equal_cost.answer(crossovers(tables[name], COSTS[cost]), cost)


def test_the_answer_says_who_wins(tables):
    assert "sparsity overtakes dense training at 25% from" in answer(tables, "joint")
    assert "93.8% sparsity stays behind up to" in answer(tables, "joint")
    never = answer(tables, "no worth")
    assert never.startswith("If zeros cost as much as weights while training, 25%, 50%, 75%, 87.5%")
    assert "overtakes" not in never
    assert "ahead from the shortest runs on" in answer(tables, "early", "sparse")


def test_a_table_without_a_law_that_decides_says_so(tables):
    found = crossovers(tables["joint"], COSTS["dense"])
    shown = equal_cost.crossover_table(found, None, {"ViT": PILOT.law}, COSTS["dense"])
    assert {row[3] for row in shown.rows} == {"decides nothing"}
    assert len(shown.rows[0]) == len(shown.header)


def test_the_chart_holds_every_pair_and_the_law_only_if_there_is_one(tables):
    runs = tables["joint"]
    dense = dense_law(runs)
    pairs = at_equal_cost(runs, dense, COSTS["dense"])
    chart = equal_cost.gain_chart(pairs, dense, None, COSTS["dense"]).to_dict()
    assert len(chart["layer"]) == 2
    assert len(chart["layer"][1]["data"]["values"]) == len(pairs)


def test_heads_of_unknown_size_are_a_sentence(tables):
    body = crossovers(tables["joint"], COSTS["dense"])
    assert "cannot be told: no heads." in equal_cost.head_sentence(body, InputError("no heads"))
    assert "moves the crossovers: " in equal_cost.head_sentence(body, body)
