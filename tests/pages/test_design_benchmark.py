"""What the page on designs says of results, also of ones that came out otherwise."""

from dataclasses import replace

import pytest

from simlib.analysis.regret import CASES, CHEAPEST, D_OPTIMAL, V_OPTIMAL, load_regret
from simlib.pages import design_benchmark as page

FOUND = [load_regret(case.candidates) for case in CASES]


def with_errors(found, **errors):
    """The result with another error of designs at every budget."""
    names = {"v": V_OPTIMAL, "d": D_OPTIMAL, "cheapest": CHEAPEST}
    wanted = {names[key]: value for key, value in errors.items()}
    budgets = tuple(
        replace(
            at,
            designs=tuple(replace(o, error=wanted.get(o.design, o.error)) for o in at.designs),
        )
        for at in found.budgets
    )
    return replace(found, budgets=budgets)


def test_a_design_that_beats_chance_everywhere_is_said_to():
    best = [with_errors(f, v=1e-6) for f in FOUND]
    assert page.wins(best, V_OPTIMAL) == sum(len(f.budgets) for f in FOUND)
    assert page.best_of(best).startswith("V-optimal beats chance most often, at 9")
    none = [with_errors(f, v=None, d=None, cheapest=None) for f in FOUND]
    assert page.best_of(none) == "no design beats chance anywhere"


def test_the_answer_is_in_errors_of_a_typical_random_choice():
    found = FOUND[0]
    same = with_errors(found, v=0.0)
    assert page.answer([same]) == "0 times on upcycled mixtures"
    at = found.budgets[0]
    twice = with_errors(replace(found, budgets=(at,)), v=2 * at.quantile(0.5))
    assert page.answer([twice]) == "2.0 times on upcycled mixtures"


def test_trust_is_lost_where_the_design_errs_more_than_chance():
    assert "bends" in page.trust(with_errors(FOUND[1], v=1.0))
    assert "holds well enough" in page.trust(with_errors(FOUND[1], v=1e-6))
    poor = replace(FOUND[1], whole=replace(FOUND[1].whole, error=1.0))
    assert "no remedy" in page.trust(with_errors(poor, v=1e-6))


@pytest.mark.parametrize("make", [page.error_table, page.printed_table])
def test_tables_have_a_row_for_each_budget(make):
    made = make(FOUND)
    assert {len(row) for row in made.rows} == {len(made.header)}
    assert len(made.rows) == sum(len(f.budgets) for f in FOUND)


def test_a_cell_says_error_regret_and_what_it_beats():
    found = FOUND[0]
    cell = page.error_table([with_errors(found, v=0.0)]).rows[0][3]
    assert cell == f"0.0% ({-found.whole.error:+.1%}), 100% *"
    assert page.error_table([with_errors(found, v=None)]).rows[0][3] == "no law"


def test_the_dense_law_errs_more_than_the_held_out_dense_models_differ():
    """As the page says of the measure that is cut off at -1."""
    dense = FOUND[-1]
    outcomes = [dense.whole, *(o for at in dense.budgets for o in at.designs)]
    assert {o.r2 for o in outcomes} == {-1.0}


def test_the_chart_has_a_panel_a_table_and_describes_itself():
    chart = page.errors(FOUND).to_dict()
    assert len(chart["hconcat"]) == len(FOUND)
    assert "upcycled mixtures" in chart["description"]
