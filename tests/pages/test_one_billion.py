"""The page on eight models at 1B: verdicts hang on power, and the needed error on the gap."""

from dataclasses import replace

import pytest

from simlib.analysis.twins import judge, load_twins, measured_differences
from simlib.pages import one_billion

FORECAST = load_twins().differences
MEASURED = measured_differences()


def judged(stderr, route=0):
    """All routes, if measurements were what one of them forecasts, with an error of `stderr`."""
    routes = list(dict.fromkeys((d.law, d.size_term) for d in FORECAST))
    own = [d for d in FORECAST if (d.law, d.size_term) == routes[route]]
    return judge(
        FORECAST,
        [
            replace(m, difference=d.difference, stderr=stderr)
            for m, d in zip(MEASURED, own, strict=True)
        ],
    )


def test_poor_measurements_leave_all_undecided_and_sharp_ones_contradict():
    poor = judged(1.0)
    assert {one_billion.verdict(j) for j in poor} == {"undecided"}
    assert "confirm none" in one_billion.answer(poor)
    sharp = judged(1e-4)
    assert one_billion.verdict(sharp[0]) != "contradicted"
    assert one_billion.verdict(sharp[4]) == "contradicted"
    assert "average parameters" in one_billion.answer(sharp)


def test_a_route_holds_only_with_power_against_every_other():
    one = judged(1.0)[0]
    strong = replace(one, power=dict.fromkeys(one.power, 0.9))
    assert one_billion.verdict(strong) == "holds"
    assert "hold" in one_billion.answer([strong])
    weak = replace(strong, power={**strong.power, next(iter(strong.power)): 0.7})
    assert one_billion.verdict(weak) == "undecided"


def test_the_needed_error_would_give_the_rule_its_power():
    exact = [replace(d, low=d.difference, high=d.difference) for d in FORECAST]
    found = judge(exact, MEASURED)
    needed = one_billion.errors_needed(found, MEASURED)
    stderr = needed * 2**0.5
    again = judge(exact, [replace(m, stderr=stderr) for m in MEASURED])
    assert again[0].power[found[-1].route] == pytest.approx(0.8, abs=0.01)


def test_charts_describe_themselves():
    for term in ("own", "clark-sbase-ends"):
        chart = one_billion.differences(FORECAST, MEASURED, term).to_dict()
        assert len(chart["description"].split()) > 10
