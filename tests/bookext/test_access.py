"""What a page's readers need besides its text: headers that say something, words for a search."""

import pytest

from simlib.bookext.access import mended
from simlib.bookext.search import text_of


@pytest.mark.parametrize(
    ("cell", "after"),
    [
        ("<th></th>", "<td></td>"),
        ('<th class="head"><p></p></th>', '<td class="head"><p></p></td>'),
        ('<th scope="col">loss</th>', '<th scope="col">loss</th>'),
        ("<thead><tr></tr></thead>", "<thead><tr></tr></thead>"),
    ],
)
def test_an_empty_header_cell_is_no_header(cell, after):
    assert mended(f"<tr>{cell}</tr>") == f"<tr>{after}</tr>"


def test_a_search_reads_the_article_by_sections_without_what_is_not_read():
    page = """<nav>menu</nav><article class="bd-article"><section id="a"><h1>Title</h1>
      <script>var hidden = 1</script><p>One <b>word</b>.</p><svg><text>mark</text></svg></section>
      </article><footer>end</footer>"""
    assert text_of(page) == '<section id="a"> Title One word . </section>'
