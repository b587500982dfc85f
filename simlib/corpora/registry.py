"""From a corpus's name to the corpus."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from simlib.corpora.glyphs import GlyphCorpus, load_glyphs
from simlib.corpora.hub import load_hub
from simlib.corpora.images import ImageCorpus
from simlib.corpora.local import load_cifar10, load_folder, load_json, load_parquet
from simlib.corpora.python_source import load_python
from simlib.corpora.text import TextCorpus
from simlib.corpora.tokens import tokenized
from simlib.errors import InputError

Corpus = TextCorpus | GlyphCorpus | ImageCorpus


@dataclass(frozen=True)
class _Kind:
    """What may follow a kind of corpus in a name: an argument, and options by their type."""

    load: Callable[..., Corpus]
    argument: str | None
    options: dict[str, type]
    optional: bool = False  # the argument may be left out


_WORDS: dict[str, type] = {"tokenizer": str}
_TEXT: dict[str, type] = {"column": str, "bytes": int} | _WORDS
_IMAGES: dict[str, type] = {"size": int, "augment": str}
_KINDS = {
    "python": _Kind(load_python, None, _WORDS),
    "glyphs": _Kind(
        load_glyphs,
        None,
        {"classes": int, "augment": str, "size": int, "images": int}
        | {"exponent": float, "offset": float, "polarity": str, "draw": str},
    ),
    "hf": _Kind(load_hub, "REPO[:CONFIG]", _TEXT | _IMAGES | {"split": str, "images": int}),
    "parquet": _Kind(load_parquet, "PATH", _TEXT | _IMAGES),
    "json": _Kind(load_json, "PATH", _TEXT),
    "folder": _Kind(load_folder, "PATH", _IMAGES | _WORDS),
    "cifar10": _Kind(load_cifar10, "PATH", {"augment": str, "images": int}, optional=True),
}
# a value holds no slash, so that a folder may be named a:b=c; only a tokenizer's may
_OPTION = r"(?:tokenizer=[^:=,]*|\w+=[^:=,/]*)"
_OPTIONS = re.compile(rf"^(.*?):({_OPTION}(?:,{_OPTION})*)$")


def load_corpus(
    name: str, cache: str | Path | None = None, expect_sha256: str | None = None
) -> Corpus:
    """The corpus called `name`, built in the cache on first use.

    A name is KIND, KIND:ARGUMENT or either with options at the end, as in
    "glyphs:classes=1000,augment=heavy". Kinds:

    - python: the embedded source code.
    - glyphs: the embedded characters as images; classes, augment (none, light, heavy), size,
      images (so many distinct training images; without it none repeats), exponent and offset
      (class k, from 0, has a frequency proportional to (k + offset)^-exponent), polarity (random;
      fixed: ink is brighter than paper), draw (random; quasirandom: classes evenly spread, images
      drawn once and kept in the cache).
    - hf: a data set of the Hugging Face hub, as in "hf:allenai/c4:en:bytes=1e9" (text; column,
      split, bytes) or "hf:uoft-cs/cifar10:images=50000" (images; split, size, augment).
    - parquet, json: local files in the hub's layouts, or a folder of them.
    - folder: a folder of text, or of images as [PART/]CLASS/...; size, augment.
    - cifar10: a folder with CIFAR-10's parquet files, by default $SIMLIB_CIFAR10; augment, images
      (as many training images, the same for every run, and no others).

    Text is read as bytes or, with the option tokenizer=NAME (a model of the hub, or the path of a
    tokenizer.json), as the tokens of that tokenizer.

    cache: folder for built corpora; by default $SIMLIB_CACHE, else the user's cache folder.
    expect_sha256: the hash a record holds, to refuse other data.
    Raises InputError, always in one sentence: an unknown name or option, missing packages or
    files, no network, a cache that cannot be written, another hash than expected.
    """
    kind, argument, options = _parse(name)
    arguments = [] if kind.argument is None else [argument]
    tokenizer = str(options.pop("tokenizer", ""))
    corpus = kind.load(name, *arguments, cache=cache, **options)
    if tokenizer:
        if not isinstance(corpus, TextCorpus):
            raise InputError(f"'{name}' holds images: the option tokenizer is for text")
        corpus = tokenized(corpus, tokenizer, cache)
    if expect_sha256 is not None and corpus.sha256 != expect_sha256:
        raise InputError(
            f"the corpus '{name}' has SHA-256 {corpus.sha256[:16]}..., not the expected "
            f"{expect_sha256[:16]}...: restore the package versions or files of the record, "
            "or start a new record"
        )
    return corpus


def _parse(name: str) -> tuple[_Kind, str, dict[str, float | str]]:
    match = _OPTIONS.match(name)
    head, tail = match.groups() if match else (name, "")
    word, _, argument = head.partition(":")
    kind = _KINDS.get(word)
    if kind is None:
        raise InputError(f"there is no corpus '{name}': known are {', '.join(_usages())}")
    if bool(argument) != (kind.argument is not None) and not kind.optional:
        raise InputError(f"'{name}' is not a corpus: write {_usage(word)}")
    pairs = [pair.split("=") for pair in tail.split(",")] if tail else []
    return kind, argument, {key: _option(name, kind, key, value) for key, value in pairs}


def _option(name: str, kind: _Kind, key: str, value: str) -> float | str:
    if key not in kind.options:
        known = ", ".join(kind.options) or "none"
        raise InputError(f"'{name}' has the unknown option '{key}': known are {known}")
    wanted = kind.options[key]
    if wanted is str:
        return value
    try:
        number = float(value)  # so that 1e8 is a number of bytes
    except ValueError:
        number = math.nan
    if not (number.is_integer() if wanted is int else math.isfinite(number)):
        article = "a whole number" if wanted is int else "a number"
        raise InputError(f"'{name}' needs {article} for {key}, not '{value}'")
    return int(number) if wanted is int else number


def _usages() -> list[str]:
    return [_usage(word) for word in _KINDS]


def _usage(word: str) -> str:
    argument = _KINDS[word].argument
    if argument is None:
        return word
    return f"{word}[:{argument}]" if _KINDS[word].optional else f"{word}:{argument}"
