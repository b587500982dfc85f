"""What the page of a sweep says changes with the runs, not with the writer."""

from dataclasses import replace

import pytest
from factories import SWEEP_LAW as LAW
from factories import sweep_law
from factories import sweep_table as table

from simlib.fit import DEFAULT_OBJECTIVE
from simlib.fit.fittedlaw import FittedLaw
from simlib.pages.sweeps import sweep_facts
from simlib.runs.table import RunTable


@pytest.fixture
def law_file() -> FittedLaw:
    return sweep_law()


def said(law_file: FittedLaw, runs: RunTable, *beside: FittedLaw) -> dict[str, str]:
    return sweep_facts(law_file, runs, beside, DEFAULT_OBJECTIVE).said("images", 0.05)


def test_runs_of_the_law_and_runs_that_break_it_are_told_apart(law_file):
    good = said(law_file, table(0.02))
    assert good["runs"] == "144"
    assert good["fits"] == "does not reject the law"
    assert good["growing"] == "0 of 1 later step"  # of two between three amounts of data
    assert good["without"] == "too few amounts of data are left to fit a law"
    bent = said(law_file, table(0.02, misfit=0.1))
    assert bent["fits"] == "rejects the law"
    assert float(bent["misfit"].rstrip("% ")) == pytest.approx(10, rel=0.3)


def test_a_law_beside_it_is_apart_when_its_worth_lies_outside(law_file):
    like = FittedLaw("like", LAW, None)
    far = FittedLaw("far", replace(LAW, a_S=LAW.a_S * 30), None)
    found = said(law_file, table(0.02), like, far)
    assert (found["apart"], found["laws"]) == ("1 lies", "2 laws")


def test_runs_before_the_power_law_are_named_with_their_unit(law_file):
    runs = table(1e-6)
    late = RunTable(
        r.model_copy(update={"loss": r.loss * (0.5 if r.data_seen > 2e6 else 1)}) for r in runs
    )
    assert "250,000 images or less" in said(law_file, late)["regime"]
    assert "none" in said(law_file, runs)["regime"]


def test_the_status_says_how_many_refits_converged_and_what_may_rest_on_them(law_file):
    runs = table(0.02)
    sound = replace(law_file, converged_members=49)
    assert said(sound, runs)["status"] == "converged, and so did 49 of 50 refits"
    bound = replace(sound, status="at bound")
    assert said(bound, runs)["status"].endswith("Nothing is decided by this law")
