"""Windows of text: once per epoch, a function of (seed, step), validation apart and fixed."""

import shutil
import warnings

import numpy as np
import pytest
from damage import flip, zeros

from simlib.corpora import load_corpus, text
from simlib.corpora.text import in_validation
from simlib.errors import InputError


@pytest.fixture
def corpus(text_folder, tmp_path):
    return load_corpus(f"folder:{text_folder}", cache=tmp_path)


@pytest.mark.parametrize("batch", [1, 4, 7])
def test_an_epoch_predicts_each_token_once(corpus, batch):
    sampler = corpus.sampler(batch=batch, seq_len=16, seed=3)
    windows = np.concatenate([sampler.batch(step) for step in range(sampler.steps_per_epoch)])
    assert windows.shape == (sampler.steps_per_epoch * batch, 17)
    # What one pass covers is the corpus cut into pieces, all but the last incomplete batch.
    pieces = [bytes(corpus.train[i : i + 17]) for i in range(0, len(corpus.train) - 16, 16)]
    seen = [bytes(window.astype(np.uint8)) for window in windows]
    assert len(pieces) - batch < len(seen) <= len(pieces)
    missing = list(pieces)
    for window in seen:
        missing.remove(window)


def test_batch_is_a_function_of_seed_and_step(corpus):
    one, other = corpus.sampler(8, 32, seed=1), corpus.sampler(8, 32, seed=1)
    forward = [one.batch(step) for step in range(5)]
    backward = [other.batch(step) for step in reversed(range(5))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert not np.array_equal(forward[0], corpus.sampler(8, 32, seed=2).batch(0))
    assert forward[0].dtype == np.int64
    assert 0 <= forward[0].min() <= forward[0].max() < corpus.vocab_size


@pytest.mark.parametrize("ahead", [1, 300, 10**7])
def test_batches_do_not_depend_on_how_many_are_read_at_a_time(corpus, monkeypatch, ahead):
    steps = [0, 1, 5, 4, 20]
    usual = corpus.sampler(8, 16, seed=2)
    monkeypatch.setattr(text, "_TOKENS_AHEAD", ahead)
    other = corpus.sampler(8, 16, seed=2)
    assert all(np.array_equal(usual.batch(step), other.batch(step)) for step in steps)
    assert np.array_equal(other.tokens(4, 2), [usual.batch(4), usual.batch(5)])


def test_passing_the_epoch_warns_once(corpus):
    sampler = corpus.sampler(batch=8, seq_len=32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler.batch(sampler.steps_per_epoch - 1)
    with pytest.warns(UserWarning, match=f"one epoch is {sampler.steps_per_epoch} steps"):
        sampler.batch(sampler.steps_per_epoch + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler.batch(sampler.steps_per_epoch + 2)
    assert (
        sampler.epochs(sampler.steps_per_epoch) <= 1 < sampler.epochs(sampler.steps_per_epoch + 1)
    )


def test_second_pass_has_another_order(corpus):
    sampler = corpus.sampler(batch=1, seq_len=32)
    count = sampler.steps_per_epoch
    first = np.concatenate([sampler.batch(step) for step in range(count)])
    with pytest.warns(UserWarning, match="repeats"):
        second = np.concatenate([sampler.batch(step) for step in range(count, 2 * count)])
    assert not np.array_equal(first, second)
    assert sorted(map(bytes, first)) == sorted(map(bytes, second))


def test_validation_is_fixed_and_apart(corpus):
    windows = corpus.validation(seq_len=8, windows=10)
    assert windows.shape == (10, 9)
    assert np.array_equal(windows, corpus.validation(seq_len=8, windows=10))
    train, valid = (set(bytes(part).split(b"\0")) - {b""} for part in (corpus.train, corpus.valid))
    assert train
    assert valid
    assert not train & valid
    assert len(train) + len(valid) == corpus.manifest["documents"] == 300


def test_share_held_out_is_two_percent():
    rng = np.random.default_rng(0)
    held = sum(in_validation(rng.bytes(32)) for _ in range(50_000))
    assert abs(held / 50_000 - 0.02) < 0.003


def test_names_copies_and_line_ends_do_not_change_the_corpus(corpus, text_folder, tmp_path):
    other = tmp_path / "moved"
    shutil.copytree(text_folder, other)
    (other / "0" / "0.txt").rename(other / "zzz.txt")
    shutil.copy(other / "1" / "1.txt", other / "again.txt")
    (other / "empty.txt").touch()
    (other / "binary.dat").write_bytes(b"\0\1\2")
    (other / ".git").mkdir()
    (other / ".git" / "config").write_text("hidden")
    moved = load_corpus(f"folder:{other}", cache=tmp_path)
    assert moved.sha256 == corpus.sha256
    text = (other / "2" / "2.txt").read_bytes()
    (other / "2" / "2.txt").write_bytes(text + b"a\nb\n")
    unix = load_corpus(f"folder:{other}", cache=tmp_path)
    (other / "2" / "2.txt").write_bytes(text + b"a\r\nb\r\n")
    windows = load_corpus(f"folder:{other}", cache=tmp_path)
    assert unix.sha256 == windows.sha256 != corpus.sha256


def test_sha256_is_that_of_the_two_files(corpus):
    import hashlib

    assert corpus.sha256 == hashlib.sha256(bytes(corpus.train) + bytes(corpus.valid)).hexdigest()


@pytest.mark.parametrize("harm", [flip, lambda path: zeros(path, 1000, 10**6)])
def test_a_damaged_cache_is_never_trained_on(corpus, text_folder, tmp_path, harm, caplog):
    expected = bytes(corpus.train)
    (file,) = (tmp_path / "corpora").glob("*/train.bin")
    harm(file)
    again = load_corpus(f"folder:{text_folder}", cache=tmp_path)
    assert bytes(again.train) == expected
    assert again.sha256 == corpus.sha256
    assert "the corpus is built again" in caplog.text


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda c: c.sampler(batch=4, seq_len=10**6), "seq_len 1000000 needs 1000001 tokens"),
        (lambda c: c.sampler(batch=0), "batch is 0"),
        (lambda c: c.sampler(seq_len=0), "seq_len is 0"),
        (lambda c: c.sampler(seed=-1), "seed is -1"),
        (lambda c: c.sampler().batch(-1), "step is -1"),
        (lambda c: c.validation(seq_len=64, windows=10**5), "fewer than the 100000 asked for"),
        (lambda c: c.validation(seq_len=10**5), "seq_len 100000 needs"),
    ],
)
def test_refusals(corpus, ask, words):
    with pytest.raises(InputError, match=words):
        ask(corpus)
