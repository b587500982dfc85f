"""The shipped benchmarks hold every row; the suite keeps going where a row fails."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from simlib.errors import InputError
from simlib.pages import performance
from simlib.pages.benchfile import TITLES, BenchFile, Case, Goal, Row, load_benchmarks

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "benchmarks" / "suite.py"


@pytest.fixture
def suite(monkeypatch):
    monkeypatch.syspath_prepend(str(SUITE.parent))
    spec = importlib.util.spec_from_file_location("suite", SUITE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text(table):
    return table._repr_mimebundle_()["text/plain"]


def test_the_shipped_record_has_every_row_and_says_how_it_was_made():
    shipped = load_benchmarks("cpu")
    assert {row.name for row in shipped.rows} >= set(TITLES) - {"book"}
    assert {"command", "date", "load", "versions"} <= shipped.made.keys()
    assert {"vendor", "cores"} <= shipped.machine.keys()
    for row in shipped.rows:
        assert row.cases or row.failed, row.name
        if row.missed and not row.failed:
            assert row.why, f"{row.name} misses a target and does not say why"
            assert row.needed, f"{row.name} does not say what its target needs"


def test_every_row_of_the_page_can_be_run(suite):
    assert list(suite.SOURCES) == list(TITLES)
    for source in suite.SOURCES.values():
        for place in filter(None, (source.measure, source.profile)):
            module, name = place.split(":")
            assert f"def {name}(" in (SUITE.parent / f"{module}.py").read_text()


@pytest.mark.parametrize(
    ("goal", "ours", "ratio", "reached"),
    [
        (None, 1.0, 0.1, None),
        (Goal("ratio", least=5), 1.0, 5.0, True),
        (Goal("ratio", least=5), 1.0, 4.9, False),
        (Goal("ratio", least=5), 9.0, None, False),
        (Goal("ours", most=2), 2.0, 0.1, True),
        (Goal("ours", most=2), 2.1, 9.0, False),
    ],
)
def test_a_target_is_held_against_what_it_is_about(goal, ours, ratio, reached):
    assert Case("a", "s", ours, ratio=ratio, goal=goal).reached is reached


def test_a_row_that_fails_keeps_its_cases_and_its_reason(suite, monkeypatch):
    def broken(_smoke):
        yield Case("first", "s", 1.0)
        raise ValueError("the second has no data")

    monkeypatch.setattr(suite, "_found", lambda _place: broken)
    row = suite.measure("growth", smoke=True)
    assert [case.name for case in row.cases] == ["first"]
    assert row.failed == "ValueError: the second has no data"


def test_a_row_whose_process_dies_is_recorded_as_failed(suite, monkeypatch):
    monkeypatch.setattr(suite, "__file__", str(ROOT / "no-such-file.py"))
    row = suite.run("growth", smoke=True)
    assert not row.cases
    assert "ended with" in row.failed


def test_failed_missed_and_absent_rows_are_shown_as_such():
    missed = Case("one", "s", 3.0, "theirs", 6.0, 2.0, 1.9, 2.1, 5, Goal("ratio", least=5))
    rows = [
        Row("growth", 1.0, failed="ValueError: out of memory"),
        Row("step", 1.0, [missed], why="all of it", needed="less"),
    ]
    measured = BenchFile({}, {}, rows)
    shown = text(performance.overview(measured))
    assert "out of memory" in shown
    assert "one, against theirs" in shown
    assert shown.count("not measured") == len(TITLES) - 2
    assert "0 of 1 target is reached" in performance.standing(measured)
    assert "failed: growth" in performance.standing(measured)
    assert text(performance.row_table(rows[1])).splitlines()[-1].endswith("no")
    assert "out of memory" in text(performance.row_table(rows[0]))
    with pytest.raises(InputError, match="was not run"):
        measured.row("book")


@pytest.mark.slow
def test_a_smoke_run_of_one_row_writes_a_file_that_can_be_read(tmp_path):
    out = tmp_path / "here.json"
    done = subprocess.run(
        [sys.executable, SUITE, "--smoke", "--only", "growth", "--save", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = load_benchmarks(str(out)).row("growth")
    assert not row.failed
    assert all(case.goal is None for case in row.cases), "a tiny size has nothing to reach"
    assert json.loads(out.read_text())["made"]["command"].endswith(str(out))
