"""Every row of the benchmark suite: ours and what people use, in turn, in one go.

    python benchmarks/suite.py                    all rows but the book, on the screen
    python benchmarks/suite.py --book --save mine.json   all rows, and kept in a file
    python benchmarks/suite.py --only joint-fit   one row
    python benchmarks/suite.py --smoke            tiny sizes: only whether every row still runs

Each row is a process of its own: one that fails is recorded as failed with its reason, and the
others go on. With --save the file is written after every row; with --only, its other rows stay.
`make bench` writes the table that ships.
"""

from __future__ import annotations

import importlib
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import click
from pydantic import TypeAdapter

from simlib.cli.output import force_option, saved
from simlib.pages.benchfile import CATALOG, TITLES, BenchFile, Case, Row
from simlib.sweep.worker import KEEP_MEMORY

LIMIT, SMOKE_LIMIT = 1500, 300  # seconds of a row
VERSIONS = ("numpy", "scipy", "torch", "chinchilla")
ROW = TypeAdapter(Row)


class Source(NamedTuple):
    """Where a row is measured, and profiled when it misses a goal; what would reach the goal."""

    measure: str
    profile: str = ""
    needed: str = ""
    threads: int | None = 1


SOURCES = {
    "joint-fit": Source(
        "laws:joint_fit",
        "laws:joint_fit_profile",
        "A C compiler, without which numpy takes the steps; an idle machine, since the command is "
        "timed by the clock on the wall, and half of its time is imports.",
    ),
    "bootstrap": Source(
        "laws:bootstrap",
        "laws:bootstrap_profile",
        "Refits of one table take dozens of Newton steps across the kinks of an objective close "
        "to absolute values: both cores, or a C compiler where there is none, would do.",
    ),
    "dense-law": Source("laws:dense_law"),
    "growth": Source("laws:growth"),
    "optimum": Source(
        "laws:optimum",
        "laws:optimum_profile",
        "Under sparse cost every point is inverted by Newton's method in full arrays: a table of "
        "the one curve that all points share, interpolated, would do.",
    ),
    "step": Source(
        "steps:step",
        "steps:step_profile",
        "Most of a step is in kernels that both sides call alike. Narrow models would need fewer "
        "and larger calls, bfloat16 a processor with matrix units for it.",
    ),
    "fused": Source(
        "steps:fused",
        "steps:fused_profile",
        "A step is two calls of C, and what is left of it is in them: products near what the "
        "processor can do in float32. An idle machine; fewer passes between the products.",
    ),
    "mask-update": Source(
        "steps:mask_update",
        "steps:mask_update_profile",
        "What remains is passes over the weights; a fused kernel would do.",
    ),
    "grid": Source(
        "steps:grid",
        "steps:grid_profile",
        "Two idle cores: other programs take from the sweep's processes what they leave to a run "
        "alone.",
        threads=None,
    ),
    "peak": Source("steps:peak"),
    "startup": Source(
        "house:startup",
        "house:startup_profile",
        "A machine with a core to spare: the clock on the wall counts what other programs take.",
    ),
    "book": Source("house:book", threads=None),
}
ALWAYS_PROFILED = {"peak": ("steps:peak_profile", "the rest is other operations of a step")}


def _found(place: str) -> Callable[..., Any]:
    module, name = place.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def measure(name: str, smoke: bool) -> Row:
    """One row, in this process; its cases so far are kept where it fails."""
    source, began, cases = SOURCES[name], time.perf_counter(), []
    why = needed = failed = ""
    try:
        found: Iterator[Case] = _found(source.measure)(smoke)
        # a tiny size has nothing to reach
        cases.extend(replace(case, goal=None) if smoke else case for case in found)
        row = Row(name, 0.0, cases)
        if name in ALWAYS_PROFILED and not smoke:
            place, needed = ALWAYS_PROFILED[name]
            why = _found(place)()
        elif row.missed and source.profile and not smoke:
            why, needed = _found(source.profile)(), source.needed
    except Exception as error:  # whatever stops a row is its result
        failed = f"{type(error).__name__}: {error}".splitlines()[0]
    return Row(name, time.perf_counter() - began, cases, failed, why, needed)


