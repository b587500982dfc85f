"""Span corruption loses nothing, cuts what it says, and is a function of its seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.corpora.spans import corrupt, corrupt_steps, lengths_for_inputs, span_lengths
from simlib.errors import InputError

V = 256


def put_back(inputs: np.ndarray, targets: np.ndarray) -> list[int]:
    """Read one example as a decoder would: each sentinel stands for what the targets say."""
    said: dict[int, list[int]] = {}
    for token in targets.tolist():
        if token >= V:
            said[token] = []
        else:
            said[list(said)[-1]].append(token)
    text: list[int] = []
    for token in inputs.tolist():
        text += said[token] if token >= V else [token]
    return text


@given(
    rows=st.integers(1, 4),
    raw=st.integers(2, 200),
    density=st.floats(0.02, 0.9),
    mean_span=st.floats(1, 12),
    seed=st.integers(0, 2**32),
)
def test_inputs_and_targets_together_are_the_text(rows, raw, density, mean_span, seed):
    tokens = np.random.default_rng(seed).integers(0, V, (rows, raw))
    inputs, targets = corrupt(tokens, seed, density, mean_span)
    lengths = span_lengths(raw, density, mean_span)
    assert inputs.shape == (rows, lengths.inputs)
    assert targets.shape == (rows, lengths.targets)
    for row in range(rows):
        assert put_back(inputs[row], targets[row]) == tokens[row].tolist()
        marks = list(range(V, V + lengths.sentinels))  # each once, in order, on both sides
        assert inputs[row][inputs[row] >= V].tolist() == marks
        assert targets[row][targets[row] >= V].tolist() == marks


@given(raw=st.integers(40, 2000), density=st.floats(0.05, 0.5), mean_span=st.floats(1, 10))
def test_density_and_mean_span_are_met_to_rounding(raw, density, mean_span):
    lengths = span_lengths(raw, density, mean_span)
    assert abs(lengths.noise - raw * density) <= 0.5
    if lengths.noise >= mean_span and raw - lengths.noise > lengths.spans:
        assert abs(lengths.spans - lengths.noise / mean_span) <= 0.5


def test_t5_lengths():
    lengths = lengths_for_inputs(512)
    assert (lengths.raw, lengths.inputs, lengths.targets) == (568, 512, 114)


@given(inputs=st.integers(4, 600))
def test_lengths_for_inputs_is_the_longest_that_fits(inputs):
    lengths = lengths_for_inputs(inputs)
    assert lengths.inputs <= inputs < span_lengths(lengths.raw + 1).inputs


def test_same_seed_same_spans_other_seed_other_spans():
    tokens = np.random.default_rng(0).integers(0, V, (8, 128))
    one, again, other = corrupt(tokens, (3, 5)), corrupt(tokens, (3, 5)), corrupt(tokens, (3, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_every_place_is_cut_about_equally_often():
    """Ends apart: the text begins outside a span and ends inside one."""
    tokens = np.arange(100)[None].repeat(4000, 0)
    _, targets = corrupt(tokens, 1)
    share = np.bincount(targets[targets < V], minlength=100) / 4000
    assert share[0] == 0
    assert share[99] == 1
    assert np.all(np.abs(share[10:85] - 0.15) < 0.05)


@pytest.mark.parametrize("raw", [2, 7, 70, 300])
def test_many_steps_are_cut_as_each_alone(raw):
    tokens = np.random.default_rng(0).integers(0, V, (6, 5, raw)).astype(np.uint8)
    seeds = [(4, step) for step in range(6)]
    together = corrupt_steps(tokens, seeds)
    alone = [corrupt(batch, seed) for batch, seed in zip(tokens, seeds, strict=True)]
    for side, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert np.array_equal(side, parts)
        assert side.dtype == np.int64


def test_cuts_are_those_that_published_runs_saw():
    """Two spans of 20 tokens, 3 of them cut out: pieces end at the smallest random numbers."""
    rng = np.random.default_rng((3, 5))
    noise, kept = (int(np.argmin(rng.random(n))) + 1 for n in (2, 16))
    _, targets = corrupt(np.arange(20)[None], (3, 5), mean_span=1.5)
    first, second = range(kept, kept + noise), range(17 + noise, 20)
    assert targets[0].tolist() == [V, *first, V + 1, *second, V + 2]


@pytest.mark.parametrize(
    ("tokens", "options", "words"),
    [
        (np.zeros((2, 50), int), {"density": 0.0}, "density"),
        (np.zeros((2, 50), int), {"mean_span": 0.5}, "mean_span"),
        (np.zeros((2, 1), int), {}, "raw is 1"),
        (np.zeros(50, int), {}, "shape"),
        (np.full((2, 50), 300), {}, "vocabulary of 256"),
    ],
)
def test_refusals(tokens, options, words):
    with pytest.raises(InputError, match=words):
        corrupt(tokens, 0, **options)
