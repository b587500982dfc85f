"""Run the book's notebooks and hold what each finds against what it is expected to find.

What a page finds is its first paragraph that holds computed numbers: the answer that it opens with.
The record that ships says what that was, and how many minutes the page took.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from simlib.bookext.dependencies import digest
from simlib.catalog import Catalog
from simlib.files import replace_file
from simlib.pages import notebooks

TOGETHER = 2  # notebooks at a time
TOLERANCE = 0.05  # relative, of the numbers of a finding: other processors round otherwise
_GLUE = re.compile(r"\{glue:text\}`([^`:]+)(?::[^`]*)?`")
_ROLE = re.compile(r"\{[a-z:]+\}`([^`<]*?)\s*(?:<[^`]*)?`|\[([^\]]*)\]\([^)]*\)|[*`]")
_NUMBER = re.compile(r"(?<![\w.])[-\u2212]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
_SCRAP = "application/papermill.record/text/plain"
Outcome = Literal["as expected", "changed", "failed", "new"]


@dataclass(frozen=True)
class Chapter:
    """What one notebook found, in `minutes`. One that `trains` may differ in its digits."""

    page: str
    minutes: float
    found: str
    trains: bool = False


@dataclass(frozen=True)
class Record:
    """What the notebooks found at one grid, on one machine."""

    grid: str
    machine: str
    chapters: tuple[Chapter, ...]


CATALOG = Catalog(Record, "reproduction", "record of a reproduction")


@dataclass(frozen=True)
class Result:
    """A chapter that ran, or the one line of why it did not, beside what was expected of it."""

    chapter: Chapter
    expected: Chapter | None
    error: str = ""

    @property
    def outcome(self) -> Outcome:
        """Whether the page found what it was expected to find."""
        if self.error:
            return "failed"
        if self.expected is None:
            return "new"
        alike = same_finding(self.chapter.found, self.expected.found, self.chapter.trains)
        return "as expected" if alike else "changed"


def same_finding(found: str, expected: str, trains: bool) -> bool:
    """Whether two findings say the same: the same words, and numbers within `TOLERANCE`.

    Of a page that `trains`, the words alone.
    """
    if _NUMBER.sub("#", found) != _NUMBER.sub("#", expected):
        return False
    pairs = zip(_numbers(found), _numbers(expected), strict=True)
    return trains or all(abs(a - b) <= TOLERANCE * max(abs(a), abs(b)) for a, b in pairs)


def _numbers(text: str) -> list[float]:
    return [float(n.replace(",", "").replace("\u2212", "-")) for n in _NUMBER.findall(text)]


def finding(notebook: Any) -> str:
    """The first paragraph of an executed notebook that holds computed values, as plain text."""
    values: dict[str, str] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name and _SCRAP in output.get("data", {}):
                values[name] = _text(output["data"][_SCRAP])
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for paragraph in cell.source.split("\n\n"):
            if _GLUE.search(paragraph):
                filled = _GLUE.sub(lambda m: values.get(m[1], ""), paragraph)
                plain = _ROLE.sub(lambda m: m[1] or m[2] or "", filled)
                return " ".join(plain.split())
    return ""


def _text(shown: str) -> str:
    try:
        return str(ast.literal_eval(shown))
    except (ValueError, SyntaxError):
        return shown


def reproduce(
    names: Sequence[str],
    grid: str,
    out: Path,
    expected: Record | None,
    say: Callable[[str], None],
    together: int = TOGETHER,
) -> list[Result]:
    """Run the notebooks `names` with `grid` where they take one, `together` at a time.

    Each leaves NAME.ipynb and NAME.json below `out`; a page whose text, library and tables are
    those of its NAME.json is not run again. Raises InputError for a name that is no notebook.
    """
    pages = [notebooks.find(name) for name in names]
    out.mkdir(parents=True, exist_ok=True)
    known = {c.page: c for c in expected.chapters} if expected else {}

    def one(page: Path) -> Result:
        result = _run(page, grid, out, known.get(page.stem))
        say(f"{page.stem}: {result.outcome}, {result.chapter.minutes:.1f} min")
        return result

    with ThreadPoolExecutor(together) as pool:
        return list(pool.map(one, pages))


def _run(page: Path, grid: str, out: Path, expected: Chapter | None) -> Result:
    done = out / f"{page.stem}.json"
    key = f"{grid} {digest(page.parent.parent, page)} {hash_of(page)}"
    if (kept := _kept(done, key)) is not None:
        return Result(kept, expected)
    trains = "grid" in notebooks.parameters(page)
    target = out / f"{page.stem}.ipynb"
    command = [
        sys.executable,
        "-m",
        "simlib",
        "notebook",
        str(page),
        "--out",
        str(target),
        "--force",
    ]
    started = time.monotonic()
    ran = subprocess.run(
        [*command, *(["-p", "grid", grid] if trains else [])], capture_output=True, text=True
    )
    minutes = (time.monotonic() - started) / 60
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
        return Result(Chapter(page.stem, minutes, "", trains), expected, (lines or ["?"])[-1])
    import nbformat

    chapter = Chapter(page.stem, minutes, finding(nbformat.read(target, as_version=4)), trains)
    content = json.dumps({"key": key, "chapter": asdict(chapter)}, indent=1)
    replace_file(done, content.encode(), "result of a page")
    return Result(chapter, expected)


def hash_of(page: Path) -> str:
    """Digest of the text of a page."""
    import hashlib

    return hashlib.sha256(page.read_bytes()).hexdigest()[:16]


def _kept(done: Path, key: str) -> Chapter | None:
    try:
        content = json.loads(done.read_text(encoding="utf-8"))
        return Chapter(**content["chapter"]) if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
