"""Span corruption, the T5 objective: short spans are cut out and have to be written back.

Raffel et al. 2020, "Exploring the limits of transfer learning with a unified text-to-text
transformer", section 3.1.4. The inputs keep the text with each span replaced by its own
sentinel; the targets are the spans, each after its sentinel; both end with one final sentinel,
which serves as the end mark. With vocabulary size V, sentinel k is token V + k:

    text     the cat sat on the mat
    inputs   the <V> on the <V+1> <V+2>
    targets  <V> cat sat <V+1> mat <V+2>
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simlib.corpora.base import check_count
from simlib.errors import InputError


@dataclass(frozen=True)
class SpanLengths:
    """Sizes that follow from the raw length: each example has exactly these."""

    raw: int  # tokens of text
    noise: int  # of them cut out
    spans: int  # pieces they are cut out in

    @property
    def inputs(self) -> int:
        """Length of the encoder's inputs, with sentinels and end mark."""
        return self.raw - self.noise + self.spans + 1

    @property
    def targets(self) -> int:
        """Length of the decoder's targets, with sentinels and end mark."""
        return self.noise + self.spans + 1

    @property
    def sentinels(self) -> int:
        """Token ids needed above the vocabulary, the end mark among them."""
        return self.spans + 1


def span_lengths(raw: int, density: float = 0.15, mean_span: float = 3.0) -> SpanLengths:
    """How a text of `raw` tokens is cut: `density` of them in spans of `mean_span` on average.

    Raises InputError unless 0 < density < 1, mean_span >= 1 and raw >= 2.
    """
    check_count("raw", raw, least=2)
    if not (0 < density < 1 and mean_span >= 1):
        raise InputError(
            f"density {density} and mean_span {mean_span} cannot be used for span corruption: "
            "density lies between 0 and 1, mean_span is at least 1"
        )
    noise = min(max(_nearest(raw * density), 1), raw - 1)
    spans = min(max(_nearest(noise / mean_span), 1), noise, raw - noise)
    return SpanLengths(raw, noise, spans)


def lengths_for_inputs(inputs: int, density: float = 0.15, mean_span: float = 3.0) -> SpanLengths:
    """The longest text whose corrupted inputs fit into `inputs` tokens.

    T5's rule: inputs of 512 come from 568 tokens and have targets of 114.
    Raises InputError if not even two tokens fit.
    """
    check_count("inputs", inputs, least=3)
    raw = 2
    while span_lengths(raw + 1, density, mean_span).inputs <= inputs:
        raw += 1
    return span_lengths(raw, density, mean_span)


def corrupt(
    tokens: np.ndarray,
    seed: int | tuple[int, ...],
    density: float = 0.15,
    mean_span: float = 3.0,
    vocab_size: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut random spans out of each row.

    tokens: integers (B, L), each below `vocab_size`. seed: a number or several, say
    (seed, step); equal seeds give equal spans.
    Returns int64 inputs (B, lengths.inputs) and targets (B, lengths.targets), where lengths is
    span_lengths(L, density, mean_span). The text begins outside a span and ends inside one, as
    in T5. Raises InputError for what span_lengths refuses and for tokens outside the vocabulary.
    """
    if tokens.ndim != 2:
        raise InputError(f"tokens have shape {tokens.shape}, but must be (batch, length)")
    inputs, targets = corrupt_steps(tokens[None], [seed], density, mean_span, vocab_size)
    return inputs[0], targets[0]


def corrupt_steps(
    tokens_SxBxL: np.ndarray,
    seeds: Sequence[int | tuple[int, ...]],
    density: float = 0.15,
    mean_span: float = 3.0,
    vocab_size: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """What `corrupt` makes of each of S batches with its own seed, in a fraction of the time."""
    tokens = tokens_SxBxL
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size:
        raise InputError(
            f"tokens lie in {tokens.min()}..{tokens.max()}, outside a vocabulary of {vocab_size}"
        )
    steps, rows, raw = tokens.shape
    lengths = span_lengths(raw, density, mean_span)
    noise, kept = lengths.noise, raw - lengths.noise
    drawn_n, drawn_k = np.empty((steps, rows, noise - 1)), np.empty((steps, rows, kept - 1))
    for seed, *drawn in zip(seeds, drawn_n, drawn_k, strict=True):
        rng = np.random.default_rng(seed)
        for numbers in drawn:
            rng.random(out=numbers)
    noise_NxK, kept_NxK = (
        _random_pieces(numbers.reshape(steps * rows, -1), lengths.spans)
        for numbers in (drawn_n, drawn_k)
    )
    both = _cut(tokens.reshape(steps * rows, raw).astype(np.int64), kept_NxK, noise_NxK, vocab_size)
    inputs, targets = (side.reshape(steps, rows, -1) for side in both)
    return inputs, targets


def _cut(
    tokens: np.ndarray, kept_BxK: np.ndarray, noise_BxK: np.ndarray, vocab_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both sides, given the lengths of the pieces in turn: kept, noise, kept, noise, ..."""
    rows, spans = kept_BxK.shape
    pieces_Bx2K = np.stack([kept_BxK, noise_BxK], axis=2).reshape(rows, -1)
    is_noise = np.repeat(np.tile([False, True], rows * spans), pieces_Bx2K.ravel())
    cut = is_noise.reshape(tokens.shape)
    after_BxK = np.cumsum(kept_BxK + 1, axis=1) - 1
    before_BxK = np.cumsum(noise_BxK + 1, axis=1) - noise_BxK - 1
    return (
        _with_sentinels(tokens[~cut], after_BxK, vocab_size),
        _with_sentinels(tokens[cut], before_BxK, vocab_size),
    )


def _with_sentinels(text: np.ndarray, place_BxK: np.ndarray, vocab_size: int) -> np.ndarray:
    """The text of all rows with sentinel k at the k-th place of each row, and the end mark."""
    rows, spans = place_BxK.shape
    made = np.empty((rows, len(text) // rows + spans + 1), np.int64)
    is_text = np.ones(made.shape, bool)
    is_text[np.arange(rows)[:, None], place_BxK] = False
    is_text[:, -1] = False
    made[is_text] = text
    made[~is_text] = np.tile(vocab_size + np.arange(spans + 1), rows)
    return made


def _random_pieces(drawn: np.ndarray, pieces: int) -> np.ndarray:
    """(rows, pieces) positive integers, every split of a total into them equally likely.

    drawn: (rows, total - 1) numbers in [0, 1); the text is cut where the smallest ones are.
    """
    rows, cuts = len(drawn), pieces - 1
    edges = np.zeros((rows, pieces + 1), np.int64)
    if cuts:
        smallest = np.argpartition(drawn, cuts - 1, axis=1)[:, :cuts]
        edges[:, 1:-1] = np.sort(smallest, axis=1) + 1
    edges[:, -1] = drawn.shape[1] + 1
    return np.diff(edges, axis=1)


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)
