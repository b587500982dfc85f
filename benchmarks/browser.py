"""How long the book's page takes to fit a reader's table, in Chromium, and simlib for the same.

    python benchmarks/browser.py    a table of 500 rows with 200 resamples, three times

The book must be built (`make book`). Times are by the clock on the wall, from the press of the
button to the result: keep the machine idle. The goal is ten seconds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from simlib.fit import fit_table
from simlib.laws.law import PUBLISHED
from simlib.runs.foreign import ESSENTIAL
from simlib.runs.table import RunTable
from simlib.simulate.virtual import Noise, virtual_runs

ROWS, RESAMPLES, TIMES, GOAL = 500, 200, 3, 10.0
PAGE = Path(__file__).resolve().parents[1] / "_build" / "html" / "book" / "your_fit.html"


def table(seed: int) -> RunTable:
    """Runs of the published T5 law at random sizes, sparsities and data, with 1% noise."""
    rng = np.random.default_rng(seed)
    S = rng.choice([0.0, 0.5, 0.75, 0.875, 0.95], ROWS)
    N, D = 10 ** rng.uniform(6, 9, ROWS), 10 ** rng.uniform(9, 11, ROWS)
    return virtual_runs(PUBLISHED["t5-c4"], S, N, D, Noise(0.0, 0.01), name="t5-c4", seed=seed)


def written(folder: Path, runs: RunTable) -> Path:
    """The runs as a CSV file."""
    path = folder / "runs.csv"
    rows = zip(*(getattr(runs, name).tolist() for name in ESSENTIAL), strict=True)
    path.write_text(
        ",".join(ESSENTIAL) + "\n" + "".join(f"{','.join(map(repr, row))}\n" for row in rows)
    )
    return path


def in_the_page(page: Page, path: Path) -> float:
    """Seconds of a fit in the page."""
    page.goto(PAGE.as_uri())
    page.set_input_files("#yourfit-file", str(path))
    page.wait_for_selector(".yourfit-rows td")
    page.fill("#yourfit-resamples", str(RESAMPLES))
    began = time.perf_counter()
    page.click(".yourfit-fit")
    page.wait_for_selector(".yourfit-result:not([hidden])", timeout=300_000)
    return time.perf_counter() - began


def in_simlib(runs: RunTable) -> float:
    """Seconds of the same fit here."""
    began = time.perf_counter()
    fit_table(runs, resamples=RESAMPLES)
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print each time."""
    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        for seed in range(TIMES):
            runs = table(seed)
            taken = in_the_page(page, written(Path(folder), runs))
            print(
                f"{ROWS} rows, {RESAMPLES} resamples: {taken:.1f} s in the page (goal {GOAL:g}), "
                f"{in_simlib(runs):.1f} s in simlib; load {os.getloadavg()[0]:.0f}"
            )
        browser.close()


if __name__ == "__main__":
    main()
