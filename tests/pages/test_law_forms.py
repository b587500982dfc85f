"""What a page says of a comparison follows from the comparison, whichever way it went."""

from dataclasses import replace

import pytest

from simlib.fit import OBJECTIVES
from simlib.fit.compare import Assessment, Comparison, TargetForecast
from simlib.fit.comparefile import ComparisonFile
from simlib.fit.holdout import Holdout
from simlib.fit.nested import NESTINGS, NestedTest
from simlib.pages import law_forms
from simlib.pages.law_forms import forecasts


def assessment(form: str, error: float, bic: float, unpredicted: int = 0) -> Assessment:
    holdouts = tuple(Holdout(name, 9, error, 0.0, unpredicted) for name in law_forms.HELD_OUT[:-1])
    refused = Holdout(law_forms.HELD_OUT[-1], 9, None, None, refused=f"the {form} law needs more")
    forecast = TargetForecast("XL", 0.75, 1e9, 1e10, 1.5, (1.4, 1.6), 1.55)
    return Assessment(
        form=form,
        parameters=7,
        objective=1e-5,
        status="converged",
        agreeing=1.0,
        log_rmse=0.01,
        aicc=bic,
        bic=bic,
        coefficients={"a": 1.0},
        intervals={"a": (0.5, None)},
        holdouts=(*holdouts, refused),
        forecasts=(forecast,),
        warnings=(),
    )


@pytest.fixture
def file() -> ComparisonFile:
    test = NestedTest(
        "exponent of size", "does it?", "joint", "wide", 1, 2e-5, 1e-5, 1.0, 0.005, 0.01, 0.02, 999
    )
    rows = (
        assessment("joint", 0.020, -50.0),
        assessment("wide", 0.030, -40.0),
        assessment("near", 0.021, -49.0),
        assessment("partial", 0.001, -10.0, unpredicted=3),
    )
    found = Comparison(48, OBJECTIVES["t5-c4"], 0.9, 999, 0, rows, (test,), {})
    return ComparisonFile("runs", {}, found)


def names(found: list[Assessment]) -> list[str]:
    return [a.form for a in found]


def test_a_form_is_best_only_if_it_predicts_every_run(file):
    assert names(law_forms.best_forms(file, "one size", 0.1)) == ["joint", "near"]
    assert names(law_forms.best_forms(file, "one size", 0.01)) == ["joint"]
    assert law_forms.best_forms(file, "longest training", 0.1) == []
    assert names(law_forms.simplest_forms(file)) == ["joint", "near"]
    assert law_forms.times_among_best([file], "near", 0.1) == (4, 4)
    assert law_forms.times_among_best([file], "wide", 0.1) == (0, 4)


def test_the_verdict_follows_the_p_value_and_the_held_out_error(file):
    said = law_forms.verdict(file, "exponent of size", 0.05)
    assert said == "rejected, p = 0.01; the wider form predicts the largest size worse"
    assert law_forms.verdict(file, "exponent of size", 0.001).startswith("not rejected")
    assert law_forms.verdict(file, "saturation", 0.05) == "not tested"
    assert len(law_forms.verdict_table([file], 0.05).rows) == len(NESTINGS)
    assert set(law_forms.GRANTED) == {nesting.name for nesting in NESTINGS}


def test_the_measurement_lies_where_it_lies(file):
    forecast = file.comparison.assessments[0].forecasts[0]
    assert law_forms.where_measured(forecast) == "inside"
    assert law_forms.where_measured(replace(forecast, measured=1.7)) == "above"
    assert law_forms.where_measured(replace(forecast, measured=1.3)) == "below"
    assert law_forms.where_measured(replace(forecast, measured=None)) == ""


def test_tables_and_charts_name_every_form_and_every_reason(file):
    forms = {"joint", "wide", "near", "partial"}
    for table in (
        law_forms.error_table(file),
        law_forms.forecast_table(file),
        law_forms.coefficient_table(file),
    ):
        assert {row[0] for row in table.rows} == forms
    assert "3 not predicted" in " ".join(law_forms.error_table(file).rows[3])
    assert len(law_forms.refusals([file]).rows) == 1
    assert law_forms.use_table([file], 0.1).rows[0][1] == "joint, near"
    drawn = str(forecasts(file, "XL").to_dict())
    assert all(form in drawn for form in forms)


def test_the_ranking_and_the_map_hold_errors_against_the_least_of_forms_that_predict_all(file):
    ranks = {rank.form: rank for rank in law_forms.ranking([file], 0.1)}
    assert list(ranks) == ["joint", "near", "wide", "partial"]
    assert (ranks["near"].among, ranks["near"].decided) == (4, 4)
    assert ranks["joint"].ratio == 1
    assert ranks["wide"].ratio == pytest.approx(1.5)
    chart = law_forms.error_map([file], list(ranks))
    values = chart.to_dict()["data"]["values"]
    assert {v["form"] for v in values} == {"joint", "near", "wide"}
    assert {v["held out"] for v in values} == {f"runs: {n}" for n in law_forms.HELD_OUT[:-1]}


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"joint": 5, "capacity": 3}, "in 5 of 9 uses, more often than any other form"),
        (
            {"capacity": 5, "joint": 5, "activation": 1},
            "in 5 of 9 uses, more often than any form but capacity, which is so as often",
        ),
        ({"capacity": 6, "experts": 6, "joint": 2}, "are capacity and experts (6 of 9 uses)"),
    ],
)
def test_the_form_that_is_best_most_often_is_named_and_a_tie_is_called_one(counts, said):
    ranks = [law_forms.Rank(form, 7, count, 9, 1.0) for form, count in counts.items()]
    assert said in law_forms.ranked_best(ranks)
