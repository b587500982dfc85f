"""No two pages contradict each other: the built book is held against itself and the scorecard."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations

import pytest
from browsing import HTML, ROOT, pages
from bs4 import BeautifulSoup, Tag

from simlib.claims import CLAIMS, SOURCES, scorecard
from simlib.claims.evidence import Evidence
from simlib.pages import claims
from simlib.pages.names import TABLES
from simlib.pages.tables import MOST_OPEN
from simlib.pages.words import out_of, sentence

EXECUTED = ROOT / "_build" / "jupyter_execute"
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
PAGES = pages()
# what a cell speaks of wherever it stands; of any other row its own page is the subject
SUBJECTS = {*TABLES, *TABLES.values(), *(sentence(name) for name in TABLES.values())}

pytestmark = pytest.mark.skipif(not HTML.is_dir(), reason="the book is not built: make book")


@cache
def page(name: str) -> Tag:
    """The article of a page, as it was rendered."""
    soup = BeautifulSoup((HTML / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    found = soup.find("article", class_="bd-article") or soup.find("main")
    assert isinstance(found, Tag)
    return found


@cache
def glued(name: str) -> dict[str, str]:
    """What a page put into its own sentences, by name."""
    kept = json.loads((EXECUTED / f"{name}.glue.json").read_text(encoding="utf-8"))
    return {key: str(ast.literal_eval(v["data"]["text/plain"])) for key, v in kept.items()}


def numbers(text: str) -> list[tuple[float, float]]:
    """Every number of a text, and half a unit of its last printed place."""
    found = []
    for said in NUMBER.findall(text.replace("−", "-")):
        plain = said.replace(",", "")
        mantissa, _, exponent = plain.partition("e")
        decimals = len(mantissa.partition(".")[2])
        found.append((float(plain), 0.5 * 10.0 ** (int(exponent or 0) - decimals)))
    return found


def agree(one: str, other: str) -> bool:
    """Whether two texts state the same numbers, but for rounding."""
    left, right = numbers(one), numbers(other)
    return len(left) == len(right) and all(
        abs(a - b) <= 1.001 * (half + other_half)
        for (a, half), (b, other_half) in zip(left, right, strict=True)
    )


def test_rounding_is_no_contradiction_and_another_number_is() -> None:
    assert agree("2.17 (2.08 to 2.32)", "2.2 × (2.1 to 2.3)")
    assert not agree("2.17 (2.08 to 2.32)", "2.17 (2.08 to 2.45)")
    assert not agree("0.43", "42%")
    assert not agree("1.1e9", "1.3e9")
    assert not agree("5", "5 to 6")


def cells() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Each numeric cell of each table: header, row and column; the page; what stands there."""
    for name in PAGES:
        for table in page(name).find_all("table"):
            lines = [
                [cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])]
                for row in table.find_all("tr")
            ]
            header = lines[0] if lines else []
            for row in lines[1:]:
                if len(row) != len(header):
                    continue
                for column, cell in zip(header[1:], row[1:], strict=True):
                    if numbers(cell) and {row[0], column} & SUBJECTS:
                        kind = header[0] if column in SUBJECTS else " ".join(header)
                        yield (kind, row[0], column), name, cell


def test_the_same_row_and_column_say_the_same_on_every_page() -> None:
    seen: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for key, name, cell in cells():
        seen.setdefault(key, {}).setdefault(name, set()).add(cell)
    shared = {key: found for key, found in seen.items() if len(found) > 1}
    assert shared, "no number stands on two pages"
    apart = [
        f"{key[-2]}, {key[-1]}: {a!r} on {one}, {b!r} on {other}"
        for key, found in shared.items()
        for (one, left), (other, right) in combinations(found.items(), 2)
        for a in left
        for b in right
        if len(left) == len(right) == 1 and not agree(a, b)
    ]
    assert not apart, "\n".join(apart)


def evidence(rule: str, runs: str, part: str = "") -> Evidence:
    """A piece of the scorecard's evidence."""
    found = scorecard(only=[rule.partition(".")[0]]).values()
    return next(
        e for o in found for e in o.evidence if (e.rule, e.runs, e.part) == (rule, runs, part)
    )


def held(rule: str, runs: str) -> tuple[int, int]:
    """How many runs of how many lie inside their intervals, by a note on those outside."""
    match = re.match(r"(\d+) of (\d+)", evidence(rule, runs).note)
    assert match
    missed, total = map(int, match.groups())
    return total - missed, total


def inside(rule: str, runs: str) -> str:
    return out_of(*held(rule, runs), "run")


def share(rule: str, runs: str) -> str:
    found, total = held(rule, runs)
    return f"{found / total:.0%}"


def text(rule: str, runs: str, part: str = "") -> str:
    return claims.estimate_text(evidence(rule, runs, part))


VIT, T5, GPT = "ViT on JFT-4B", "T5 on C4", "gpt-laptop"


def both(name: str, key: str) -> str:
    """A glued value with its interval, written as in the scorecard."""
    found = glued(name)
    return f"{found[key]} ({found[f'{key}_interval']})"


