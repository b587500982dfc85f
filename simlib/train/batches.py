"""Batches for a model, by step number: the corpus, cut and corrupted as the family needs it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from simlib.corpora import load_corpus
from simlib.corpora.spans import SpanLengths, corrupt, corrupt_steps, lengths_for_inputs
from simlib.errors import InputError
from simlib.models import Data
from simlib.runs.config import RunConfig

Batch = tuple[Tensor, ...]
# NumPy takes 0 and (0, 0) for one seed, so the first spans of the validation set are as long as
# those of step 0 of seed 0, at other places of other texts: nothing of one is learnt from the
# other. Another seed would change the losses of runs that are recorded under the same run_id.
_VALIDATION_SEED = 0
_TOKENS_AHEAD = 1 << 15  # cut at a time


class Batches(Protocol):
    """Training and validation batches; training batches are a function of the step alone."""

    data: Data
    sha256: str

    def batch(self, step: int) -> Batch:
        """Batch of step `step`, 0 for the first, on the CPU."""

    def epochs(self, steps: int) -> float:
        """Passes over the training data that `steps` steps make; above 1, data repeats."""

    def kept_bytes(self, steps: int) -> int:
        """Most that `steps` training steps leave in the corpus cache, for all runs of the seed."""

    def validation(self) -> Batch:
        """All validation examples, the same for every run of the family and corpus."""


def data_of(config: RunConfig) -> Data:
    """What a model must know of the data of `config`. Raises InputError as `make_batches` does."""
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


def make_batches(config: RunConfig) -> Batches:
    """The batches of `config`.

    Raises InputError for an unknown corpus, one of the wrong kind or of another version than
    `corpus_sha256`, and for sequences longer than the corpus.
    """
    data = data_of(config)
    kinds: dict[str, Any] = {"gpt": TextBatches, "t5": SpanBatches, "vit": ImageBatches}
    batches: Batches = kinds[config.family](
        _corpus(config.corpus, config.corpus_sha256), data, config
    )
    return batches


@lru_cache(maxsize=8)
def _corpus(name: str, sha256: str) -> Any:
    return load_corpus(name, expect_sha256=sha256 or None)


class TextBatches:
    """Batches `(tokens,)` of int64 (B, seq_len + 1)."""

    def __init__(self, corpus: Any, data: Data, config: RunConfig) -> None:
        self.data, self.sha256 = data, corpus.sha256
        self._sampler = corpus.sampler(batch=config.batch, seq_len=config.seq_len, seed=config.seed)
        self._valid = corpus.validation(seq_len=config.seq_len, windows=config.valid_windows)

    def batch(self, step: int) -> Batch:
        return (torch.from_numpy(self._sampler.batch(step)),)

    def epochs(self, steps: int) -> float:
        return float(self._sampler.epochs(steps))

    def kept_bytes(self, steps: int) -> int:
        return 0

    def validation(self) -> Batch:
        return (torch.from_numpy(self._valid),)


class SpanBatches:
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
        self._steps = max(1, _TOKENS_AHEAD // (config.batch * raw))
        self._group, self._sides = -1, (np.empty(0), np.empty(0))

    def batch(self, step: int) -> Batch:
        self._sampler.warn_if_repeated(step)
        group, place = divmod(step, self._steps)
        if group != self._group:
            self._group, self._sides = group, self._corrupted_steps(group * self._steps)
        inputs, targets = self._sides
        return torch.from_numpy(inputs[place]), torch.from_numpy(targets[place])

    def _corrupted_steps(self, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of the steps from `first` that are cut at a time."""
        tokens = self._sampler.tokens(first, self._steps)[:, :, :-1]
        seeds = [(self._seed, step) for step in range(first, first + self._steps)]
        return corrupt_steps(tokens, seeds, vocab_size=self._vocab_size)

    def epochs(self, steps: int) -> float:
        return float(self._sampler.epochs(steps))

    def kept_bytes(self, steps: int) -> int:
        return 0

    def validation(self) -> Batch:
        tokens = self._valid[:, :-1]
        inputs, targets = corrupt(tokens, _VALIDATION_SEED, vocab_size=self._vocab_size)
        return torch.from_numpy(inputs), torch.from_numpy(targets)


class ImageBatches:
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

    def kept_bytes(self, steps: int) -> int:
        return int(self._sampler.kept_bytes(steps))

    def validation(self) -> Batch:
        images, labels = self._corpus.validation(images=self._count)
        return torch.from_numpy(images), torch.from_numpy(labels)
