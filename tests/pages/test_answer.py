"""The first page's advice: its words where the law answers, and where it goes beyond all runs."""

from urllib.parse import parse_qs, urlsplit

import pytest

from simlib.analysis.numbers import count
from simlib.datasets import load_law
from simlib.laws.optimum import COSTS, chinchilla_flops
from simlib.pages import answer

VIT, T5 = load_law("vit-jft-refit"), load_law("t5-c4-refit")


def cells(law_file, multiple, while_training):
    rows = answer.decision_table({"runs": law_file}).rows
    (cell,) = (r[2] for r in rows if r[:2] == (while_training, f"{multiple} ×"))
    return cell.split("\n")


def test_every_cost_and_budget_has_its_row():
    rows = answer.decision_table({"vision": VIT, "language": T5}).rows
    assert len(rows) == len(answer.COST_NAMES) * len(answer.MULTIPLES)
    assert all(cell for row in rows for cell in row)


def test_dense_is_advised_in_one_line():
    assert cells(VIT, 1, "zeros cost as much as weights") == ["0% sparse (0% to 0%)"]


def test_advice_says_when_no_dense_model_is_as_good_and_that_no_run_lies_there():
    sparse, saved, size, far = cells(VIT, 1, "zeros are skipped")
    assert sparse.startswith("35% sparse (")
    assert saved.startswith("saves 2.5% (")
    assert size == "better than any dense model"
    assert far == "no run between 0 and 50%"


@pytest.mark.parametrize(
    ("S", "multiple", "said"),
    [
        (0.75, 10, ""),
        (0.3, 10, "no run between 0 and 50%"),
        (0.96, 10, "sparser than any run"),
        (0.0, 28.5, "2.0 × the longest run"),
    ],
)
def test_how_far_an_answer_lies_beyond_the_runs(S, multiple, said):
    assert answer.far_from_runs(VIT, S, multiple, COSTS["dense"]) == said


def test_the_longest_run_costs_more_where_zeros_do():
    dense = answer.longest_run(VIT, 0.0, COSTS["dense"])
    assert answer.longest_run(VIT, 0.75, COSTS["dense"]) == pytest.approx(4 * dense)
    assert answer.longest_run(VIT, 0.75, COSTS["sparse"]) < 4 * dense


def test_a_preset_opens_the_planner_at_its_size_and_budget():
    N, flops = 7e9, 6 * 7e9 * 2e12
    address = urlsplit(answer.planner_address("t5-c4-refit", N, flops))
    asked = {name: value for name, (value,) in parse_qs(address.fragment).items()}
    assert address.path == "book/planner.html"
    assert (asked["law"], asked["cost"]) == ("t5-c4-refit", "dense")
    assert 10 ** float(asked["N"]) == pytest.approx(N, rel=0.02)
    assert 10 ** float(asked["C"]) == pytest.approx(flops, rel=0.02)
    (row,) = answer.presets_table(T5, [answer.Preset(N, 2e12)]).rows
    assert row[0] == f"[7B on 2T tokens]({answer.planner_address('t5-c4-refit', N, flops)})"
    assert float(row[1].split()[0]) == pytest.approx(flops / chinchilla_flops(T5.joint, N), 0.05)


@pytest.mark.parametrize(
    ("value", "text"),
    [(350, "350"), (999.6, "1K"), (14_200, "14.2K"), (0.66e6, "660K"), (1.5e13, "15T")],
)
def test_counts_read_like_the_axes_of_charts(value, text):
    assert count(value) == text
