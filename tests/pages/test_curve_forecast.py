"""What the page on forecasts of curves says of scores."""

from simlib.analysis.curveforecast import CurveScores, MethodScore, ShareScore, load_scores
from simlib.pages import curve_forecast


def scores(*coverages):
    return CurveScores(
        "x",
        0.9,
        ["a"],
        {},
        [
            ShareScore(
                0.2,
                10,
                [
                    MethodScore("ours", 0.01, 0.0, c),
                    MethodScore("power", 0.03, 0.0, None),
                    MethodScore("last", 0.05, 0.0, None),
                ],
            )
            for c in coverages
        ],
        [],
    )


def test_factors_are_against_the_best_rival_and_coverage_is_a_span():
    found = scores(0.8, 0.95)
    assert curve_forecast.better(found) == (3.0, 3.0)
    assert curve_forecast.coverage(found) == (0.8, 0.95)
    rows = curve_forecast.score_table({"x": found}).rows
    assert len(rows) == 6
    assert [row[-1] for row in rows[:3]] == ["80% of 90%", "", ""]


def test_charts_describe_themselves():
    found = load_scores("clark")
    for chart in (curve_forecast.errors(found, "them"), curve_forecast.example(found, 0.2, "byte")):
        assert len(chart.to_dict()["description"].split()) > 10
