"""Text as the tokens of a Hugging Face tokenizer, in place of its bytes."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from simlib.corpora.base import Manifest, built, cache_root, map_bytes, recipe_key, sha256_files
from simlib.corpora.text import SEPARATOR, TRAIN, VALID, TextCorpus
from simlib.errors import InputError

_AT_ONCE = 1000  # documents handed to the tokenizer, which works on them in parallel


def tokenized(corpus: TextCorpus, tokenizer: str, cache: str | Path | None = None) -> TextCorpus:
    """`corpus` as token ids, written to the cache once.

    `tokenizer` is the path of a tokenizer.json or the name of a model of the hub that has one.
    Every document is followed by one more token, the last of the vocabulary. `sha256` is that of
    the ids; the manifest keeps those of the tokenizer and of the text. Raises InputError if the
    package `tokenizers`, the tokenizer or the network is missing.
    """
    coder = _load(tokenizer)
    digest = hashlib.sha256(coder.to_str().encode()).hexdigest()
    end = coder.get_vocab_size()
    kind = np.dtype("<u2" if end < 2**16 else "<u4")

    def build(work: Path) -> Manifest:
        for name, part in ((TRAIN, corpus.train), (VALID, corpus.valid)):
            with (work / name).open("wb") as file:
                for ids in _encoded(part, coder, end, f"corpus '{corpus.name}': tokens"):
                    file.write(np.array(ids, kind).tobytes())
        paths = [work / TRAIN, work / VALID]
        sizes = {path.name: path.stat().st_size for path in paths}
        return {"kind": "text", "sizes": sizes, "sha256": sha256_files(paths)}

    recipe = {"recipe": 1, "text": corpus.sha256, "tokenizer": digest}
    folder, made = built(cache_root(cache), f"tokens-{recipe_key(recipe)}", build)
    notes = {"tokenizer": tokenizer, "tokenizer_sha256": digest, "text_sha256": corpus.sha256}
    return replace(
        corpus,
        train=map_bytes(folder / TRAIN).view(kind),
        valid=map_bytes(folder / VALID).view(kind),
        sha256=str(made["sha256"]),
        manifest={**corpus.manifest, **made, **notes},
        vocab_size=end + 1,
    )


def _encoded(text: np.ndarray, coder: Any, end: int, describe: str) -> Iterator[list[int]]:
    """Token ids of every document, `end` after each."""
    with tqdm(
        total=len(text), desc=describe, unit="B", unit_scale=True, delay=2, leave=False
    ) as bar:
        for group in _documents(text):
            strings = [document.decode(errors="replace") for document in group]
            # special tokens are for sentences that stand alone, not for a stream of text
            for coded in coder.encode_batch(strings, add_special_tokens=False):
                yield [*coded.ids, end]
            bar.update(sum(len(document) + 1 for document in group))


def _documents(text: np.ndarray) -> Iterator[Sequence[bytes]]:
    ends = np.flatnonzero(text == SEPARATOR[0])
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    for first in range(0, len(ends), _AT_ONCE):
        chosen = slice(first, first + _AT_ONCE)
        yield [text[a:b].tobytes() for a, b in zip(starts[chosen], ends[chosen], strict=True)]


def _load(name: str) -> Any:
    try:
        package: Any = importlib.import_module("tokenizers")
    except ImportError as error:
        raise InputError(
            "text is cut into tokens by the package `tokenizers`, which is not installed: run "
            "`pip install tokenizers`, or leave the option tokenizer out to train on bytes"
        ) from error
    path = Path(name).expanduser()
    try:
        if path.is_file():
            return package.Tokenizer.from_file(str(path))
        return package.Tokenizer.from_pretrained(name)
    except Exception as error:  # the package raises bare Exception
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"there is no tokenizer '{name}': give the path of a tokenizer.json or a model of the "
            f"hub that has one, with a network ({reason})"
        ) from error
