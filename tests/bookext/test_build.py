"""A small book, built again and again: what runs anew, and what is reused."""

import re
from pathlib import Path

import pytest
from sphinx.application import Sphinx

pytestmark = pytest.mark.slow

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


def built(tree: Path, monkeypatch: pytest.MonkeyPatch, **more: object) -> dict[str, str]:
    """Build, and return what each page says about when it ran."""
    # the assets take seconds to bundle and have nothing to do with what is tested here
    monkeypatch.setattr("simlib.bookext.sphinx.assemble", lambda folder: folder)
    out = tree / "_build" / "html"
    settings = {
        "extensions": ["myst_nb", "simlib.bookext.sphinx"],
        "nb_execution_mode": "cache",
        "exclude_patterns": ["_build"],
        **more,
    }
    app = Sphinx(
        srcdir=tree,
        confdir=None,
        outdir=out,
        doctreedir=tree / "_build" / "doctrees",
        buildername="html",
        confoverrides=settings,
        status=None,
        warning=None,
    )
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


def test_pages_that_are_due_run_at_the_same_time(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = "from pathlib import Path\nPath('{me}').touch()\nwhile not Path('{other}').exists():\n"
    for me, other in (("one", "two"), ("two", "one")):
        page = tree / f"{me}.md"
        code = waits.format(me=tree / f"{me}.here", other=tree / f"{other}.here")
        page.write_text(page.read_text().replace("import time\n", f"import time\n{code}    pass\n"))
    assert built(tree, monkeypatch).keys() == {"one", "two"}


def test_a_page_that_fails_stops_the_build_and_leaves_no_outputs(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tree / "one.md"
    good = page.read_text()
    page.write_text(good.replace("import time\n", "import time\n1 / 0\n"))
    settings = "nb_execution_raise_on_error"
    with pytest.raises(Exception, match=r"one\.md"):
        built(tree, monkeypatch, **{settings: True})
    page.write_text(good)
    assert built(tree, monkeypatch).keys() == {"one", "two"}
