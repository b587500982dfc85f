import ast
import re
from pathlib import Path

import pytest

from simlib.analysis.numbers import count
from simlib.pages import claims
from simlib.pages.tables import Table
from simlib.pages.words import counted, listed, out_of, sentence, signed, some

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.md")]
SPACED = re.compile(r"[\d`}][ \N{NO-BREAK SPACE}]%(?![\w(])(?! [\w(])|\d % of ")
DOUBLED = re.compile(r"\b(the|a|an|of|to|in|is|that|and) \1\b", re.IGNORECASE)


def texts() -> list[tuple[str, str]]:
    """Where a sentence of the book may stand: pages, scripts, and strings of the library."""
    found = [(str(p), p.read_text()) for p in PAGES]
    found += [(str(p), p.read_text()) for p in ROOT.glob("book/assets/static/*.js")]
    for path in ROOT.glob("simlib/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append((f"{path}:{node.lineno}", node.value))
    return found


def test_percent_signs_follow_their_number_without_a_space() -> None:
    said = [(where, m[0]) for where, text in texts() for m in SPACED.finditer(text)]
    # in an f-string the number is a part of its own, and the sign begins the next
    said += [
        (where, text) for where, text in texts() if re.match(r" %(?![\w(])( of |$|[.,;)])", text)
    ]
    assert not said


def test_no_page_says_a_small_word_twice() -> None:
    prose = {p.name: re.sub(r"`[^`]*`", "", p.read_text()) for p in PAGES}
    assert not [(name, m[0]) for name, text in prose.items() for m in DOUBLED.finditer(text)]


@pytest.mark.parametrize(
    ("names", "text"),
    [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_lists_read_as_one_says_them(names: list[str], text: str) -> None:
    assert listed(names) == text


def test_nouns_follow_their_number() -> None:
    assert [counted(n, "run") for n in (0, 1, 2, 1000)] == [
        "0 runs",
        "1 run",
        "2 runs",
        "1,000 runs",
    ]
    assert counted(2, "series", "series") == "2 series"


def test_sentences_begin_with_a_capital_but_coefficients_keep_their_case() -> None:
    assert sentence("our GPT runs, b_D") == "Our GPT runs, b_D"
    assert sentence("a weight") == "A weight"
    assert [sentence(t) for t in ("c_S / (a_S + c_S)", "b_D", "c")] == [
        "c_S / (a_S + c_S)",
        "b_D",
        "c",
    ]


def test_minus_signs_are_set_and_hyphens_stay() -> None:
    assert signed("-1.0% (-2 to -.5)") == "−1.0% (−2 to −.5)"
    assert signed("-0.0% (-0.1% to +0.0%)") == "0.0% (−0.1% to 0.0%)"
    assert signed("+0.0395, -0.01") == "+0.0395, −0.01"
    for text in ("1e-6", "2-3", "gpt-2", "-p seed", "T5-XL", "2026-11-28", "(a)-1"):
        assert signed(text) == text
    html = Table(("x",), [("-3",)])._repr_mimebundle_()["text/html"]
    assert "<td>−3</td>" in html


def test_counts_have_one_unit_and_no_power_of_ten() -> None:
    counts = [count(v) for v in (350, 14_200, 7e9, 1.5e12, 999.6e12, 1.22e15)]
    assert counts == ["350", "14.2K", "7B", "1.5T", "1,000T", "1,220T"]


def test_parts_of_a_whole_read_as_one_says_them() -> None:
    said = [out_of(k, n, "pair") for k, n in ((0, 3), (1, 3), (3, 3), (1, 1), (0, 1), (0, 0))]
    assert said == [
        *("none of 3 pairs", "1 of 3 pairs", "all 3 pairs", "the only pair", "0 of 1 pair"),
        "no pair",
    ]
    assert out_of(2000, 3000, "pair") == "2,000 of 3,000 pairs"
    assert [some(n, "lies", "lie") for n in (0, 1, 2)] == ["none lies", "1 lies", "2 lie"]


def test_verdicts_are_counted_in_a_sentence() -> None:
    found = claims.counted_verdicts({"holds": 1, "contradicted": 0, "undecided": 12})
    assert found == "1 holds, none is contradicted and 12 are undecided"
