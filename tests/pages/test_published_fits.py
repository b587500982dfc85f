"""What the page on published fits says where fits are at their minimum, and where they are not."""

from dataclasses import replace

from simlib.analysis.publishedfits import Conclusion, load_audits
from simlib.pages import published_fits

FOUND = load_audits().audits[0]


def audit(published=1.0, least=1.0, reported=None, conclusions=()):
    return replace(
        FOUND, published=published, least=least, reported=reported, conclusions=list(conclusions)
    )


def test_a_fit_is_at_the_minimum_up_to_rounding_only():
    assert published_fits.at_minimum([audit(), audit(1.00001), audit(1.01)]) == "2 of 3 fits"


def test_reported_objectives_are_counted_where_there_are_any():
    found = [audit(reported=1.001), audit(reported=1.1), audit()]
    assert published_fits.reproduced(found) == "1 of 2 cases"


def test_conclusions_that_move_are_named_and_two_zeros_are_no_move():
    still = Conclusion("x", 1.0, 1.05, 0.9, 1.1)
    zero = Conclusion("floor", 1e-9, 1e-11, 0.0, 1e-9)
    far = Conclusion("R", 15.0, 95.0, 5.0, 1e16)
    assert published_fits.moved([audit(conclusions=[still, zero])]) == "none of them"
    assert published_fits.moved([audit(conclusions=[far])]) == FOUND.name
    assert published_fits.loose([audit(conclusions=[still, zero])]) == "none"
    assert "R" in published_fits.loose([audit(conclusions=[far])])
    assert published_fits.bounded(1e16) == "no limit"
    assert published_fits.bounded(1e-11) == "0"


def test_the_chart_names_the_largest_gap():
    chart = published_fits.gaps([audit(), replace(audit(1.5), name="worst")]).to_dict()
    assert "worst, 50.0%" in " ".join(chart["description"].split())
