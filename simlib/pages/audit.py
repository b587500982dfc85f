"""Rows that were trained again, and what was wrong with our first tables."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from simlib.analysis.numbers import percent
from simlib.claims.power import CATALOG as POWERS
from simlib.claims.power import load_powers
from simlib.datasets import load_law
from simlib.pages.claims import power_label
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.pages.words import counted, out_of, sentence
from simlib.runs.table import RunTable
from simlib.runs.verification import Verification

BYTES = 16_000_000  # of the corpus, enough for the frequencies of its pairs
NEAR = 0.05  # of the loss: as close to the entropy of pairs as the shortest runs are called near


def repeats_table(found: Verification) -> Table:
    """Every row that was trained again: both losses, and how far seeds of its setting scatter."""
    header = ("table", "run", "recorded", "again", "difference", "seeds scatter by", "machine")
    return Table(
        header,
        [
            (
                spoken(r.table),
                r.run,
                f"{r.recorded:.6f}",
                f"{r.again:.6f}",
                f"{r.difference:+.3%}",
                "one seed" if r.spread is None else percent(r.spread, 2),
                "the same kind" if r.same_machine else "another kind, or older kernels",
            )
            for r in found.repeats
        ],
    )


def repeats_sentence(found: Verification) -> str:
    """How many rows agree, and what that means."""
    good = sum(r.agrees for r in found.repeats)
    exact = sum(r.again == r.recorded for r in found.repeats)
    largest = max(abs(r.difference) for r in found.repeats)
    drawn = len(found.repeats)
    return (
        f"{sentence(out_of(good, drawn, 'run'))} drawn by chance and trained again on "
        f"{found.made['date']} {'agrees' if good == 1 else 'agree'} with "
        f"{'its row' if drawn == 1 else 'their rows'}, {exact or 'none'} to the last bit; the "
        f"largest difference is {percent(largest, 3)} of the loss"
    )


def pair_entropy(text: NDArray[np.uint8]) -> float:
    """Entropy of a byte given the one before it, in nats, from the start of a text."""
    codes = text[:BYTES].astype(np.int64)
    counts = np.bincount(codes[:-1] * 256 + codes[1:], minlength=1 << 16).reshape(256, 256)
    joint = counts / counts.sum()
    given = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)
    return float(-(joint[joint > 0] * np.log(given[joint > 0])).sum())


def near_pairs(runs: RunTable, entropy: float) -> str:
    """`15 of 16 runs`: the runs on the least data whose loss is near the entropy of pairs."""
    shortest = runs.where(data_seen=int(min(runs.data_seen)))
    near = sum(abs(run.loss / entropy - 1) < NEAR for run in shortest)
    return out_of(near, len(shortest), "run")


def prefixes(runs: RunTable) -> str:
    """`the 80 runs of seed 0 share 7 beginnings`, for the seed with most runs."""
    seed, count = Counter(run.seed for run in runs).most_common(1)[0]
    shared = {run.dense_params for run in runs.where(seed=seed)}
    return f"the {counted(count, 'run')} of seed {seed} share {counted(len(shared), 'beginning')}"


def validation_error(runs: RunTable) -> str:
    """Standard error of the validation loss, mean over runs, as a share of the loss."""
    return percent(float(np.mean([r.loss_stderr / r.loss for r in runs if r.loss_stderr])), 2)


def statuses(names: tuple[str, ...]) -> str:
    """How every fit ended: `the fit of our GPT runs converged, that of our T5 runs is at bound`."""
    ended = {"converged": "converged", "at bound": "is at bound"}
    said = [(spoken(name), str(load_law(name).status)) for name in names]
    return "the fit of " + ", that of ".join(f"{n} {ended.get(s, s)}" for n, s in said)


def power_table() -> Table:
    """For every set of runs, how many parts of rules can come out either way, one way, or none."""
    header = (
        "runs",
        "can hold or be contradicted",
        "can only hold",
        "can only be contradicted",
        "untestable",
    )
    return Table(header, [_powers(name) for name in POWERS.names()])


def _powers(name: str) -> tuple[str, ...]:
    found = load_powers(name)
    kinds = Counter((p.can_support, p.can_contradict) for p in found.powers)
    order = ((True, True), (True, False), (False, True), (False, False))
    return (power_label(found), *(str(kinds[kind]) for kind in order))
