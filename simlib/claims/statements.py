"""S1 to S3 and S6 to S8: the summary's statements, each decided beside the claim it leans on."""

from __future__ import annotations

import numpy as np

from simlib.analysis.numbers import percent
from simlib.claims.estimates import PUBLISHED_ERROR, of_estimate, of_law, optimal_at
from simlib.claims.evidence import Measured, Region
from simlib.claims.optima import (
    HALF,
    LAST,
    at_equal_cost,
    gain_at,
    rise_rule,
    slope_rules,
)
from simlib.claims.pairs import DensePairs, pairs
from simlib.claims.rule import Ask, Claim, Rule
from simlib.claims.sources import OURS, RELEASED, RunSet, Sources
from simlib.errors import InputError
from simlib.laws.law import Law
from simlib.runs.cells import combined_index, same_size, same_sparsity, size_index

INNER = 0.05  # an optimum this far from 0 and 1 lies inside
SIMILAR = 0.005  # of the loss
STEADY = 0.02  # of itself that an effect may fall a doubling and still be called no smaller


def optimum_exists(sources: Sources, runs: RunSet) -> Measured:
    """Best sparsity of a fixed size at ten times the dense compute optimum."""
    return of_law(sources.view(runs).law, optimal_at(LAST, "dense"))


def _longest(found: DensePairs) -> DensePairs:
    return found.where(same_size(found.data_seen, found.data_seen.max()))


def _at(found: DensePairs, S: float) -> float | None:
    """The gain of a sparsity in the pairs of one size and one amount of data."""
    near = same_sparsity(found.sparsity, S)
    return float(found.gain[near][0]) if near.any() else None


def beats_both_ends(sources: Sources, runs: RunSet) -> Measured:
    """By how much 50% sparsity beats dense and the sparsest run of its cost, whichever is less."""

    def of_size(part: DensePairs) -> float | None:
        half, most = _at(part, HALF), float(part.sparsity.max())
        end = _at(part, most)
        return None if half is None or end is None or most <= HALF else min(half, half - end)

    return of_estimate(_longest(at_equal_cost(sources, runs)).by_size(of_size))


def other_reading(sources: Sources, runs: RunSet) -> str:
    """What pruning costs a network of given size under the mask, as training goes on."""
    view = sources.view(runs)
    try:
        found = pairs(view.runs, view.dense, size=1.0).slope(relative=True)
    except InputError:
        return ""
    kept = {
        1: "shrinks with training: pruning a given network is cheaper when training is long",
        -1: "grows with training: pruning a given network is cheap when training is short",
        0: "does not clearly change with training",
    }
    low, high = ("open" if end is None else percent(end, 1) for end in found.interval)
    return (
        f"at equal size under the mask the share of the loss that pruning costs {kept[found.sign]} "
        f"(gain {low} to {high} of the loss a doubling)"
    )


def with_other_reading(ask: Ask) -> Ask:
    """The same question, answered with the other reading of it beside."""

    def asked(sources: Sources, runs: RunSet) -> Measured:
        found = ask(sources, runs)
        assert isinstance(found, Measured)
        return found._replace(note=other_reading(sources, runs))

    return asked


def as_good(sources: Sources, runs: RunSet) -> Measured:
    """Gain of 50% sparsity at equal non-zero size and training cost, trained longest."""
    longest = _longest(at_equal_cost(sources, runs))
    return of_estimate(longest.by_size(lambda part: _at(part, HALF)))


def unseen_sparsity(sources: Sources, runs: RunSet) -> Measured:
    """Error on sparsities held out of the fit."""
    return Measured(*sources.view(runs).error("one sparsity"))


def effect(relative: bool) -> Ask:
    """How the gain at equal non-zero size and data changes with data."""

    def ask(sources: Sources, runs: RunSet) -> Measured:
        view = sources.view(runs)
        return of_estimate(pairs(view.runs, view.dense).slope(relative, share=not relative))

    return ask


def guides(sources: Sources, runs: RunSet) -> Measured:
    """Regret of the law's choices at sizes it has not seen, at equal cost.

    Raises InputError where it chooses the same everywhere: a habit would do as well.
    """
    view = sources.view(runs)
    sizes = view.runs.nonzero_params
    laws = [(sizes[out][0], law) for out, law in view.without("one size")]

    def law_without(N: float) -> Law:
        return min(laws, key=lambda entry: abs(float(np.log(entry[0] / N))))[1]

    chosen: list[float] = []
    random: list[float] = []

    def of_size(part: DensePairs) -> float | None:
        law, lost = law_without(float(part.nonzero_params[0])), []
        for one in _by_setting(part):
            S, gain = np.append(0.0, one.sparsity), np.append(0.0, one.gain)
            best = np.argmin(law(S, one.nonzero_params[0], one.data_seen[0] * (1 - S)))
            lost.append(gain.max() - gain[best])
            chosen.append(float(S[best]))
            random.append(float(gain.max() - gain.mean()))
        return float(np.mean(lost)) if lost else None

    found = at_equal_cost(sources, runs).by_size(of_size)
    if np.ptp(chosen) < INNER:
        raise InputError(
            f"the law chooses {chosen[0]:.0%} everywhere, as a habit would, so its "
            "choices say nothing"
        )
    note = (
        f"{len(chosen)} settings of size and cost, choices of {min(chosen):.0%} to "
        f"{max(chosen):.0%}; at random {np.mean(random):.1%}"
    )
    return of_estimate(found, note)


