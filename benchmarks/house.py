"""Rows of the house: start-up times, and what the book costs to build and to open."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from turns import alone, compare

from simlib.bookext.dependencies import digest
from simlib.bookext.sphinx import STATUS_PAGE
from simlib.pages.benchfile import Case, Goal

ROOT = Path(__file__).resolve().parent.parent
EDITED = "simlib/pages/hardware.py"  # a module that some pages use and others do not
CHARTED = "[...document.querySelectorAll('.vega-figure')].every(f => f.dataset.ready)"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def startup(smoke: bool) -> Iterator[Case]:
    """Fresh processes by the wall clock, an empty one in turn with each; torch stays out."""
    rounds = 1 if smoke else 15
    for name, code, most in (
        ("import simlib", "import simlib", 0.3),
        ("simlib --help", "from simlib.cli import cli; cli(['--help'])", 0.5),
    ):
        loaded = subprocess.run(
            [
                sys.executable,
                "-c",
                f"import sys, atexit; atexit.register(lambda: "
                f"print('torch' in sys.modules, file=sys.stderr)); {code}",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        torch_in = loaded.stderr.strip().endswith("True")
        yield compare(
            name,
            lambda code=code: _python(code),
            lambda: _python(""),
            "python alone",
            rounds=rounds,
            clock=time.perf_counter,
            goal=Goal("ours", most=most),
        )
        yield Case(f"{name}, torch imported", "times", float(torch_in), goal=Goal("ours", most=0))


def startup_profile() -> str:
    """The modules that take longest to import, and the load that the clock on the wall includes."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import simlib"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("|") for line in done.stderr.splitlines() if line.count("|") == 2]
    own = [
        (int(first.split(":")[1]), name.strip())
        for first, _, name in lines
        if first.split(":")[1].strip().isdigit()
    ]
    most = "; ".join(f"{name} {spent / 1e3:.0f} ms" for spent, name in sorted(own)[:-5:-1])
    return f"{most}; {os.getloadavg()[0]:.1f} programs on {os.cpu_count()} cores"


def book(smoke: bool) -> Iterator[Case]:
    """Builds in a clone of the last commit, then every page in Chromium.

    Without builds (smoke) the pages are those of `_build` here, if there are any.
    """
    if smoke:
        html = ROOT / "_build" / "html"
        if not (html / "index.html").is_file():
            yield Case("pages measured", "", 0, note="the book is not built here: make book")
            return
        yield from _pages(html, 2)
        return
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "book"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        build = functools.partial(_build, clone)
        yield alone(
            "cold build", build, rounds=1, clock=time.perf_counter, goal=Goal("ours", most=600)
        )
        yield alone(
            "unchanged", build, rounds=3, clock=time.perf_counter, goal=Goal("ours", most=15)
        )
        yield from _one_edit(clone)
        yield from _pages(clone / "_build" / "html", None)


def _build(folder: Path) -> None:
    jupyter_book = Path(sys.executable).parent / "jupyter-book"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run(
        [jupyter_book, "build", ".", "-n", "-W", "--keep-going", "-q"],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )


def _one_edit(clone: Path) -> Iterator[Case]:
    """One library module edited: the pages that ran again against those that use it."""
    before = _digests(clone)
    with (clone / EDITED).open("a") as file:
        file.write("\n# edited\n")
    after = _digests(clone)
    users = {page for page in after if after[page] != before[page]}
    began = time.time()
    yield alone(
        f"one edit, in {EDITED}",
        functools.partial(_build, clone),
        rounds=1,
        clock=time.perf_counter,
    )
    made = clone / "_build" / "jupyter_execute"
    again = {
        p.relative_to(made).with_suffix("").as_posix()
        for p in made.rglob("*.ipynb")
        if p.stat().st_mtime > began
    }
    # the status page carries the date of the build, so it is read at each
    yield Case(
        "pages written again that do not use the edited module",
        "",
        float(len(again - users - {STATUS_PAGE})),
        goal=Goal("ours", most=0),
        note=f"{len(users)} of {len(after)} use it; the status page, always written, is not "
        "counted",
    )


def _pages(html: Path, count: int | None) -> Iterator[Case]:
    """Weight of every page and time until its charts answer, over HTTP in Chromium."""
    from playwright.sync_api import sync_playwright

    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not executable:
        raise RuntimeError("no Chromium: apt-get install chromium, or set CHROMIUM to its path")
    found = [name for name in _names() if (html / f"{name}.html").is_file()][:count]
    with _served(html) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        measured = {name: _open(browser, f"{site}/{name}.html") for name in found}
        browser.close()
    heaviest = max(found, key=lambda name: measured[name][0])
    charted = [name for name in found if measured[name][1] is not None]
    yield Case(
        "heaviest page",
        "MB",
        measured[heaviest][0],
        goal=Goal("ours", most=5.0),
        note=f"{heaviest}, of {len(found)} pages",
    )
    if charted:
        slowest = max(charted, key=lambda name: measured[name][1] or 0.0)
        times = [measured[name][1] or 0.0 for name in charted]
        yield Case(
            "slowest interactive chart",
            "s",
            max(times),
            goal=Goal("ours", most=2.0),
            note=f"{slowest}; median of {len(charted)} pages {statistics.median(times):.2f} s",
        )


def _names() -> list[str]:
    """Every page of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]


def _digests(folder: Path) -> dict[str, str]:
    """What the outputs of each page depend on."""
    pages = {name: folder / f"{name}.md" for name in _names()}
    return {name: digest(folder, page) for name, page in pages.items() if page.is_file()}


class _served:  # noqa: N801  used as a verb
    """A folder over HTTP on this machine."""

    def __init__(self, folder: Path) -> None:
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        handler = functools.partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_error: object) -> None:
        self.server.shutdown()


def _open(browser: Any, address: str) -> tuple[float, float | None]:
    """Megabytes that a first visit loads, and seconds until all charts are drawn, if any."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, sizes = context.new_page(), []
    page.on("requestfinished", lambda r: sizes.append(r.sizes()["responseBodySize"]))
    began = time.perf_counter()
    page.goto(address, wait_until="load")
    charts = page.locator(".vega-figure").count()
    page.wait_for_function(CHARTED, timeout=60_000)
    spent = time.perf_counter() - began
    page.wait_for_load_state("networkidle")
    context.close()
    return sum(sizes) / 1e6, spent if charts else None
