"""Hostile text from tables and laws on the pages of a tiny book: shown, and never run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from browsing import READY, ROOT, Watch
from playwright.sync_api import Browser, Page
from sphinx.application import Sphinx

HOSTILE = (
    "<!--<script>",
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 2'>",
    "'\"><svg onload=window.hit=3>",
    "[link](javascript:window.hit=4)",
    "constructor.constructor('window.hit = 5')()",
    "</table></div><iframe srcdoc='<script>parent.hit = 6</script>'></iframe>",
)
HEAD = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A page

Formulas are $x^2$.

"""
CHART = """```{code-cell} ipython3
import altair as alt
from simlib.pages import charts
from simlib.pages.tables import LinkedTable
from simlib.pages.tables import Table
charts.enable()
names = NAMES
data = charts.rows(name=names, x=range(1, len(names) + 1), sparsity=0.5, loss=2.0)
x = charts.log_x("x", names[0])
moved = charts.slider("log10_S", names[1], 0, 9, 1, 1)
chart = charts.loss_against(data, x, [0.5], names[2]).add_params(moved)
charts.describe(chart.properties(title=names[3:]), "Five words and then " + names[0])
```

```{code-cell} ipython3
LinkedTable(("name",), [(name,) for name in names])
```

```{code-cell} ipython3
import time
print(names)
```

After the chart.
"""
PLANNER = """```{code-cell} ipython3
from simlib.pages import charts, planner
charts.enable()
laws = planner.planner_laws()
first = next(iter(laws.values()))
planner.Planner({name: first for name in NAMES}, NAMES[0], "sparse")
```

```{code-cell} ipython3
charts.describe(planner.loss_chart(), "Loss against sparsity of the plan.")
```

```{code-cell} ipython3
charts.describe(planner.map_chart(), "Compute against size of the plan.")
```

After the plan.
"""
RAW = """```{code-cell} ipython3
from IPython.display import HTML
HTML("<script>window.hit = 7</script><img src=x onerror='window.hit = 8'>"
     "<script src='https://example.org/evil.js'></script>"
     "<a id='bait' href='javascript:window.hit=9'>bait</a>")
```
"""
PAGES = {"chart": CHART, "book/planner": PLANNER, "raw": RAW}


def _write(root: Path) -> None:
    (root / "book").mkdir(parents=True)
    shutil.copytree(ROOT / "book" / "assets", root / "book" / "assets")
    (root / "requirements.txt").write_text("")
    (root / "index.md").write_text("# Book\n\n```{toctree}\nchart\nbook/planner\nraw\n```\n")
    for name, text in PAGES.items():
        (root / f"{name}.md").write_text(HEAD + text.replace("NAMES", repr(HOSTILE)))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of three pages with the theme, the extensions and the assets of the real one."""
    root = tmp_path_factory.mktemp("tiny")
    _write(root)
    real = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]
    apart = ("jupyter_book", "sphinx_external_toc", "sphinxcontrib.bibtex", "sphinx_comments")
    settings = {
        "extensions": [name for name in real["extensions"] if name not in apart],
        "html_theme": "sphinx_book_theme",
        **{key: real[key] for key in ("html_css_files", "html_context", "mathjax_path")},
        "myst_enable_extensions": ["dollarmath"],
        "nb_execution_mode": "cache",
        "nb_execution_raise_on_error": True,
        "exclude_patterns": ["_build"],
    }
    html = root / "_build" / "html"
    places = {"srcdir": root, "confdir": None, "outdir": html, "doctreedir": root / "_build" / "d"}
    app = Sphinx(**places, buildername="html", confoverrides=settings, status=None, warning=None)
    app.build()
    return html


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def opened(page: Page, tiny: Path, name: str) -> Watch:
    watch = Watch()
    watch.attach(page)
    page.goto(f"{tiny.as_uri()}/{name}.html", wait_until="load")
    page.wait_for_function(READY, timeout=30_000)
    return watch


@pytest.mark.parametrize("name", ["chart", "book/planner"])
def test_hostile_names_are_text(page: Page, tiny: Path, name: str) -> None:
    watch = opened(page, tiny, name)
    page.wait_for_selector("mjx-container")
    states = page.eval_on_selector_all(".vega-figure", "fs => fs.map(f => f.dataset.ready)")
    assert set(states) == {"light"}
    assert page.evaluate("window.hit") is None
    assert page.query_selector("article >> text=/^After the (chart|plan)/")
    shown = page.inner_text("article")
    assert all(text in shown for text in HOSTILE)
    assert page.eval_on_selector_all("a[href^='javascript:']", "as => as.length") == 0
    watch.assert_clean()


def test_the_numbers_of_a_chart_are_text_too(page: Page, tiny: Path) -> None:
    watch = opened(page, tiny, "chart")
    page.click(".vega-numbers > summary")
    page.wait_for_selector(".vega-numbers a[download$='.csv']")
    assert page.evaluate("window.hit") is None
    watch.assert_clean()


def test_what_a_page_holds_as_markup_does_not_run(page: Page, tiny: Path) -> None:
    """The policy stands where the text was let through as it is."""
    watch = opened(page, tiny, "raw")
    page.click("#bait")
    page.wait_for_timeout(100)
    assert page.evaluate("window.hit") is None
    refused = [text for text in watch.errors if "Content Security Policy" in text]
    assert len(refused) == 4  # the two scripts, the handler, the link
    assert not watch.external


@pytest.mark.parametrize("name", ["index", "search", "genindex", *PAGES])
def test_every_page_has_the_policy_before_its_first_script(tiny: Path, name: str) -> None:
    text = (tiny / f"{name}.html").read_text()
    assert text.count('http-equiv="Content-Security-Policy"') == 1
    assert text.index("Content-Security-Policy") < text.index("<script")
    policy = text.partition('Policy" content="')[2].partition('"')[0]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in rules["script-src"]
