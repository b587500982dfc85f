"""Whether intervals hold what they promise, and fits end at the optimum, on tables of known laws.

    python benchmarks/coverage.py                    all of it, on the screen
    python benchmarks/coverage.py --save mine.json   and kept in a file
    python benchmarks/coverage.py --tables 20        a first look

500 tables are drawn and fitted, and of those after them the ones whose fit ends at a bound, until
there are 200 such fits. What optima.py has found is added. Every table is kept in
_build/coverage.jsonl as soon as it is known: the same command goes on where it stopped.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import click
import optima
from drawn import Drawn, drawn

import simlib
from simlib.cli.output import force_option, saved
from simlib.fit import FittedLaw, fit
from simlib.laws.optimum import optimal_sparsity
from simlib.pages.coveragefile import CATALOG, Coverage, Share

KEPT = Path(__file__).resolve().parent.parent / "_build" / "coverage.jsonl"
LEVEL, RESAMPLES, PROFILE_RESAMPLES = 0.9, 400, 100
TABLES, BOUND = 500, 200
AT_BOUND = "at bound"


def held(table: Drawn, found: FittedLaw) -> dict[str, dict[str, bool]]:
    """Whether each interval of a fit holds the truth, by kind and what it is of."""
    law = table.law
    assert found.ensemble is not None

    def inside(interval: tuple[float | None, float | None], truth: float) -> bool:
        low, high = interval
        return (low is None or low <= truth) and (high is None or truth <= high)

    kinds = {
        kind: {name: inside(ends, float(getattr(law, name))) for name, ends in intervals.items()}
        for kind, intervals in (
            ("bootstrap", found.intervals),
            ("profile", found.profile_intervals),
        )
    }
    for name, quantity in (
        ("optimal sparsity", lambda law: optimal_sparsity(law, table.size, table.flops)),
        ("loss beyond", lambda law: law(*table.point)),
    ):
        low, high = found.interval(quantity, level=LEVEL)
        kinds["bootstrap"][name] = inside((float(low), float(high)), float(quantity(law)))
    return kinds


def known_tables(tables: int, bound: int) -> list[dict[str, Any]]:
    """Every table that counts; those that were not known yet are fitted and kept."""
    KEPT.parent.mkdir(exist_ok=True)
    lines = KEPT.read_text().splitlines() if KEPT.is_file() else []
    rows = {row["number"]: row for row in map(json.loads, lines)}
    for number in count():
        at_bound = sum(row["status"] == AT_BOUND for n, row in rows.items() if n < number)
        if number >= tables and at_bound >= bound:
            return [row for n, row in rows.items() if n < number and "held" in row]
        if number not in rows:
            rows[number] = _row(number, always=number < tables)
            with KEPT.open("a") as file:
                file.write(json.dumps(rows[number]) + "\n")
    raise AssertionError


def _row(number: int, always: bool) -> dict[str, Any]:
    table = drawn(number)
    status = fit(table.runs, resamples=0, profile_resamples=0).status
    row: dict[str, Any] = {"number": number, "status": status}
    if always or status == AT_BOUND:
        size = {"resamples": RESAMPLES, "profile_resamples": PROFILE_RESAMPLES}
        found = fit(table.runs, level=LEVEL, seed=number, **size)
        row |= {"outliers": table.outliers, "held": held(table, found)}
    return row


def shares(rows: list[dict[str, Any]]) -> tuple[Share, ...]:
    """Counts by status, with and without outliers, kind and what the interval is of."""
    tables: Counter[tuple[str, ...]] = Counter()
    inside: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        for status in (row["status"], f"{row['status']}, outliers")[: 1 + row["outliers"]]:
            for kind, found in row["held"].items():
                for name, holds in found.items():
                    tables[status, kind, name] += 1
                    inside[status, kind, name] += holds
    return tuple(Share(*key, number, inside[key]) for key, number in tables.items())


@click.command()
@click.option("--tables", default=TABLES, show_default=True, help="All of the first so many.")
@click.option("--bound", default=BOUND, show_default=True, help="Fits at a bound, at least.")
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
def main(tables: int, bound: int, save: str | None, force: bool) -> None:
    """Draw, fit, count; print the shares, and what optima.py knows."""
    path = saved(save, CATALOG.folder, force) if save else None
    rows = known_tables(tables, bound)
    found = Coverage(
        made={
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).date().isoformat(),
            "simlib": simlib.__version__,
        },
        level=LEVEL,
        resamples=RESAMPLES,
        profile_resamples=PROFILE_RESAMPLES,
        drawn=dict(Counter(row["status"] for row in rows)),
        shares=shares(rows),
        optima=optima.against_scipy(),
    )
    if path:
        CATALOG.write(path, found)
    for share in found.shares:
        click.echo(
            f"{share.status:22} {share.kind:10} {share.of:18} {share.value:.3f} of {share.tables}"
            + ("" if share.holds else "   OUTSIDE")
        )
    for line in found.optima:
        click.echo(str(line))


if __name__ == "__main__":
    main()
