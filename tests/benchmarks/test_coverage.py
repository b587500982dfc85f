"""The page names every share that is not what it should be."""

import importlib.util
import sys
from pathlib import Path

import pytest

from simlib.pages.coverage import optima_sentence, shares_sentence, shares_table
from simlib.pages.coveragefile import Coverage, Optima, Share, load_coverage

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
GOOD = Share("converged", "bootstrap", "b_D", 100, 90)
LOW = Share("at bound", "profile", "c", 200, 160)
FOUND = Coverage(
    {}, 0.9, 400, 100, {"converged": 100, "at bound": 200}, (GOOD, LOW),
    (Optima("drawn", 10, 9, 1, 2e-4, 0),),
)  # fmt: skip


def test_a_share_outside_is_marked_and_named():
    header, rows = shares_table(FOUND).header, shares_table(FOUND).rows
    assert header[1:] == ("converged, bootstrap (100)", "at bound, profile (200)")
    assert rows == [("b_D", "90%", "–"), ("c", "–", "80% !")]
    said = shares_sentence(FOUND)
    assert "1 of 2 shares lies between 85% and 95%; none is larger, and 1 is smaller: " in said
    assert "c 80.0% by profile where the fit is at bound." in said
    assert "9 of 10 drawn tables, the worst 0.0002 above it" in optima_sentence(FOUND)


def test_where_all_hold_nothing_is_named():
    whole = Coverage({}, 0.9, 400, 100, {}, (GOOD,), ())
    assert shares_sentence(whole) == "The only share lies between 85% and 95%."


def test_the_shipped_record_counts_every_coefficient_by_status():
    found = load_coverage("joint")
    counted = {(s.status, s.kind) for s in found.shares}
    assert {(s, "profile") for s in ("converged", "at bound")} <= counted
    assert {(s, "bootstrap") for s in ("converged", "at bound")} <= counted
    of = {s.of for s in found.shares}
    assert of == {
        *("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c"),
        "optimal sparsity",
        "loss beyond",
    }
    assert sum(found.drawn.values()) >= 500
    assert all(0 <= s.inside <= s.tables for s in found.shares)


@pytest.fixture
def coverage(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("drawn", "optima", "coverage"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("coverage", FOLDER / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "KEPT", tmp_path / "coverage.jsonl")
    monkeypatch.setattr(module, "RESAMPLES", 20)
    monkeypatch.setattr(module, "PROFILE_RESAMPLES", 20)
    return module


def test_the_study_goes_on_where_it_stopped(coverage, monkeypatch):
    rows = coverage.known_tables(4, 0)
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    monkeypatch.setattr(coverage, "drawn", None)  # nothing is drawn again
    assert coverage.known_tables(4, 0) == rows
    shares = coverage.shares(rows)
    assert sum(s.tables for s in shares if s.of == "b_N" and "outliers" not in s.status) >= 4


def test_an_interval_that_misses_the_law_is_counted_as_a_miss(coverage):
    from dataclasses import replace

    from simlib.fit import fit

    table = coverage.drawn(1)
    found = fit(table.runs, resamples=20, profile_resamples=20)
    wrong = replace(table, law=replace(table.law, b_N=3 * table.law.b_N))
    assert not any(kind["b_N"] for kind in coverage.held(wrong, found).values() if "b_N" in kind)


def test_a_bottom_that_all_usual_starts_miss_is_found(coverage):
    """A table of the pathological ones, from a point where scipy finds a lower end."""
    import numpy as np

    from simlib.fit import DEFAULT_OBJECTIVE, JOINT, fit
    from simlib.fit.newton import minimise
    from simlib.fit.preparation import prepare

    _, runs = coverage.optima.pathological(4)
    at, _, begin = prepare(runs, JOINT, DEFAULT_OBJECTIVE, 25, np.random.default_rng(0))
    corner = np.array([[-6.4, 11.9, -0.3, 0.35, 0.0, 0.6, 0.4]])
    least = coverage.optima.least_of_scipy(at.problem, corner)
    assert minimise(at.problem, begin)[1].min() > least * (1 + 1e-5)
    assert fit(runs, resamples=0, profile_resamples=0).value <= least * (1 + 1e-6)