def _by_setting(found: DensePairs) -> list[DensePairs]:
    """The pairs of each size and amount of data where at least two sparsities can be chosen."""
    setting = combined_index(size_index(found.nonzero_params), size_index(found.data_seen))
    parts = [found.where(setting == i) for i in range(int(setting.max()) + 1)]
    return [part for part in parts if len(part) > 1]


CLAIMS = (
    Claim(
        "S1",
        "An optimal sparsity exists for a given effective model size and training budget.",
        "",
        "notebooks/optimal_sparsity.md",
        (
            Rule(
                "S1",
                f"best sparsity at {LAST:g} times the dense optimum",
                "in the joint law, under dense cost; interval from its ensemble",
                Region(INNER, 1 - INNER),
                "%",
                RELEASED,
                optimum_exists,
                "joint",
                "no worth",
            ),
            Rule(
                "S1.runs",
                "gain of 50% sparsity at equal N and cost over dense and over the "
                "sparsest, the lesser",
                "at the longest training; mean over sizes with Student's t",
                Region(0.0),
                "%",
                OURS,
                beats_both_ends,
                "joint",
                "no worth",
            ),
        ),
    ),
    Claim(
        "S2",
        "Sparsity improves efficiency especially when the training time is short.",
        "contradicted by C7 [P]",
        "notebooks/optimal_sparsity.md",
        (
            rise_rule("S2", Region(high=0.0), "no worth", "joint"),
            *(
                rule.with_ask(with_other_reading(rule.ask))
                for rule in slope_rules("S2", Region(high=0.0), "short training", "joint")
            ),
        ),
    ),
    Claim(
        "S3",
        "Sparse models are as good as dense ones, or better, at the same compute.",
        "",
        "notebooks/optimal_sparsity.md",
        (
            Rule(
                "S3",
                f"gain of 50% sparsity at equal N and cost, {LAST:g} times the dense optimum",
                "in the joint law, under dense cost; interval from its ensemble",
                Region(-SIMILAR),
                "%",
                RELEASED,
                gain_at(LAST),
                "joint",
                "no worth",
            ),
            Rule(
                "S3.runs",
                "gain of 50% sparsity at equal N and cost, longest training",
                "mean over sizes with Student's t",
                Region(-SIMILAR),
                "%",
                OURS,
                as_good,
                "joint",
                "no worth",
            ),
        ),
    ),
    Claim(
        "S6",
        "The law predicts performance at different sparsities accurately.",
        "",
        "notebooks/law_forms.md",
        (
            Rule(
                "S6",
                "log-RMSE on unseen sparsities",
                "each sparsity in turn is left out of the fit and predicted; it holds the noise of "
                "seeds, too; at most twice the error of the published fits in sample",
                Region(0, 2 * PUBLISHED_ERROR),
                "%",
                RELEASED,
                unseen_sparsity,
                "joint",
                "cliff",
            ),
            Rule(
                "S6.ours",
                "log-RMSE on unseen sparsities beyond the spread over seeds",
                "each sparsity in turn is left out of the fit and predicted; interval from curves "
                "drawn whole; at most the error of the published fits in sample",
                Region(0, PUBLISHED_ERROR),
                "%",
                OURS,
                unseen_sparsity,
                "joint",
                "cliff",
            ),
        ),
    ),
    Claim(
        "S7",
        "The effect of sparsity grows as training goes on.",
        "",
        "notebooks/optimal_sparsity.md",
        (
            Rule(
                "S7.log",
                "gain of sparsity at equal N and data, of the loss a doubling",
                "least squares in log2 of data with a level for each sparsity, size by size; mean "
                "over sizes with Student's t",
                Region(0.0),
                "%",
                OURS,
                effect(relative=True),
                "joint",
                "short training",
            ),
            Rule(
                "S7.nats",
                "the same in nats, of itself a doubling",
                f"since the loss falls meanwhile; it may fall by {STEADY:.0%}: by the joint law it "
                "stays",
                Region(-STEADY),
                "%",
                OURS,
                effect(relative=False),
                "joint",
                "short training",
            ),
        ),
    ),
    Claim(
        "S8",
        "The law guides the choice of a compression strategy.",
        "",
        "notebooks/simulator.md",
        (
            Rule(
                "S8",
                "loss of the law's choices of sparsity above the least, equal N and cost",
                "at each size and cost, among the sparsities measured there, by a law fitted "
                "without that size; mean over sizes with Student's t; nothing is said where it "
                "always chooses the same",
                Region(high=SIMILAR),
                "%",
                OURS,
                guides,
                "joint",
                "patchwork",
            ),
        ),
    ),
)
