"""One card a claim: what it says, the verdicts, its estimates as intervals, and why."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from simlib.claims import CLAIMS, scorecard
from simlib.claims.evidence import SOURCES, Evidence, Outcome, Source
from simlib.claims.rule import Claim
from simlib.pages.claims import MARKS, estimate_text, region_text
from simlib.pages.names import spoken
from simlib.pages.notebooks import title
from simlib.pages.words import sentence, signed

PLACES: dict[Source, str] = {"released": "at scale", "others": "elsewhere", "own": "here"}
WIDTH, HEIGHT, PAD = 200, 18, 6.0  # of the strip that an interval is drawn on, in its own units
# more than a card can show: sets of runs that say the same are told in a line
ROWS = 5
STYLE = """<style>
.claim-cards { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(23rem, 100%), 1fr)); }
.claim-card { border: 1px solid var(--pst-color-border); border-radius: .4rem;
  padding: .6rem .8rem; font-size: .84rem; line-height: 1.35; scroll-margin-top: 5rem; }
.claim-card p { margin: 0 0 .35rem; }
.claim-card .claim-says { font-size: .95rem; font-weight: 600; }
.claim-card .muted { color: var(--pst-color-text-muted); }
.claim-card .estimate { display: grid; gap: .5rem; align-items: center;
  grid-template-columns: 6.4rem minmax(4rem, 1fr) 9.6rem; font-variant-numeric: tabular-nums; }
