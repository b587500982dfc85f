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
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size:
        raise InputError(
            f"tokens lie in {tokens.min()}..{tokens.max()}, outside a vocabulary of {vocab_size}"
        )
    rows, raw = tokens.shape
    lengths = span_lengths(raw, density, mean_span)
    rng = np.random.default_rng(seed)
    noise_BxK = _random_pieces(lengths.noise, lengths.spans, rows, rng)
    kept_BxK = _random_pieces(raw - lengths.noise, lengths.spans, rows, rng)
    return _cut(tokens.astype(np.int64), kept_BxK, noise_BxK, vocab_size)


def _cut(
    tokens: np.ndarray, kept_BxK: np.ndarray, noise_BxK: np.ndarray, vocab_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both sides, given the lengths of the pieces in turn: kept, noise, kept, noise, ..."""
    rows, spans = kept_BxK.shape
    ends_BxK = np.cumsum(kept_BxK + noise_BxK, axis=1)
    starts_BxK = ends_BxK - noise_BxK
    place_L = np.arange(tokens.shape[1])
    first_BxL = np.zeros(tokens.shape, bool)
    np.put_along_axis(first_BxL, starts_BxK, True, axis=1)
    after_BxL = np.zeros(tokens.shape, np.int64)
    np.put_along_axis(after_BxL, ends_BxK[:, :-1], 1, axis=1)
    span_BxL = np.cumsum(after_BxL, axis=1)  # spans that ended before this place
    noise_BxL = place_L >= np.take_along_axis(starts_BxK, span_BxL, axis=1)

    with_sentinels = np.where(first_BxL, vocab_size + span_BxL, tokens)
    end_Bx1 = np.full((rows, 1), vocab_size + spans, np.int64)
    inputs = with_sentinels[~noise_BxL | first_BxL].reshape(rows, -1)
    pairs_BxLx2 = np.stack([vocab_size + span_BxL, tokens], axis=2)
    targets = pairs_BxLx2[np.stack([first_BxL, noise_BxL], axis=2)].reshape(rows, -1)
    return np.hstack([inputs, end_Bx1]), np.hstack([targets, end_Bx1])


def _random_pieces(total: int, pieces: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """(rows, pieces) positive integers that sum to `total`, every such split equally likely."""
    cuts = np.argsort(rng.random((rows, total - 1)), axis=1)[:, : pieces - 1] + 1
    edges = np.zeros((rows, pieces + 1), np.int64)
    edges[:, 1:-1] = np.sort(cuts, axis=1)
    edges[:, -1] = total
    return np.diff(edges, axis=1)


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)
