"""Images by their place: evenly spread classes, and the same bytes whether kept or drawn."""

import multiprocessing
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from simlib.corpora import kept, load_corpus
from simlib.corpora.glyphs import GlyphCorpus, systematic, weyl

SMALL = "glyphs:classes=50,size=8,augment=none,exponent=1.5,offset=3,polarity=fixed"
NAME = f"{SMALL},draw=quasirandom"
IMAGES = 2 * kept.CHUNK + 100  # of three chunks


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def corpus(cache):
    return load_corpus(NAME, cache=cache)


@pytest.fixture
def fresh(corpus, tmp_path):
    """The same corpus with nothing drawn yet."""
    return replace(corpus, cache=tmp_path)


def read(corpus, seed: int = 0, batch: int = 100, images: int = IMAGES) -> list[np.ndarray]:
    """The first images of a seed and their classes."""
    sampler = corpus.sampler(batch, seed)
    drawn = [sampler.batch(step) for step in range(-(-images // batch))]
    return [np.concatenate(part)[:images] for part in zip(*drawn, strict=True)]


def digest(corpus) -> str:
    return sha256(b"".join(part.tobytes() for part in read(corpus))).hexdigest()


def drawn_elsewhere(cache: Path, folder: Path) -> str:
    return digest(replace(load_corpus(NAME, cache=cache), cache=folder))


def files(corpus) -> list[Path]:
    return sorted(path for path in corpus.cache.rglob("*") if path.is_file())


@pytest.mark.slow
def test_every_prefix_has_the_class_counts_of_its_shares(corpus):
    """Within 4 of the expected number; drawn at random, heads would be 30 off."""
    for seed in (0, 1):
        _, labels = read(corpus, seed)
        n = np.arange(1, IMAGES + 1)[:, None]
        count = np.cumsum(labels[:, None] == np.arange(50), axis=0)
        assert np.abs(count - n * corpus.class_shares).max() < 4


@pytest.mark.parametrize("first", [0, 12_345, 4_000_000])
def test_places_in_a_row_fill_every_interval_by_its_length(first):
    """The bound of the theorem, and the far smaller one that was measured."""
    place = weyl(np.arange(first, first + 20_000), np.uint64(2**64 * 0.3))
    n = np.arange(1, 20_001)
    for low, high in ((0, 0.3), (0.3, 0.301), (0.25, 0.75), (0.999, 1)):
        off = np.abs(np.cumsum((low <= place) & (place < high)) - n * (high - low))
        assert np.all(off <= 3 + 3.52 * np.log(n))
        assert off.max() < 4
    assert place.min() >= 0
    assert place.max() < 1


def test_a_systematic_sample_has_one_place_in_every_part(corpus):
    place = systematic(np.arange(1000), 1000, 0.25)
    assert np.array_equal(np.sort(np.floor(place * 1000)), np.arange(1000))
    assert not np.array_equal(place, np.sort(place))


@pytest.mark.parametrize("images", [100, 1000, 5000])
def test_validation_holds_every_class_by_its_share(corpus, cache, images):
    pictures, labels = corpus.validation(images)
    assert (pictures.shape, pictures.dtype) == ((images, 8, 8, 1), np.uint8)
    assert labels.dtype == np.int64
    count = np.bincount(labels, minlength=50)
    assert np.all(np.abs(count - images * corpus.class_shares) < 1)
    again = load_corpus(NAME, cache=cache).validation(images)
    assert all(np.array_equal(a, b) for a, b in zip((pictures, labels), again, strict=True))


def test_validation_is_apart_from_training(cache):
    corpus = load_corpus(NAME.replace("none", "light"), cache=cache)
    trained = {image.tobytes() for seed in (0, 1) for image in read(corpus, seed, images=2000)[0]}
    assert not trained & {image.tobytes() for image in corpus.validation(2000)[0]}


def test_images_are_a_function_of_seed_and_place(corpus):
    whole = read(corpus)
    assert all(np.array_equal(a, b) for a, b in zip(whole, read(corpus, batch=37), strict=True))
    late = corpus.sampler(64).batch(100)
    assert np.array_equal(late[0], whole[0][6400:6464])
    assert np.array_equal(late[1], whole[1][6400:6464])
    other = read(corpus, seed=1)
    assert not np.array_equal(whole[0], other[0])
    assert not np.array_equal(whole[1], other[1])


def test_what_is_kept_is_what_is_drawn(fresh, monkeypatch):
    drawn = digest(fresh)
    assert len(files(fresh)) == 3
    monkeypatch.setattr(GlyphCorpus, "_pictures", None)  # nothing can be drawn any more
    assert digest(fresh) == drawn


def test_a_damaged_chunk_is_drawn_again(fresh):
    whole = digest(fresh)
    first, second, third = files(fresh)
    right = [path.read_bytes() for path in (first, second, third)]
    first.write_bytes(right[0][:100] + bytes([right[0][100] ^ 1]) + right[0][101:])
    second.write_bytes(right[1][:5000])
    third.unlink()
    assert digest(fresh) == whole
    assert [path.read_bytes() for path in (first, second, third)] == right


def test_a_full_disk_costs_time_and_nothing_else(corpus, fresh, monkeypatch):
    monkeypatch.setattr(kept, "SPARE_BYTES", 1 << 60)
    with pytest.warns(UserWarning, match="drawn anew by every run.*GiB are free.*SIMLIB_CACHE"):
        assert digest(fresh) == digest(corpus)
    assert not files(fresh)


def test_no_more_is_kept_than_was_said(corpus, fresh, monkeypatch):
    sampler = fresh.sampler(100)
    said = sampler.kept_bytes(-(-IMAGES // 100))
    whole = digest(fresh)
    assert sum(path.stat().st_size for path in files(fresh)) == said

    most = said // 3 * 2
    monkeypatch.setattr(kept, "KEPT_BYTES", most)
    for path in files(fresh):
        path.unlink()
    assert digest(fresh) == whole
    assert sum(path.stat().st_size for path in files(fresh)) == most
    assert sampler.kept_bytes(10**6) == most


def test_drawn_at_random_nothing_is_kept(cache):
    corpus = load_corpus(SMALL, cache=cache)
    corpus.sampler(100).batch(0)
    assert corpus.sampler(100).kept_bytes(1000) == len(files(corpus)) == 0


@pytest.mark.slow
def test_processes_that_draw_at_once_agree(fresh, cache):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(drawn_elsewhere, [(cache, fresh.cache)] * 2)
    assert set(found) == {digest(fresh)}
    assert sorted(os.listdir(fresh.cache / "train-0")) == [f"{n:06d}.bin" for n in range(3)]


def test_a_limit_repeats_the_same_images_in_another_order(cache):
    few = load_corpus(f"{NAME},images=24", cache=cache)
    passes = [read(few, seed, batch=8, images=24) for seed in (0, 5)]
    first, other = ([image.tobytes() for image in images] for images, _ in passes)
    assert sorted(first) == sorted(other)
    assert first != other
    assert few.sampler(8).kept_bytes(10**6) == few.sampler(8).kept_bytes(3) > 0
