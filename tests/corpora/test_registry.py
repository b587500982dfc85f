"""Names of corpora: what is understood, and what each mistake is told."""

import re
from pathlib import Path

import pytest

from simlib.corpora import load_corpus
from simlib.corpora.registry import _KINDS
from simlib.errors import InputError


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("c4", r"known are python, glyphs, hf:.*, folder:PATH, cifar10\[:PATH\]"),
        ("", "known are python"),
        ("python:extra", "write python"),
        ("folder", "write folder:PATH"),
        ("glyphs:faces=3", "unknown option 'faces': known are classes, augment, size, images"),
        ("python:size=3", "unknown option 'size': known are tokenizer"),
        ("glyphs:classes=many", "whole number for classes, not 'many'"),
        ("glyphs:classes=2.5", "whole number for classes"),
        ("glyphs:classes=inf", "whole number for classes"),
        ("glyphs:classes=1", "classes is 1"),
        ("glyphs:size=4", "size is 4"),
        ("glyphs:augment=wild", "augment is 'wild', but must be one of none, light, heavy"),
        (
            "glyphs:exponent=steep",
            "'glyphs:exponent=steep' needs a number for exponent, not 'steep'",
        ),
        ("glyphs:offset=inf", "needs a number for offset, not 'inf'"),
        ("glyphs:exponent=-1", "exponent is -1, but must be a number of at least 0"),
        ("glyphs:offset=0", "offset is 0, but must be a number above 0"),
        ("glyphs:polarity=dark", "polarity is 'dark', but must be one of random, fixed"),
        ("glyphs:draw=sobol", "draw is 'sobol', but must be one of random, quasirandom"),
        ("folder:/no/such/place", "no file or folder /no/such/place"),
    ],
)
def test_mistakes_are_named(name, words, tmp_path):
    with pytest.raises(InputError, match=words):
        load_corpus(name, cache=tmp_path)
    assert not (tmp_path / "corpora").exists()


def test_every_kind_is_explained_to_users():
    page = Path(__file__).resolve().parents[2] / "book" / "data.md"
    for kind in _KINDS:
        said = load_corpus.__doc__.partition("Kinds:")[2]
        assert re.search(rf"^ *- ([\w, ]+, )?{kind}[:,]", said, re.MULTILINE), (
            f"say in the docstring of load_corpus what {kind} is"
        )
        assert re.search(rf"`{kind}[`:\[]", page.read_text()), f"say in {page} what {kind} is"


def test_a_path_may_hold_colons_and_options_follow_it(text_folder, tmp_path):
    odd = tmp_path / "a:b=c"
    text_folder.rename(odd)
    assert len(load_corpus(f"folder:{odd}/:size=16", cache=tmp_path).train) > 0


def test_another_hash_than_expected_is_refused(text_folder, tmp_path):
    name = f"folder:{text_folder}"
    corpus = load_corpus(name, cache=tmp_path)
    assert load_corpus(name, cache=tmp_path, expect_sha256=corpus.sha256).sha256 == corpus.sha256
    with pytest.raises(InputError, match=f"SHA-256 {corpus.sha256[:16]}.*not the expected 0000"):
        load_corpus(name, cache=tmp_path, expect_sha256="0" * 64)
