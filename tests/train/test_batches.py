"""Batches are a function of seed and step alone, however many are made at a time."""

import warnings

import numpy as np
import pytest
import torch

from simlib.corpora import load_corpus
from simlib.corpora.spans import corrupt
from simlib.runs.config import RunConfig
from simlib.train import batches as feeds
from simlib.train.batches import make_batches


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A folder of text, read with a cache of its own."""
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "text"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(400):
        (folder / f"{number}.txt").write_bytes(rng.integers(97, 123, 50, np.uint8).tobytes())
    return f"folder:{folder}"


def config(**fields):
    usual = {"steps": 50, "batch": 4, "seq_len": 64, "valid_windows": 2, "seed": 3}
    return RunConfig(**(usual | fields))


@pytest.mark.parametrize("ahead", [1, 1000, 1 << 15])
def test_spans_are_cut_from_the_batches_of_text(corpus, monkeypatch, ahead):
    monkeypatch.setattr(feeds, "_TOKENS_AHEAD", ahead)
    batches = make_batches(config(family="t5", corpus=corpus))
    text = load_corpus(corpus).sampler(batch=4, seq_len=70, seed=3)
    for step in (0, 1, 2, 9, 5):
        wanted = corrupt(text.batch(step)[:, :-1], (3, step))
        made = batches.batch(step)
        assert all(np.array_equal(a, b) for a, b in zip(made, wanted, strict=True))
        assert {part.dtype for part in made} == {torch.int64}


@pytest.mark.parametrize("family", ["gpt", "t5"])
def test_repetition_is_told_at_the_step_that_repeats(corpus, family):
    batches = make_batches(config(family=family, corpus=corpus))
    steps = int(1 / batches.epochs(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches.batch(steps - 1)
    with pytest.warns(UserWarning, match=f"step {steps} passes the end") as caught:
        batches.batch(steps)
    assert len(caught) == 1
    assert batches.kept_bytes(1000) == 0
