"""The first page's advice: its words where the law answers, and where it goes beyond all runs."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from simlib.analysis.numbers import count
from simlib.cli import cli
from simlib.datasets import load_law
from simlib.laws.optimum import COSTS, chinchilla_flops
from simlib.pages import answer
from simlib.pages.tables import LinkedTable

VIT, T5 = load_law("vit-jft-refit"), load_law("t5-c4-refit")
RLR, HASH = load_law("clark-rlr"), load_law("clark-hash")


def test_every_cost_and_budget_has_its_row():
    table = answer.DecisionTable({"vision": VIT, "language": T5})
    assert list(table.sections) == list(answer.COST_NAMES)
    for rows in table.sections.values():
        assert [row[0] for row in rows] == [f"{m} ×" for m in answer.MULTIPLES]
        assert {len(row) for row in rows} == {1 + 2 * len(answer.COLUMNS)}
    page = table._repr_mimebundle_()["text/html"]
    assert page.count("<td>") == len(answer.COST_NAMES) * len(answer.MULTIPLES) * 6


def test_experts_stand_in_the_same_table_under_their_own_names():
    table = answer.DecisionTable({"vision": VIT, "language": T5}, {"R": RLR})
    assert [row[0] for row in table.idle] == [f"{m} ×" for m in answer.MULTIPLES]
    page = table._repr_mimebundle_()["text/html"]
    assert page.count("<tbody>") == len(answer.COST_NAMES) + 1
    assert page.index(answer.EXPERTS) < page.index(">R</th>")
    assert all("\t".join(row) in table._repr_mimebundle_()["text/plain"] for row in table.idle)
    assert answer.EXPERTS not in answer.DecisionTable({"v": VIT})._repr_mimebundle_()["text/html"]


def test_a_mixture_sparser_or_longer_than_the_runs_is_marked():
    span = RLR.fitted_range
    N, D = span.nonzero_params[0], span.data_seen[1]
    longest = 6 * N * D / float(chinchilla_flops(RLR.joint, N / 0.1))
    assert answer.far_from_mixtures(RLR, 0.9, 0.99 * longest) == ""
    assert answer.far_from_mixtures(RLR, 0.9, 1.01 * longest) == answer.BEYOND
    assert answer.far_from_mixtures(RLR, 0.999, 1) == answer.BEYOND


def test_shares_of_experts_take_the_data_exponent_that_is_given():
    own = answer.expert_shares([RLR], 1)
    assert answer.expert_advice(RLR, 1)[0].startswith(own)
    assert answer.expert_shares([RLR], 1, RLR.joint.b_D) == own
    assert answer.expert_shares([RLR], 1, 0.3) < own
    assert " to " in answer.expert_shares([RLR, HASH], 1)


def test_names_are_text():
    page = answer.DecisionTable({"<b>": VIT})._repr_mimebundle_()["text/html"]
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_where_dense_is_best_nothing_else_is_said():
    assert answer.advice(VIT, 1, COSTS["dense"]) == ("0%", "", "")


def test_advice_says_when_no_dense_model_is_as_good_and_that_no_run_lies_there():
    sparsity, saved, size = answer.advice(VIT, 1, COSTS["sparse"])
    assert sparsity == "35% (32–38) †"
    assert saved == "3% (2–3)"
    assert size == "none"


def test_an_interval_without_an_upper_end_says_from_where():
    assert answer.advice(VIT, 4, COSTS["sparse"])[2] == "none (from 2.1)"
    assert answer.advice(T5, 4, COSTS["dense"])[2] == "1.4 N (from 1.2)"


@pytest.mark.parametrize(
    ("S", "multiple", "marks"),
    [
        (0.75, 10, ""),
        (0.3, 10, answer.BETWEEN),
        (0.96, 10, answer.BEYOND),
        (0.0, 14, ""),
        (0.0, 15, answer.BEYOND),
        (0.3, 30, answer.BETWEEN + answer.BEYOND),
    ],
)
def test_an_answer_beyond_the_runs_is_marked(S, multiple, marks):
    assert answer.far_from_runs(VIT, S, multiple, COSTS["dense"]) == marks


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
    shown = answer.presets_table(T5, [answer.Preset(N, 2e12)])._repr_mimebundle_()["text/html"]
    link = answer.planner_address("t5-c4-refit", N, flops).replace("&", "&amp;")
    assert f'<a href="{link}">7B on 2T tokens</a>' in shown
    assert float(row[2].split()[0]) == pytest.approx(flops / chinchilla_flops(T5.joint, N), 0.05)


@pytest.mark.parametrize("preset", answer.PRESETS)
def test_a_preset_gives_the_answer_of_the_planner_and_the_command_line(preset):
    """At a fixed budget in FLOP: in multiples of each refit's own optimum it is more certain."""
    N, flops = preset.nonzero_params, 6 * preset.nonzero_params * preset.data_seen
    (row,) = answer.presets_table(T5, [preset]).rows
    for cost, cell in zip(("dense", "sparse"), row[3:], strict=True):
        asked = ("--nonzero-params", str(N), "--flops", str(flops), "--cost", cost, "--json")
        done = CliRunner().invoke(cli, ["optimum", "--law", T5.name, *asked])
        said = json.loads(done.output)
        low, high = (round(100 * end) for end in said["interval"])
        assert cell.startswith(f"{100 * said['sparsity']:.0f}% ({low}–{high})")
        assert cell.endswith("†") == (said["sparsity"] < answer.FEW_SPARSE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (350, "350"),
        (999.6, "1K"),
        (14_200, "14.2K"),
        (0.66e6, "660K"),
        (1.5e13, "15T"),
        (1.22e15, "1,220T"),
        (1.22e16, "1.22e16"),
    ],
)
def test_counts_read_like_the_axes_of_charts(value, text):
    assert count(value) == text


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "https://else.where/", "//else.where/book/"]
)
def test_no_cell_links_out_of_the_book(address):
    shown = LinkedTable(("name",), [(f"[here]({address})",)])._repr_mimebundle_()["text/html"]
    assert "<a " not in shown
