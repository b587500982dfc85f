"""The book on paper and as an e-book: every page, every chart, links within."""

import sys
from collections import Counter

import pytest
from browsing import HTML, ROOT, pages
from bs4 import BeautifulSoup

sys.path.insert(0, str(ROOT / ".ci"))
import ebook
import paper

pytestmark = pytest.mark.skipif(not (HTML / "index.html").is_file(), reason="no book was built")
SHORT = ["index", "book/law", "book/planner"]


def test_the_whole_book_has_every_page_once_and_its_links_lead_within(monkeypatch) -> None:
    """On three pages of every kind; the others are left out of the links, too."""
    monkeypatch.setattr(paper, "parts", lambda: [("", SHORT[:1]), ("The law", SHORT[1:])])
    soup = BeautifulSoup(paper.whole(), "html.parser")
    ids = Counter(tag["id"] for tag in soup.select("[id]"))
    assert max(ids.values()) == 1
    assert [s["id"] for s in soup.select("section.page")] == [paper.place(n) for n in SHORT]
    within = [a["href"][1:] for a in soup.select("a[href^='#']")]
    assert {paper.place(name) for name in SHORT} <= set(within)
    assert set(within) <= set(ids)
    for tag in soup.select("link[href], script[src]"):
        assert (HTML / str(tag.get("href") or tag.get("src")).partition("?")[0]).is_file()


def test_paper_has_no_controls_and_every_chart_that_needs_none() -> None:
    planner = paper.article("book/planner", set(pages()))
    assert paper.MOVED in planner.get_text()
    assert not planner.select(".vega-figure, .planner, .start-here")
    built = BeautifulSoup((HTML / "book/law.html").read_text(), "html.parser")
    law = paper.article("book/law", set(pages()))
    assert len(law.select(".vega-figure")) == len(built.select(".vega-figure")) > 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\(N\)", ("N", False)),
        (r" \[\begin{split}C\end{split}\] ", (r"\begin{split}C\end{split}", True)),
    ],
)
def test_a_formula_is_known_as_shown_in_a_line_or_by_itself(text, found) -> None:
    assert ebook.formula(text) == found


def test_a_page_of_the_e_book_is_well_formed_and_names_its_charts() -> None:
    page = """<html><body><input name="N"><p>One<br>two
      <span class="math">\\(N\\)</span></p><img src="../_images/a.svg"></body></html>"""
    soup = ebook.parsed(page)
    files = {"_images/a.svg": b'<svg role="img" aria-label="Loss &lt; 2">'}
    ebook.told(soup, "book/law.xhtml", files)
    soup.select_one(".math")["data-tex"] = r"\(N\)"
    text = ebook.finished(soup, {("N", False): "<math><mi>N</mi></math>"})
    assert "<mi>N</mi>" in text
    assert "<input" not in text
    assert 'alt="Loss &lt; 2"' in text


def test_the_e_book_has_no_controls_and_no_chart_that_only_they_fill() -> None:
    page = '<div class="planner"><input></div><p>Words</p><img src="../_images/a.svg">'
    text = ebook.parsed(page).get_text()
    assert ebook.MOVED in text
    assert "Words" in text
    assert not ebook.parsed(page).select(".planner, img")