.claim-card svg { width: 100%; height: 18px; display: block; }
.claim-card .region { fill: var(--pst-color-success); opacity: .22; }
.claim-card .axis { stroke: var(--pst-color-border); }
.claim-card .interval { stroke: currentColor; stroke-width: 2; }
.claim-card .value { fill: currentColor; }
</style>"""


def _text(words: str) -> str:
    return html.escape(signed(words))


class Cards:
    """The claims of `outcomes` as cards; `whole` shows all evidence and gives each card its id.

    A card links to the section of the claim's page where the whole of its evidence stands.
    """

    def __init__(self, outcomes: Mapping[Claim, Outcome], whole: bool = False) -> None:
        self.outcomes, self.whole = outcomes, whole

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        cards = "".join(self._card(claim, found) for claim, found in self.outcomes.items())
        text = "\n".join(f"{c.id} {c.statement} {headline(o)}." for c, o in self.outcomes.items())
        return {"text/html": f'{STYLE}<div class="claim-cards">{cards}</div>', "text/plain": text}

    def _card(self, claim: Claim, outcome: Outcome) -> str:
        says = _text(f"{claim.id}. {claim.statement}")
        shown = list(outcome.evidence) if self.whole else deciding(outcome)
        reason = f"<strong>{_text(headline(outcome))}.</strong> {_text(why(outcome))}"
        parts = [f'<p class="claim-says">{says}</p>', f"<p>{reason}</p>", *_plots(shown)]
        if not self.whole:
            address = f"../{Path(claim.page).with_suffix('.html')}#{claim.id}"
            parts.append(f'<p><a href="{address}">{_text(title(claim.page))}</a></p>')
        else:
            notes = dict.fromkeys(f"{e.runs}: {e.note}" for e in shown if e.note)
            if claim.paper:
                notes = {f"the paper: {claim.paper}": None, **notes}
            parts += [f'<p class="muted">{_text(sentence(spoken(n)))}.</p>' for n in notes]
        anchor = f' id="{claim.id}"'
        return f'<article class="claim-card"{anchor}>{"".join(parts)}</article>'


def of_page(page: str) -> Cards:
    """The claims whose evidence a page shows, such as `notebooks/pruners.md`, with all of it."""
    ids = [claim.id for claim in CLAIMS if claim.page == page]
    return Cards(scorecard(only=ids), whole=True)


def headline(outcome: Outcome) -> str:
    """The verdicts in words, with the share of the evidence behind them where it is mixed."""
    said = [_verdict(outcome, source) for source in SOURCES if outcome.verdict(source)]
    return sentence(", ".join(said)) if said else "Not asked"


def _verdict(outcome: Outcome, source: Source) -> str:
    verdict = outcome.verdict(source)
    found = [e.verdict for e in outcome.evidence if e.source == source]
    words = f"{verdict} {PLACES[source]}"
    number = found.count("contradicted" if verdict == "contradicted" else "holds")
    if verdict == "holds" or not 0 < number < len(found):
        return words
    share = f"in {number} of {len(found)} comparisons"
    return f"{words} ({share})" if verdict == "contradicted" else f"{words} (holds {share})"


def deciding(outcome: Outcome) -> list[Evidence]:
    """For each set of runs the piece of evidence that its verdict rests on, at most `ROWS`."""
    sets = [(source, runs) for source in SOURCES for runs in outcome.by_runs(source)]
    found = [_deciding(outcome, source, runs) for source, runs in sets]
    return [e for e in found if e][:ROWS]


def _deciding(outcome: Outcome, source: Source, runs: str) -> Evidence | None:
    of_runs = [e for e in outcome.evidence if e.runs == runs and e.source == source]
    verdict = outcome.of_runs(runs)
    return next((e for e in of_runs if e.verdict == verdict), next(iter(of_runs), None))


def why(outcome: Outcome, *only: Source) -> str:
    """One sentence: what makes the claim hold, or what keeps it from holding.

    Told of the runs whose verdict is the most critical one, our own where several are; with sources
    given, of theirs alone.
    """
    for verdict in ("contradicted", "undecided", "holds"):
        for source in only or reversed(list(SOURCES)):
            if outcome.verdict(source) == verdict:
                return _reason(outcome, source, verdict)
    return ""


def _reason(outcome: Outcome, source: Source, verdict: str) -> str:
    sets = [runs for runs, found in outcome.by_runs(source).items() if found == verdict]
    known = [e for runs in sets if (e := _deciding(outcome, source, runs))]
    found = next((e for e in known if e.verdict == verdict), None)
    if found:
        return f"{sentence(spoken(found.label))}: {_answer(found)}."
    said = next(m.why for m in outcome.missing if m.runs in sets)
    return sentence(spoken(said)) + "."


def _answer(e: Evidence) -> str:
    if e.verdict == "holds":
        return "all of the interval lies where the claim holds"
    if e.verdict == "contradicted":
        return "all of the interval lies where the claim fails"
    if e.answer == "undecided":
        return "the interval holds values for which the claim holds and others for which it fails"
    side = "for" if e.answer == "supports" else "against"
    doubt = (
        "how often the rule errs on these runs is not known yet"
        if e.power is None
        else "on virtual runs the rule errs too often to be believed"
    )
    return f"the interval speaks {side} the claim, but {doubt}"


def _plots(shown: Sequence[Evidence]) -> Iterable[str]:
    """The pieces of evidence rule by rule, each rule on one scale."""
    for rule in dict.fromkeys(e.rule for e in shown):
        same = [e for e in shown if e.rule == rule]
        region = region_text(same[0].region, same[0].unit)
        asked = f"{sentence(same[0].quantity)}; the claim holds for {region}"
        yield f'<p class="muted">{_text(asked)}</p>'
        scale = _Scale(same)
        alike = len({e.runs for e in same}) == 1
        for e in same:
            parts = alike and len(same) > 1  # named as they are: b_D, acdc
            label = e.part if parts else sentence(spoken(e.runs).removeprefix("our "))
            said = f"{MARKS[e.verdict]} {estimate_text(e)}"
            yield (
                f'<div class="estimate"><span>{_text(label)}</span>'
                f"{_strip(e, scale)}<span>{_text(said)}</span></div>"
            )


class _Scale:
    """Where values of one quantity lie on a strip: logarithmic for factors."""

    def __init__(self, evidence: Sequence[Evidence]) -> None:
        region, unit = evidence[0].region, evidence[0].unit
        ends = [v for e in evidence for v in (e.value, *e.interval)] + [region.low, region.high]
        finite = [v for v in ends if math.isfinite(v)]
        self.log = unit == "x" and min(finite) > 0
        places = [self._place(v) for v in finite]
        low, high = min(places), max(places)
        self.low, self.span = low, (high - low) or 1.0

    def _place(self, value: float) -> float:
        return math.log(value) if self.log else value

    def __call__(self, value: float) -> float:
        """Pixels from the left; an open end lies at the end of the strip."""
        if math.isinf(value) or (self.log and value <= 0):
            return WIDTH if value > 0 and math.isinf(value) else 0.0
        inner = WIDTH - 2 * PAD
        return float(np.clip(PAD + inner * (self._place(value) - self.low) / self.span, 0, WIDTH))


def _strip(e: Evidence, scale: _Scale) -> str:
    left, right = scale(e.region.low), scale(e.region.high)
    low, high = map(scale, e.interval)
    middle, value = HEIGHT / 2, scale(e.value) - 2
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="region" x="{left:.1f}" width="{right - left:.1f}" height="{HEIGHT}"/>'
        f'<line class="axis" x2="{WIDTH}" y1="{middle}" y2="{middle}"/>'
        f'<line class="interval" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<rect class="value" x="{value:.1f}" y="{middle - 5}" width="4" height="10"/></svg>'
    )
