"""From a corpus's name to the corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from simlib.corpora.python_source import load_python
from simlib.corpora.text import TextCorpus
from simlib.errors import InputError

Corpus = TextCorpus


def load_corpus(
    name: str, cache: str | Path | None = None, expect_sha256: str | None = None
) -> Corpus:
    """The corpus called `name`, built in the cache on first use."""
    loaders: dict[str, Callable[..., Corpus]] = {"python": load_python}
    if name not in loaders:
        raise InputError(f"there is no corpus '{name}': known are {', '.join(loaders)}")
    corpus = loaders[name](cache)
    if expect_sha256 is not None and corpus.sha256 != expect_sha256:
        raise InputError(f"corpus '{name}' has SHA-256 {corpus.sha256}, not {expect_sha256}")
    return corpus