def run(name: str, smoke: bool) -> Row:
    """One row in a process of its own."""
    # as in the workers of a sweep: freed memory is kept, so that it need not be cleared again
    environment, threads = {**os.environ, **KEEP_MEMORY}, SOURCES[name].threads
    if threads:
        environment |= {f"{k}_NUM_THREADS": str(threads) for k in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, __file__, "--child", name, *(["--smoke"] if smoke else [])]
    limit, began = SMOKE_LIMIT if smoke else LIMIT, time.perf_counter()
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        try:
            done = subprocess.run(
                [*command, "--to", result.name],
                env=environment,
                timeout=limit,
                check=False,
                stderr=subprocess.PIPE,
                text=True,
            )
        except subprocess.TimeoutExpired:
            return Row(name, limit, failed=f"not done after {limit} s")
        written = Path(result.name).read_bytes()
    if written:
        return ROW.validate_json(written)
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    spent = time.perf_counter() - began
    return Row(name, spent, failed=f"its process ended with {done.returncode}: {last}")


def machine() -> dict[str, str]:
    """The class of the machine."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "device": f"CPU, {platform.machine()}",
        "vendor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()}, Python {platform.python_version()}",
    }


def made(arguments: list[str], load: float) -> dict[str, str]:
    """How the file was made."""
    packages = []
    for name in VERSIONS:
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return {
        "command": shlex.join(["python", "benchmarks/suite.py", *arguments]),
        "date": datetime.now(UTC).date().isoformat(),
        "load": f"{load:.1f} programs on {os.cpu_count()} cores before the first row",
        "versions": ", ".join(packages),
    }


def text(row: Row) -> str:
    """A row as lines for the screen."""
    lines = [f"\n{TITLES[row.name]} ({row.seconds:.0f} s)"]
    for case in row.cases:
        line = f"  {case.name:52} {case.ours:10.4g} {case.unit}"
        if case.other is not None:
            line += f"   {case.against}: {case.other:.4g} {case.unit}"
        if case.ratio is not None:
            line += f"   ratio {case.ratio:.3g}"
        if case.low is not None:
            line += f" ({case.low:.3g} to {case.high:.3g})"
        if case.reached is not None:
            line += "   reached" if case.reached else "   NOT REACHED"
        lines.append(f"{line}   {case.note}".rstrip())
    if row.failed:
        lines.append(f"  FAILED: {row.failed}")
    lines += [
        f"  {label}: {said}"
        for label, said in (("profile", row.why), ("needed", row.needed))
        if said
    ]
    return "\n".join(lines)


@click.command()
@click.option("--only", type=click.Choice(list(TITLES)), multiple=True, help="These rows alone.")
@click.option("--smoke", is_flag=True, help="Tiny sizes: whether every row runs, not how fast.")
@click.option("--book", is_flag=True, help="Build the book in a clone, too: adds minutes.")
@click.option("--save", help="Write a file: a path ending in .json.")
@force_option
@click.option("--child", type=click.Choice(list(TITLES)), hidden=True)
@click.option("--to", hidden=True)
def main(
    only: tuple[str, ...],
    smoke: bool,
    book: bool,
    save: str | None,
    force: bool,
    child: str | None,
    to: str | None,
) -> None:
    """Measure rows, print them, and save them after each. Exits with 1 if one failed."""
    if child and to:
        Path(to).write_bytes(ROW.dump_json(measure(child, smoke)))
        return
    names = only or tuple(n for n in TITLES if n != "book" or book or smoke)
    path = saved(save, CATALOG.folder, force or bool(only)) if save else None
    old = CATALOG.load(str(path)) if path and path.is_file() and only else None
    rows, began = {row.name: row for row in old.rows} if old else {}, time.perf_counter()
    about = made(sys.argv[1:], os.getloadavg()[0])
    if old:  # the file's own history, and what is measured again now
        about = {**old.made, "measured again": f"{about['command']}, {about['date']}"}
    for name in names:
        rows[name] = run(name, smoke)
        click.echo(text(rows[name]))
        if path:
            ordered = [rows[n] for n in TITLES if n in rows]
            CATALOG.write(path, BenchFile(machine(), about, ordered))
    failed = [name for name in names if rows[name].failed]
    click.echo(
        f"\n{len(names)} rows in {time.perf_counter() - began:.0f} s"
        + (f", failed: {', '.join(failed)}" if failed else "")
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
