"""Every page of the built book, as a reader without a network sees it."""

import csv
import re

import numpy as np
import pytest
from browsing import HTML, READY, Opener, pages, violations

from simlib.datasets import load_law

PAGES = pages()

SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# words that the right edge cuts off a chart as wide as its page; panels may scroll
CUT = """() => [...document.querySelectorAll('.vega-figure')].filter(f => {
    const { width, mark, layer, encoding } = JSON.parse(f.querySelector('.vega-spec').textContent);
    return f.offsetParent && width === 'container' && (mark || layer) && !encoding?.column; })
  .flatMap(f => [...f.querySelectorAll('svg text')].filter(t => t.textContent.trim()
    && t.getBoundingClientRect().right > f.getBoundingClientRect().right + 2))
  .map(t => t.textContent)"""
UNNAMED = """() => [
  ...[...document.querySelectorAll('main img')].filter(i => !i.alt).map(i => i.outerHTML),
  ...[...document.querySelectorAll('.vega-figure')].filter(f => f.offsetParent)
       .map(f => f.querySelector('[role=graphics-document]')?.getAttribute('aria-label') ?? '')
       .filter(text => text.split(' ').length < 5),
  ...[...document.querySelectorAll('main input:not([type=hidden])')]
       .filter(i => !i.closest('header') && !i.getAttribute('aria-label') && !i.labels.length)
       .map(i => i.outerHTML),
]"""
# the drawn shapes, not the axes: a slider that only moves a label has moved nothing
MARKS = """f => [...f.querySelectorAll('svg.marks .mark-line path, svg.marks .mark-area path,'
  + ' svg.marks .mark-rect path, svg.marks .mark-symbol path, svg.marks .mark-rule line,'
  + ' svg.marks .mark-text text')].map(p => p.outerHTML).join()"""


def pages_with(mark: str) -> list[str]:
    """Pages whose HTML holds `mark`; all of them while the book is not built."""
    files = {name: HTML / f"{name}.html" for name in PAGES}
    return [n for n, f in files.items() if not f.is_file() or mark in f.read_text(encoding="utf-8")]


SHOWN = ".vega-figure:visible"
CHARTS, SLIDERS = pages_with('class="vega-spec"'), pages_with('"input":"range"')


@pytest.mark.parametrize("name", PAGES)
def test_page_is_complete_without_a_network_and_names_what_it_shows(
    opened: Opener, name: str
) -> None:
    page = opened(name)
    states = page.page.eval_on_selector_all(SHOWN, "fs => fs.map(f => f.dataset.ready)")
    assert set(states) <= {"light"}
    assert page.page.evaluate(UNNAMED) == []
    assert violations(page.page) == []
    page.watch.assert_clean()


@pytest.mark.parametrize("name", PAGES)
def test_page_works_opened_as_a_file(opened: Opener, name: str) -> None:
    opened(name, as_file=True).watch.assert_clean()


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_phone_in_the_dark(opened: Opener, name: str) -> None:
    page = opened(name, width=390, dark=True)
    assert page.page.evaluate(SIDEWAYS) <= 0
    assert page.page.evaluate(CUT) == []
    states = page.page.eval_on_selector_all(SHOWN, "fs => fs.map(f => f.dataset.ready)")
    assert set(states) <= {"dark"}
    assert violations(page.page) == []
    page.watch.assert_clean()


@pytest.mark.parametrize("name", SLIDERS)
def test_every_slider_moves_its_chart_by_keyboard(opened: Opener, name: str) -> None:
    page = opened(name).page
    for figure in page.query_selector_all(".vega-figure:has(input[type=range])"):
        for slider in figure.query_selector_all("input[type=range]"):
            before, shown = figure.evaluate(MARKS), slider.get_attribute("aria-valuetext")
            slider.focus()
            for key in ("ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight", "ArrowRight"):
                # at an end of its range a slider moves one way only: both ways are tried
                page.keyboard.press(key)
                page.wait_for_timeout(60)
                if figure.evaluate(MARKS) != before:
                    break
            assert figure.evaluate(MARKS) != before, f"{slider.get_attribute('aria-label')}"
            assert slider.get_attribute("aria-valuetext") != shown


