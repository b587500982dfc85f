"""A description is the first paragraph of a page; a card has a picture where a site is known."""

import pytest
from docutils.core import publish_doctree

from simlib.bookext import cards


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Title\n=====\n\nOne *word*\nmore.\n\nNext.", "One word more."),
        ("Title\n=====\n\n" + "word, " * 60, "word, " * 32 + "word …"),
        ("Title\n=====\n", ""),
    ],
)
def test_a_description_is_the_first_paragraph_cut_between_words(text, found):
    assert cards.description(publish_doctree(text)) == found
    assert len(found) <= cards.LONGEST + 2


def test_a_card_has_a_picture_only_where_the_site_has_an_address():
    without = cards.tags("A <b>", 'says "so"', "", "book/law")
    assert "og:image" not in without
    assert 'content="A &lt;b&gt;"' in without
    assert 'name="description" content="says &quot;so&quot;"' in without
    at = cards.tags("A", "so", "https://me.example/book/", "book/law")
    assert 'property="og:url" content="https://me.example/book/book/law.html"' in at
    assert f'content="https://me.example/book/{cards.PICTURE}"' in at
