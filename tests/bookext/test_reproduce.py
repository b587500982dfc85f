"""A reproduction runs each page once, says what it found, and notices what has changed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from simlib.bookext import reproduce as book
from simlib.cli import cli
from simlib.pages import notebooks

PAGE = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Page

In words only.

In all {glue:text}`share` of [the runs](runs.md) fit, by {glue:text}`law`.

```{code-cell} ipython3
from simlib.pages.glue import glue_all
CODE
glue_all(share=share, law="our law")
```
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").write_text("root: index\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(checkout: Path, code: str) -> None:
    (checkout / "notebooks" / "page.md").write_text(PAGE.replace("CODE", code))


def run(*options: str) -> tuple[int, list[dict]]:
    done = CliRunner().invoke(cli, ["reproduce", "page", "--json", *options])
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.slow
def test_a_page_is_run_once_and_a_changed_finding_is_noticed(checkout: Path) -> None:
    write(checkout, 'share = "90%"')
    code, (first,) = run("--save", "record.json")
    assert (code, first["found"]) == (0, "In all 90% of the runs fit, by our law.")
    made = checkout / "runs/reproduce/ci/page.ipynb"
    before = made.stat().st_mtime_ns
    code, (again,) = run("--expected", "record.json")
    assert (code, again["outcome"]) == (0, "as expected")
    assert made.stat().st_mtime_ns == before
    write(checkout, 'share = "70%"')
    code, (changed,) = run("--expected", "record.json")
    assert (code, changed["outcome"], changed["expected"]) == (1, "changed", first["found"])
    write(checkout, 'raise ValueError("no runs")')
    code, (failed,) = run("--expected", "record.json")
    assert (code, failed["outcome"]) == (1, "failed")
    assert "ValueError: no runs" in failed["error"]


@pytest.mark.parametrize(
    ("found", "expected", "trains", "same"),
    [
        ("3 of 4 fit at 1,024", "3 of 4 fit at 1,024", False, True),
        ("loss 2.00", "loss 2.05", False, True),
        ("loss 2.00", "loss 2.50", False, False),
        ("loss 2.00", "loss 2.50", True, True),
        ("sparse is better by 2.0", "dense is better by 2.0", True, False),
        ("it gains 1", "it gains \u22121", False, False),
        ("one of 2", "one of 2, or 3", True, False),
    ],
)
def test_a_finding_is_its_words_and_nearly_its_numbers(found, expected, trains, same):
    assert book.same_finding(found, expected, trains) is same


def test_the_record_that_ships_has_every_notebook_and_what_most_found():
    record = book.CATALOG.load("ci")
    assert [c.page for c in record.chapters] == notebooks.names()
    assert all(c.minutes > 0 for c in record.chapters)
    assert sum(bool(c.found) for c in record.chapters) > 0.9 * len(record.chapters)
    assert not any("{glue" in c.found for c in record.chapters)
