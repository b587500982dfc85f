"""Batches for a model, by step number: the corpus, cut and corrupted as the family needs it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from simlib.config import RunConfig
from simlib.corpora import load_corpus
from simlib.corpora.spans import SpanLengths, corrupt, lengths_for_inputs
from simlib.errors import InputError
from simlib.models import Data

Batch = tuple[Tensor, ...]
_VALIDATION_SEED = 0


class Feed(Protocol):
    """Training and validation batches; training batches are a function of the step alone."""

    data: Data
    sha256: str

    def batch(self, step: int) -> Batch:
        """Batch of step `step`, 0 for the first, on the CPU."""

    def epochs(self, steps: int) -> float:
        """Passes over the training data that `steps` steps make; above 1, data repeats."""

    def validation(self) -> Batch:
        """All validation examples, the same for every run of the family and corpus."""


def data_of(config: RunConfig) -> Data:
    """What a model must know of the data of `config`. Raises InputError as `make_feed` does."""
    corpus = _corpus(config.corpus, config.corpus_sha256)
    wanted = "images" if config.family == "vit" else "text"
    if corpus.kind != wanted:
        raise InputError(
            f"corpus {config.corpus!r} holds {corpus.kind}, but {config.family} needs {wanted}"
        )
    if config.family == "vit":
        return Data(num_classes=corpus.num_classes, image_shape=tuple(corpus.image_shape))
    sentinels = lengths_for_inputs(config.seq_len).sentinels if config.family == "t5" else 0
    return Data(corpus.vocab_size + sentinels)


def make_feed(config: RunConfig) -> Feed:
    """The feed of `config`.

    Raises InputError for an unknown corpus, one of the wrong kind or of another version than
    `corpus_sha256`, and for sequences longer than the corpus.
    """
    data = data_of(config)
    kinds: dict[str, Any] = {"gpt": TextFeed, "t5": SpanFeed, "vit": ImageFeed}
    feed: Feed = kinds[config.family](_corpus(config.corpus, config.corpus_sha256), data, config)
    return feed


@lru_cache(maxsize=8)
def _corpus(name: str, sha256: str) -> Any:
    return load_corpus(name, expect_sha256=sha256 or None)


class TextFeed:
    """Batches `(tokens,)` of int64 (B, seq_len + 1)."""

    def __init__(self, corpus: Any, data: Data, config: RunConfig) -> None:
        self.data, self.sha256 = data, corpus.sha256
        self._sampler = corpus.sampler(batch=config.batch, seq_len=config.seq_len, seed=config.seed)
        self._valid = corpus.validation(seq_len=config.seq_len, windows=config.valid_windows)

    def batch(self, step: int) -> Batch:
        return (torch.from_numpy(self._sampler.batch(step)),)

    def epochs(self, steps: int) -> float:
        return float(self._sampler.epochs(steps))

    def validation(self) -> Batch:
        return (torch.from_numpy(self._valid),)


class SpanFeed:
    """Batches `(inputs, targets)`: text with spans cut out, and the spans (T5's objective).

    Inputs have at most `seq_len` tokens, sentinels counted, as in T5.
    """

    def __init__(self, corpus: Any, data: Data, config: RunConfig) -> None:
        self.lengths: SpanLengths = lengths_for_inputs(config.seq_len)
        self.data, self.sha256 = data, corpus.sha256
        self._seed, self._vocab_size = config.seed, corpus.vocab_size
        raw = self.lengths.raw
        self._sampler = corpus.sampler(batch=config.batch, seq_len=raw, seed=config.seed)
        self._valid = corpus.validation(seq_len=raw, windows=config.valid_windows)

    def batch(self, step: int) -> Batch:
        return self._corrupted(self._sampler.batch(step), (self._seed, step))

    def epochs(self, steps: int) -> float:
        return float(self._sampler.epochs(steps))

    def validation(self) -> Batch:
        return self._corrupted(self._valid, (_VALIDATION_SEED,))

    def _corrupted(self, tokens: np.ndarray, seed: tuple[int, ...]) -> Batch:
        inputs, targets = corrupt(tokens[:, :-1], seed, vocab_size=self._vocab_size)
        return torch.from_numpy(inputs), torch.from_numpy(targets)


class ImageFeed:
    """Batches `(images, labels)`: uint8 (B, height, width, channels) and int64 (B,)."""

    def __init__(self, corpus: Any, data: Data, config: RunConfig) -> None:
        self.data, self.sha256 = data, corpus.sha256
        self._sampler = corpus.sampler(batch=config.batch, seed=config.seed)
        self._corpus, self._count = corpus, config.valid_windows

    def batch(self, step: int) -> Batch:
        images, labels = self._sampler.batch(step)
        return torch.from_numpy(images), torch.from_numpy(labels)

    def epochs(self, steps: int) -> float:
        return float(self._sampler.epochs(steps))

    def validation(self) -> Batch:
        images, labels = self._corpus.validation(images=self._count)
        return torch.from_numpy(images), torch.from_numpy(labels)
