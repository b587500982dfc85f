"""C13 and S5: pruning a trained model against training a sparse one from scratch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from simlib.claims.estimates import ends, of_estimate
from simlib.claims.evidence import Claim, Evidence, Outcome, Region, ask
from simlib.claims.sources import Sources
from simlib.contrasts import LEVEL, t_interval
from simlib.datamultiple import PUBLISHED, Multiple, data_multiples
from simlib.errors import InputError
from simlib.tables import percent

TABLE = "pretrained-laptop"
COST = "dense"  # masks save nothing while training: the cost that favours from scratch least


def multiples(sources: Sources) -> Outcome:
    """Data from scratch over data of pruning, and how many models must share the trained one."""
    found = _by_sparsity(sources)

    def data(name: str) -> Evidence:
        settings = found[name]
        known = [m.value or m.bound for m in settings]
        open_ended = sum(m.value is None for m in settings)
        mean = t_interval(np.log(known)).map(math.exp)
        note = f"{open_ended} of {len(settings)} lie beyond what was measured and count as its end"
        return of_estimate(name, True, "data from scratch over data of pruning", mean, Region(1.0),
                           "x", _paper(settings), note if open_ended else "")  # fmt: skip

    def paid(name: str) -> Evidence:
        least = min(found[name], key=lambda m: _break_even(m))
        low, high = ends(least.break_even_ends(COST))
        return Evidence(
            name, True, "models that must share the trained one before pruning costs less, least "
            "over settings", _break_even(least), (max(low, 0.0), high), Region(1.0), "",
        )  # fmt: skip

    return ask(found, data) + ask(found, paid)


def gains(sources: Sources) -> Outcome:
    """Log loss from scratch over that of pruning, on the same data."""
    found = _by_sparsity(sources)

    def gain(name: str) -> Evidence:
        known = [m.gain for m in found[name] if m.gain is not None]
        if not known:
            raise InputError("no run from scratch saw the data that pruning saw")
        return of_estimate(name, True, "gain of pruning a trained model over from scratch",
                           t_interval(known, LEVEL), Region(0.0), "%")  # fmt: skip

    return ask(found, gain)


def _by_sparsity(sources: Sources) -> dict[str, list[Multiple]]:
    found = data_multiples(sources.runs(TABLE), level=LEVEL)
    levels = sorted({round(m.sparsity, 3) for m in found})
    return {
        f"{TABLE}, {percent(S, 1)}": [m for m in found if round(m.sparsity, 3) == S]
        for S in levels
    }  # fmt: skip


def _paper(settings: Sequence[Multiple]) -> float | None:
    return PUBLISHED.get(round(settings[0].sparsity, 3))


def _break_even(multiple: Multiple) -> float:
    """At the matched data, or at the end of the measured data beyond which it lies."""
    data = multiple.matched or multiple.bound * multiple.data_seen
    found = multiple.break_even(data, COST)
    return math.inf if found is None else found


CLAIMS = (
    Claim(
        "C13", "Pruning a trained dense model beats sparse training from scratch; if its training "
        "must be paid for, sparse from scratch wins.",
        "4.90, 4.27, 2.45 times more data from scratch at 50, 75, 87.5 % [P]",
        "from scratch needs more data than pruning (a multiple above 1) to reach the same loss, "
        "and more than 1 pruned model must share the trained one before that costs less in all",
        "notebooks/pretrained.md", multiples,
    ),
    Claim(
        "S5", "Starting from a pretrained model gives higher efficiency gains.", "",
        "on the same data, pruning a trained model reaches a lower loss than from scratch",
        "notebooks/pretrained.md", gains,
    ),
)  # fmt: skip
