"""The page on zeros and bits: what its sentences say where the runs say otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from simlib.analysis.bitforecast import CATALOG, SPARSE, RunForecast
from simlib.analysis.byteworth import BestSplit
from simlib.analysis.fewbits import Crossing, Excess, judge
from simlib.analysis.splitcheck import SplitCheck
from simlib.datasets import load_law
from simlib.pages import zeros_or_bits as page

ROUTES = {(r.group, r.route): r for r in CATALOG.load("quest-judged").routes}
DENSE = BestSplit(4, 0.0, 3.0, (0.0, 0.0), (2.8, 3.2), {16: 0.0, 4: 0.7, 3: 0.3})
SPARSER = BestSplit(4, 0.5, 3.6, (0.4, 0.6), (3.2, 4.0), {16: 0.0, 4: 0.9, 3: 0.1})


def with_routes(**verdicts):
    """The routes of 4:8 with other intervals: above zero, or around it with or without power."""
    ends = {"contradicted": (0.01, 0.03), "holds": (-0.01, 0.01), "undecided": (-0.01, 0.01)}
    found = dict(ROUTES)
    for key, route in ROUTES.items():
        if key[0] == SPARSE:
            said = verdicts["nothing" if not key[1] else "laws"]
            low, high = ends[said]
            found[key] = replace(route, low=low, high=high, power=0.9 * (said == "holds"))
    return found


def test_the_answer_hangs_on_what_contradicts_what():
    said = page.sparse_answer(with_routes(nothing="holds", laws="contradicted"))
    assert "gained nothing" in said
    assert "more than nothing" in page.sparse_answer(
        with_routes(nothing="contradicted", laws="holds")
    )
    for nothing, laws in (("undecided", "contradicted"), ("holds", "undecided")):
        assert "open" in page.sparse_answer(with_routes(nothing=nothing, laws=laws))
    assert "4 bits, activations alike" in page.answer(DENSE, replace(DENSE, bits=3), ROUTES, 8e8)


def test_our_answer_says_whether_zeros_pay_for_their_mask():
    full = replace(SPARSER, bits=16, worth=1.5, worth_interval=(1.4, 1.6))
    assert "do not pay for their mask" in page.own_answer(DENSE, DENSE, full)
    said = page.own_answer(SPARSER, DENSE, full)
    assert "50% (40% to 60%) zeros beside 4 bits to 3.6 (3.2 to 4.0)" in said
    assert "best in 90% of refits" in said
    assert "20% more per byte" in page.zeros_would(SPARSER, DENSE, "T5")
    assert "not pay" in page.zeros_would(DENSE, DENSE, "T5")
    assert "6.0 bits instead of 4" in page.needed(4, 0.5)
    assert "worth 1.50 dense ones" in page.needed(4, 0.5)


@pytest.mark.parametrize(
    ("low", "high", "power", "told"),
    [
        (0.01, 0.03, 0.9, "They do not: few bits cost sparse models more"),
        (-0.03, -0.01, 0.9, "They do not: few bits cost sparse models less"),
        (-0.01, 0.01, 0.9, "They do: the cost to sparse models differs by"),
        (-0.01, 0.01, 0.5, "That stays open"),
    ],
)
def test_the_verdict_on_zeros_and_bits_together(low, high, power, told):
    assert page.verdict(Excess((low + high) / 2, low, high, power)).startswith(told)


def check(losses, error=(-0.01, 0.01), allowed=0.02):
    forecasts = tuple(
        RunForecast("splits", "", S, 1e4, 4e6, bits, loss, loss - 0.01, loss + 0.01)
        for S, bits, loss in ((0.0, 16, 2.0), (0.0, 4, 1.8), (0.5, 4, 1.9))
    )
    losses = np.array(losses)
    regret = float(losses[1] - losses.min())
    return SplitCheck(forecasts, losses, 2, np.mean(error), *error, regret, allowed)


def test_the_choice_among_splits_is_told_as_it_turned_out():
    assert "was the best" in page.choice(check([2.0, 1.8, 1.9]))
    said = page.choice(check([2.0, 1.9, 1.85]))
    assert "4 bits, 50% zeros turned out better by 0.050 nats, more than the 0.020" in said
    assert "no more than the 0.060" in page.choice(check([2.0, 1.9, 1.85], allowed=0.06))
    assert "contradicts the law" in page.choice(check([2.0, 1.8, 1.9], error=(0.01, 0.02)))
    chart = page.split_losses(check([2.0, 1.9, 1.85])).to_dict()
    assert "4 bits, 50% zeros" in chart["description"]


def test_charts_and_tables_hold_all_cells():
    own = load_law("bits-laptop")
    names = {"ours": own, "QuEST": load_law("quest")}
    chart = page.dense_bytes(names).to_dict()
    assert "ours: 3 bits" in chart["description"]
    rows = page.formats(names).rows
    assert [row[0] for row in rows] == ["ours", "QuEST"]
    assert rows[0][-4] == "–"  # ours has no weights of 1 bit
    bits = (16, 4, 3)
    cost = np.array([[0, 0.1, 0.2], [0, 0.1, 0.2]])
    found = Crossing(
        (0.0, 0.5),
        bits,
        2 + cost,
        np.full((2, 3), 3),
        0.01,
        12,
        np.array([1, 0.9]),
        np.full((5, 2), [1, 0.9]),
    )
    points = page.costs(found).to_dict()["layer"]
    assert len(points) == 3
    table = page.cost_table(found, {b: judge(found, (b,)) for b in bits[1:]})
    assert table.rows[-1][2].startswith("+0.010")
    assert len(page.splits(own, own, 0.875, "entropy").to_dict()["description"].split()) > 10
    sources = [("dense", own, None, 0.0), ("both", own, own, 0.875)]
    assert len(page.split_table(sources, 0.9).rows) == 3
    assert len(page.route_table(list(ROUTES.values())).rows) == len(ROUTES)
    assert "contradicted" in page.errors(list(ROUTES.values())).to_dict()["description"]