SAME = {
    "what a weight is worth, ViT": lambda: (both("index", "vit_worth"), text("C11", VIT)),
    "what a weight is worth, T5": lambda: (both("index", "t5_worth"), text("C11", T5)),
    "what a weight is worth, ours": lambda: (
        glued("notebooks/gpt_sweep")["multiplier"],
        text("C11", GPT),
    ),
    "excess of the published T5 objective": lambda: (glued("index")["t5_excess"], text("B1", T5)),
    "where half should be zero": lambda: (
        both("index", "t5_half"),
        both("notebooks/fit_released", "half"),
    ),
    "where half should be zero, published": lambda: (
        glued("index")["t5_half_published"],
        glued("notebooks/fit_released")["half_published"],
    ),
    "where sparsity begins to pay": lambda: (
        both("notebooks/fit_released", "onset"),
        text("C9", T5),
    ),
    "held of the larger half, T5": lambda: (glued("index")["t5_held"], share("B6", T5)),
    "held of the larger half, ViT": lambda: (glued("index")["vit_held"], share("B6", VIT)),
    "held of the larger half, ours": lambda: (glued("index")["own_held"], share("B6", GPT)),
    "inside, larger half of ours": lambda: (
        glued("notebooks/extrapolation")["half_inside"],
        inside("B6", GPT),
    ),
    "inside, predicted ahead": lambda: (
        glued("notebooks/extrapolation")["ahead_inside"],
        inside("C6.inside", "holdout-laptop"),
    ),
    "error, predicted ahead": lambda: (
        glued("notebooks/extrapolation")["ahead_rmse"],
        text("C6.error", "holdout-laptop"),
    ),
    **{
        f"best share of experts: {key}": lambda key=key: (
            glued("index")[key],
            glued("notebooks/experts")[key],
        )
        for key in ("experts_one", "experts_twenty", "experts_one_dense", "experts_twenty_dense")
    },
    "pairs at equal cost": lambda: (
        glued("index")["own_pairs"],
        glued("notebooks/equal_cost")["seen_dense"],
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_a_quantity_has_one_value_wherever_it_stands(what: str) -> None:
    one, other = SAME[what]()
    assert agree(one, other), f"{what}: {one!r} and {other!r}"


def test_the_run_that_the_authors_held_out_lies_on_one_side_everywhere() -> None:
    outside = evidence("C6", T5).value > 1
    assert glued("notebooks/fit_released")["xl_verdict"] == ("outside" if outside else "inside")
    assert glued("notebooks/extrapolation")["released_inside"] == out_of(int(not outside), 1, "run")


def test_patterns_drift_alike_on_their_page_and_in_the_scorecard() -> None:
    tables = page("notebooks/nm_patterns").find_all("table")
    (trend,) = (t for t in tables if "each doubling of size" in t.get_text())
    rows = [[c.get_text(strip=True) for c in r.find_all("td")] for r in trend.find_all("tr")[1:]]
    answers = {"holds": "yes", "contradicted": "no", "undecided": "undecided"}
    found = [e for o in scorecard(only=["C12"]).values() for e in o.evidence]
    drifts = {e.part: e for e in found if e.rule == "C12.drift"}
    assert drifts
    for row in rows:
        for part, e in drifts.items():
            if row[0].startswith(part):
                assert agree(row[1].removeprefix("×"), claims.estimate_text(e))
                assert row[2] == answers[e.verdict]


def test_verdicts_are_counted_and_told_alike() -> None:
    outcomes = {c: o for c, o in scorecard().items() if c.id[0] == "C"}
    for source in ("released", "own"):
        said = claims.counted_verdicts(claims.counts(outcomes, source))
        for name in ("index", "notebooks/claims"):
            assert glued(name)[source] == said, f"{source} on {name}"
    assert set(SOURCES) >= {"released", "own"}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_the_section_that_a_card_links_to_has_its_verdict_and_its_numbers(claim: object) -> None:
    short = page("notebooks/claims").find(id=claim.id)  # type: ignore[attr-defined]
    assert isinstance(short, Tag)
    address, _, anchor = short.find("a")["href"].partition("#")  # type: ignore[index, union-attr]
    target = page(address.removeprefix("../").removesuffix(".html")).find(id=anchor)
    assert isinstance(target, Tag)
    assert target.find("strong").text == short.find("strong").text  # type: ignore[union-attr]
    shown = target.get_text(" ")
    for row in short.select(".estimate"):
        assert row.find_all("span")[-1].text in shown


@pytest.mark.parametrize("name", PAGES)
def test_few_tables_stand_open_and_every_chart_has_a_numbered_caption(name: str) -> None:
    tables = [t for t in page(name).find_all("table") if not t.find_parent("details")]
    assert len(tables) <= MOST_OPEN, [t.get_text(" ")[:60] for t in tables]
    captions = [c.find("strong").text for c in page(name).select(".chart-caption")]
    charts = len(page(name).select(".vega-figure"))
    assert captions == [f"Figure {i}." for i in range(1, charts + 1)]


def test_losses_of_bytes_are_not_called_losses_of_tokens() -> None:
    for name in PAGES:
        if "gpt_sweep" in name or "optimum_check" in name or "nm_patterns" in name:
            assert "nats per token" not in str(page(name)), name


def test_the_quickstart_ends_with_an_answer() -> None:
    found = glued("notebooks/quickstart")
    assert "Neither" not in found["outcome"]
    assert float(found["errors"]) > 3
