"""C13 and S5: pruning a trained model against training a sparse one from scratch.

Each size, sparsity and amount of pruning data is asked by itself: the data multiple falls with the
data that pruning sees, so a mean over settings would say more of the grid than of pruning.
"""

from __future__ import annotations

import math

from simlib.analysis.datamultiple import Multiple, data_multiples, published
from simlib.analysis.numbers import sparsity_text
from simlib.claims.estimates import ends
from simlib.claims.evidence import Measured, Region
from simlib.claims.rule import Claim, Rule
from simlib.claims.sources import PRETRAINED, RunSet, Sources
from simlib.errors import InputError
from simlib.laws.intervals import LEVEL

COST = "dense"  # masks save nothing while training: the cost that favours from scratch least
NOISE = (
    "interval from draws of the noise that repeats show; an end beyond what was measured is open"
)


def multiples(sources: Sources, runs: RunSet) -> list[Measured]:
    """Data from scratch over data of pruning, at each size, sparsity and amount of data."""
    return [
        Measured(
            m.value or m.bound,
            _open(m),
            "" if m.value else "beyond what was measured",
            _part(m),
            published(m.sparsity),
        )
        for m in _settings(sources, runs)
    ]


def _open(multiple: Multiple) -> tuple[float, float]:
    low, high = multiple.ends
    return 0.0 if low is None else low, math.inf if high is None else high


def paid(sources: Sources, runs: RunSet) -> list[Measured]:
    """How many models must share the trained one before pruning costs less in all."""

    def models(m: Multiple) -> Measured:
        low, high = ends(m.break_even_ends(COST))
        return Measured(_break_even(m), (max(low, 0.0), high), part=_part(m))

    return [models(m) for m in _settings(sources, runs)]


def gains(sources: Sources, runs: RunSet) -> list[Measured]:
    """Log loss from scratch over that of pruning, on the same data."""
    found = [
        Measured(m.gain, ends(m.gain_interval), part=_part(m))
        for m in _settings(sources, runs)
        if m.gain is not None
    ]
    if not found:
        raise InputError("no run from scratch saw the data that pruning saw")
    return found


def _settings(sources: Sources, runs: RunSet) -> list[Multiple]:
    return data_multiples(sources.runs(runs.table), level=LEVEL)


def _part(m: Multiple) -> str:
    return f"{sparsity_text(m.sparsity)} of {m.dense_params:,}, {m.data_seen:,} bytes"


def _break_even(multiple: Multiple) -> float:
    """At the matched data, or at the end of the measured data beyond which it lies."""
    data = multiple.matched or multiple.bound * multiple.data_seen
    found = multiple.break_even(data, COST)
    return math.inf if found is None else found


CLAIMS = (
    Claim(
        "C13",
        "Pruning a trained dense model beats sparse training from scratch; if its training "
        "must be paid for, sparse from scratch wins.",
        "4.90, 4.27, 2.45 times more data from scratch at 50, 75, 87.5% [P]",
        "notebooks/pretrained.md",
        (
            Rule(
                "C13.data",
                "data from scratch over data of pruning, at equal loss",
                "log loss from scratch interpolated in log data; " + NOISE,
                Region(1.0),
                "x",
                (PRETRAINED,),
                multiples,
                "head start",
                "false start",
            ),
            Rule(
                "C13.paid",
                "models that must share the trained one before pruning costs less",
                "from the same data, under dense cost; " + NOISE,
                Region(1.0),
                "",
                (PRETRAINED,),
                paid,
                "small head start",
                "large head start",
            ),
        ),
    ),
    Claim(
        "S5",
        "Starting from a pretrained model gives higher efficiency gains.",
        "",
        "notebooks/pretrained.md",
        (
            Rule(
                "S5",
                "gain of pruning a trained model over from scratch, same data",
                "log loss from scratch over that of pruning; " + NOISE,
                Region(0.0),
                "%",
                (PRETRAINED,),
                gains,
                "head start",
                "false start",
            ),
        ),
    ),
)
