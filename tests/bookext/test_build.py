"""A small book, built again and again: what runs anew, and what is reused."""

import re
from pathlib import Path

import pytest
from sphinx.application import Sphinx

PAGE = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# {name}

```{{code-cell}} ipython3
import time
import simlib.{module}
print("{name} ran at", time.time_ns())
```
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two pages; `simlib` here only stands for the sources that their digests are made of."""
    (tmp_path / "simlib").mkdir()
    for module in ("__init__", "errors", "runs"):
        (tmp_path / "simlib" / f"{module}.py").write_text("")
    (tmp_path / "requirements.txt").write_text("numpy==1\n")
    (tmp_path / "index.md").write_text("# Book\n\n```{toctree}\none\ntwo\n```\n")
    for name, module in (("one", "errors"), ("two", "runs")):
        (tmp_path / f"{name}.md").write_text(PAGE.format(name=name, module=module))
    return tmp_path


def built(tree: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Build, and return what each page says about when it ran."""
    # the assets take seconds to bundle and have nothing to do with what is tested here
    monkeypatch.setattr("simlib.bookext.sphinx.assemble", lambda folder: folder)
    out = tree / "_build" / "html"
    settings = {
        "extensions": ["myst_nb", "simlib.bookext.sphinx"],
        "nb_execution_mode": "cache",
        "exclude_patterns": ["_build"],
    }
    app = Sphinx(
        srcdir=tree, confdir=None, outdir=out, doctreedir=tree / "_build" / "doctrees",
        buildername="html", confoverrides=settings, status=None, warning=None,
    )  # fmt: skip
    app.build()
    pages = {name: (out / f"{name}.html").read_text() for name in ("one", "two")}
    said = {name: re.search(r"ran at (\d+)", text) for name, text in pages.items()}
    return {name: match[1] for name, match in said.items() if match}


def test_only_pages_that_depend_on_an_edit_run_again(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built(tree, monkeypatch)
    assert first.keys() == {"one", "two"}
    assert built(tree, monkeypatch) == first

    (tree / "simlib" / "errors.py").write_text("# edited\n")
    second = built(tree, monkeypatch)
    assert second["one"] != first["one"]
    assert second["two"] == first["two"]

    page = tree / "two.md"
    page.write_text(page.read_text() + "\nMore prose.\n")
    assert built(tree, monkeypatch) == second


def test_a_build_that_lost_its_environment_still_reuses_what_stands(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built(tree, monkeypatch)
    assert first
    (tree / "_build" / "doctrees" / "environment.pickle").unlink()
    assert built(tree, monkeypatch) == first
