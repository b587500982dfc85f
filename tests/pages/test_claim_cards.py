"""A card says what the evidence says, draws it where it lies, and leads to the whole of it."""

import re
from pathlib import Path

import pytest

from simlib.claims import CLAIMS, scorecard
from simlib.claims.evidence import Evidence, Missing, Outcome, Power, Region
from simlib.claims.power import CATALOG, load_powers
from simlib.pages.cards import Cards, deciding, headline, of_page, why
from simlib.pages.claims import power_label
from simlib.pages.names import spoken
from simlib.pages.words import sentence

ROOT = Path(__file__).parents[2]
TRUSTED = Power("R", "ours", "", 100, 0.9, 0.0, 0.0, 0.9, 0.0)
WEAK = Power("R", "ours", "", 100, 0.9, 0.3, 0.4, 0.3, 0.3)
SIX = next(claim for claim in CLAIMS if claim.id == "C6")


def evidence(low: float, high: float, **change: object) -> Evidence:
    settings = {"runs": "gpt-laptop", "source": "own", "power": TRUSTED, **change}
    return Evidence(
        "R",
        settings.pop("runs"),
        settings.pop("source"),
        "gain",
        (low + high) / 2,
        (low, high),
        Region(0.0),
        **settings,
    )


INSIDE, ACROSS, OUTSIDE = (1.0, 2.0), (-1.0, 2.0), (-3.0, -1.0)


def places(card: str) -> list[tuple[float, float]]:
    """Where each interval is drawn, from left to right."""
    found = re.findall(r'class="interval" x1="([\d.]+)" x2="([\d.]+)"', card)
    return [(float(a), float(b)) for a, b in found]


def html(*found: Evidence, **options: bool) -> str:
    return Cards({SIX: Outcome(found)}, **options)._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(
    ("found", "said", "reason"),
    [
        ([INSIDE], "Holds here", "where the claim holds"),
        ([OUTSIDE], "Contradicted here", "where the claim fails"),
        ([ACROSS], "Undecided here", "others for which it fails"),
        (
            [INSIDE, ACROSS],
            "Undecided here (holds in 1 of 2 comparisons)",
            "others for which it fails",
        ),
        ([INSIDE, OUTSIDE, INSIDE], "Contradicted here (in 1 of 3 comparisons)", "claim fails"),
    ],
)
def test_the_headline_names_the_exceptions_and_the_reason_is_one(found, said, reason):
    outcome = Outcome(tuple(evidence(*ends) for ends in found))
    assert headline(outcome) == said
    assert reason in why(outcome)
    assert deciding(outcome)[0].verdict == outcome.verdict("own")


def test_at_scale_and_here_are_told_apart_and_the_doubt_is_explained():
    released = evidence(*INSIDE, runs="ViT on JFT-4B", source="released")
    outcome = Outcome((released, evidence(*INSIDE, power=WEAK)))
    assert headline(outcome) == "Holds at scale, undecided here"
    assert why(outcome).startswith("Our GPT runs: the interval speaks for the claim, but")
    assert "errs too often" in why(outcome)
    unknown = Outcome((released, evidence(*INSIDE, power=None)))
    assert "is not known yet" in why(unknown)


def test_runs_that_could_not_be_asked_say_why():
    outcome = Outcome(missing=(Missing("gpt-laptop", "own", "gpt-laptop: no pair of runs"),))
    assert why(outcome) == "Our GPT runs: no pair of runs."
    assert Cards({SIX: outcome})._repr_mimebundle_()["text/html"].count("<svg") == 0


def test_intervals_of_a_rule_share_a_scale_and_an_open_end_reaches_the_edge():
    left, right = places(html(evidence(-3, -1, part="a"), evidence(1, 2, part="b"), whole=True))
    assert left[0] < left[1] < right[0] < right[1]
    assert (left[1] - left[0]) == pytest.approx(2 * (right[1] - right[0]), abs=0.2)
    ((_, end),) = places(html(evidence(1, float("inf"))))
    assert end == 200


def test_a_card_leads_to_the_place_where_all_of_its_evidence_stands():
    short, whole = (html(*[evidence(*INSIDE)] * 3, whole=w) for w in (False, True))
    assert f'href="../{SIX.page.replace(".md", ".html")}#C6"' in short
    assert 'id="C6"' in whole
    assert (short.count("<svg"), whole.count("<svg")) == (1, 3)


def test_every_page_that_a_claim_names_shows_its_claims():
    for page in {claim.page for claim in CLAIMS}:
        assert f'of_page("{page}")' in (ROOT / page).read_text(), page
        cards = of_page(page)._repr_mimebundle_()["text/html"]
        ids = [claim.id for claim in CLAIMS if claim.page == page]
        assert re.findall(r'<article class="claim-card" id="(\w+)"', cards) == ids


def test_hostile_names_are_text():
    card = html(evidence(*INSIDE, runs="<script>", part="<img src=x>"), whole=True)
    assert "<script>" not in card
    assert "<img" not in card


def test_names_of_tables_become_words_and_nothing_else_does():
    said = spoken("gpt-laptop, t5-c4-refit-total and my-gpt-laptop")
    assert said == "our GPT runs, T5 on C4, embeddings counted and my-gpt-laptop"


def test_a_region_with_a_margin_says_from_where_on_it_is_contradicted():
    from simlib.claims.evidence import Region
    from simlib.pages.claims import region_text

    assert (
        region_text(Region(0, 0.01, margin=0.005), "%") == "at most 1.0% (contradicted above 1.5%)"
    )
    assert region_text(Region(0.0, margin=0.1), "") == "at least 0 (contradicted below -0.100)"
    both = region_text(Region(0.9, 1.1, margin=0.1), "x")
    assert both == "0.900 × to 1.10 × (contradicted below 0.800 × or above 1.20 ×)"
    assert region_text(Region(0.0), "") == "at least 0"


def test_a_reason_can_be_asked_of_one_source_alone():
    """A claim that is contradicted at scale may be undecided here for a reason of its own."""
    outcome = Outcome((evidence(*OUTSIDE, runs="vit-jft", source="released"), evidence(*ACROSS)))
    assert why(outcome).startswith("ViT on JFT-4B")
    across = "the interval holds values for which the claim holds and others for which it fails"
    assert why(outcome, "own") == f"Our GPT runs: {across}."


def test_parts_and_symbols_keep_their_letters():
    card = html(evidence(*INSIDE, part="b_D"), evidence(*INSIDE, part="acdc, constant"), whole=True)
    assert "<span>b_D</span>" in card
    assert "<span>acdc, constant</span>" in card
    assert sentence("c_S / (a_S + c_S)") == "c_S / (a_S + c_S)"
    assert sentence("our GPT runs") == "Our GPT runs"


def test_the_power_of_a_grid_is_not_called_that_of_a_table_without_its_runs():
    """The scorecard must not state a power in one place and call it unknown in another."""
    for name in CATALOG.names():
        powers = load_powers(name)
        used = {e.power for o in scorecard().values() for e in o.evidence} & set(powers.powers)
        assert bool(used) == (power_label(powers) == spoken(name))
