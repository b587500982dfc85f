"""The first use of a word of the glossary opens its meaning; nothing else on a page changes."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

GLOSSARY = """# Glossary

```{glossary}
dense optimum
  The compute at which a size is best.

ensemble, refits
  The law fitted again.

loss
  Cross-entropy.
```
"""
PAGE = """# Ensemble

The `ensemble` is code, the [ensemble](book/glossary.md) a link, $ensemble$ a formula. Two
ensembles of the Dense optimum; the ensemble again, a pseudo-ensemble, and a loss.
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> BeautifulSoup:
    root: Path = tmp_path_factory.mktemp("book")
    (root / "book").mkdir()
    (root / "book" / "glossary.md").write_text(GLOSSARY)
    (root / "index.md").write_text(PAGE + "\n```{toctree}\nbook/glossary\n```\n")
    (root / "conf.py").write_text(
        'extensions = ["myst_parser", "simlib.bookext.terms"]\n'
        'myst_enable_extensions = ["dollarmath"]\n'
        # an earlier application of this process leaves its own in Sphinx's default
        'source_suffix = {".rst": "restructuredtext", ".md": "markdown"}\n'
    )
    app = Sphinx(str(root), str(root), str(root / "out"), str(root / "trees"), "html", status=None)
    app.build()
    return BeautifulSoup((root / "out" / "index.html").read_text(), "html.parser")


def test_only_the_first_use_in_running_text_opens_its_meaning(page: BeautifulSoup) -> None:
    links = page.select("a.glossary-word")
    assert [(a.text, a["title"]) for a in links] == [
        ("ensembles", "The law fitted again."),
        ("Dense optimum", "The compute at which a size is best."),
    ]
    assert all(str(a["href"]).startswith("book/glossary.html#term-") for a in links)


def test_the_sentences_stay_as_they_were(page: BeautifulSoup) -> None:
    said = " ".join(page.find("p").text.split())  # type: ignore[union-attr]
    assert said.endswith(
        "Two ensembles of the Dense optimum; the ensemble again, a pseudo-ensemble, and a loss."
    )
