"""Every check of the project in one go: what `make test` runs, inside the environment.

Each part runs even when an earlier one failed, so one run shows all that is wrong.
"""

import os
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks import BIN, BUILD, INDEX, build_book, run, say, works

REPORTS = BUILD / "reports"
APART = ("--ignore=tests/book", "--ignore=tests/offline")  # they need the book, or no network


@dataclass
class Part:
    """Outcome of one part: how many checks passed, failed and were skipped, in what time."""

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float

    def line(self) -> str:
        """One row of the summary."""
        counts = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        verdict = "FAILED" if self.failed else "ok"
        return f"{verdict:<7} {self.name:<22} {counts} ({self.seconds:.0f} s)"


def one(name: str, job: Callable[[], int]) -> Part:
    """Run a job whose exit code is its verdict."""
    say(f"\n==== {name}")
    started = time.monotonic()
    good = job() == 0
    return Part(name, int(good), int(not good), 0, time.monotonic() - started)


def suite(name: str, *arguments: str, under: tuple[str, ...] = ()) -> Part:
    """Run pytest and count from its report; no report, or an error beside it, is one failure.

    `under` is a program that runs the command which follows it.
    """
    say(f"\n==== {name}")
    report = REPORTS / f"{name.replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    environment = {**os.environ, "BOOK_REQUIRED": "1"}
    pytest = (*under, sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments)
    code = run(*pytest, env=environment)
    seconds = time.monotonic() - started
    if not report.is_file():
        return Part(name, 0, 1, 0, seconds)
    suites = list(ET.parse(report).getroot().iter("testsuite"))
    total, failures, errors, skipped = (
        sum(int(suite.get(kind, 0)) for suite in suites)
        for kind in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    passed = max(total - failed - skipped, 0)
    return Part(name, passed, failed or int(code != 0), skipped, seconds)


def build() -> int:
    """Build the book; every page anew, so that a warning of an old page is seen again."""
    (BUILD / ".doctrees" / "environment.pickle").unlink(missing_ok=True)
    return build_book()


def without_network() -> Part:
    """The book opens and simlib plans, fits and trains without one; skipped where that is not."""
    name, under = "without a network", ("unshare", "--net")
    if not works(*under, "true"):
        say(f"\n==== {name}\nnot checked: that takes root on Linux, and its program unshare")
        return Part(name, 0, 0, 1, 0.0)
    page = "tests/book/test_pages.py::test_page_works_opened_as_a_file"
    return suite(name, "-n", "2", page, "tests/offline", under=under)


def main() -> int:
    """Run all parts, print the summary; 0 only if nothing failed."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    places = ("simlib", "tests", "benchmarks", ".ci")
    checked = [place for place in places if Path(place).is_dir()]
    parts = [
        one("ruff", lambda: run(BIN / "ruff", "check", *checked)),
        one("format", lambda: run(BIN / "ruff", "format", "--check", *checked)),
        one("mypy", lambda: run(BIN / "mypy")),
        one("imports", lambda: run(BIN / "lint-imports", "--config", ".ci/imports.ini")),
        suite("tests", "-n", "2", "--durations=8", *APART),
        one("book without warnings", build),
        one("benchmarks still run", lambda: run(BIN / "python", "benchmarks/suite.py", "--smoke")),
    ]
    if INDEX.is_file():
        parts.append(suite("book in Chromium", "-n", "2", "tests/book"))
        parts.append(without_network())
    else:
        parts.append(Part("book in Chromium", 0, 1, 0, 0.0))
    say("\n==== summary")
    for part in parts:
        say(part.line())
    passed, failed, skipped = (
        sum(getattr(part, kind) for part in parts) for kind in ("passed", "failed", "skipped")
    )
    spent = time.monotonic() - started
    say(f"{passed} passed, {failed} failed, {skipped} skipped in {spent:.0f} s")
    say("make test: FAILED" if failed else "make test: everything passed")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
