"""Training data behind one interface: embedded text and images, and real sets by name."""

from simlib.corpora.registry import Corpus, load_corpus

__all__ = ["Corpus", "load_corpus"]