@pytest.mark.parametrize("name", CHARTS)
def test_numbers_of_every_chart_are_one_click_away(opened: Opener, name: str) -> None:
    page = opened(name).page
    # one that waits for a reader's own table is not shown yet
    for figure in page.query_selector_all(SHOWN):
        figure.query_selector(".vega-numbers > summary").click()
        link = figure.wait_for_selector(".vega-numbers a[download$='.csv']")
        lines = page.evaluate("u => fetch(u).then(r => r.text())", link.get_attribute("href"))
        header, *rows = lines.strip().splitlines()
        shown = figure.query_selector(".numbers-table").query_selector_all("thead th")
        assert len(shown) == len(header.split(","))
        assert rows


def test_switch_to_dark_keeps_the_sliders(opened: Opener) -> None:
    for name in SLIDERS:
        page = opened(name).page
        slider = page.query_selector(".vega-figure input[type=range]")
        if slider is None:
            continue
        slider.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        before = [
            s.input_value() for s in page.query_selector_all(".vega-figure input[type=range]")
        ]
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.wait_for_selector(".vega-figure[data-ready=dark] input[type=range]")
        page.wait_for_function(
            "() => [...document.querySelectorAll('.vega-figure')]"
            ".every(f => f.dataset.ready === 'dark')"
        )
        after = [s.input_value() for s in page.query_selector_all(".vega-figure input[type=range]")]
        assert after == before
        return
    pytest.fail("no page of the book has a slider")


@pytest.mark.parametrize("as_file", [False, True])
def test_search_puts_a_title_first_with_an_excerpt_and_forgets_its_words(
    opened: Opener, as_file: bool
) -> None:
    page = opened("search", as_file=as_file)
    page.page.goto(page.page.url + "?q=scorecard")
    first = page.page.wait_for_selector("#search-results li:has(p)")
    assert first.query_selector("a").get_attribute("href").startswith("notebooks/claims.html")
    assert "scorecard" in first.query_selector("p").inner_text().lower()
    page.page.goto(page.page.url.partition("search.html")[0] + "index.html")
    page.page.wait_for_function(READY)
    assert page.page.query_selector(".highlighted") is None
    page.watch.assert_clean()


def test_links_and_anchors_inside_the_book_lead_somewhere(opened: Opener) -> None:
    anchors: dict[str, set[str]] = {}
    links: list[tuple[str, str]] = []
    for name in PAGES:
        page = opened(name).page
        anchors[name] = set(page.eval_on_selector_all("[id]", "es => es.map(e => e.id)"))
        found = page.eval_on_selector_all("a[href]", "as => as.map(a => a.href)")
        links += [(name, href) for href in found]
    site = opened.site
    inside = {(name, href[len(site) + 1 :]) for name, href in links if href.startswith(site)}
    assert inside
    for name, href in sorted(inside):
        path, _, anchor = re.sub(r"\?.*?(?=#|$)", "", href).partition("#")
        assert (HTML / (path or "index.html")).is_file(), f"{name} links to {href}"
        target = path.removesuffix(".html")
        if "=" in anchor:
            assert target == "book/planner", f"{name} gives a plan to {href}"
        elif anchor and target in anchors:
            assert anchor in anchors[target], f"{name} links to {href}"


def test_the_law_in_the_page_is_the_law_of_the_library(opened: Opener) -> None:
    """The page computes the curve in JavaScript from a formula written out for it."""
    law = load_law("t5-c4").joint
    page = opened("book/law").page
    figure = page.query_selector(".vega-figure:has(input[name=S])")
    for name, key in (("S", "ArrowRight"), ("log10_D", "ArrowLeft")):
        figure.query_selector(f"input[name={name}]").focus()
        page.keyboard.press(key)
        page.keyboard.press(key)
    page.wait_for_timeout(200)
    read = "f => ['S', 'log10_D'].map(n => f._view.signal(n))"
    sparsity, log10_D = figure.evaluate(read)
    assert (sparsity, log10_D) == pytest.approx((0.77, 10.3))
    figure.query_selector(".vega-numbers > summary").click()
    link = figure.wait_for_selector(".vega-numbers a[download$='.csv']").get_attribute("href")
    lines = page.evaluate("u => fetch(u).then(r => r.text())", link).strip().splitlines()
    rows = list(csv.DictReader(lines))
    N = np.array([float(row["nonzero_params"]) for row in rows])
    S = np.array([0.0 if row["model"] == "dense" else sparsity for row in rows])
    shown = np.array([float(row["loss"]) for row in rows])
    assert len(rows) > 100
    np.testing.assert_allclose(shown, law(S, N, 10.0**log10_D), rtol=1e-12)
