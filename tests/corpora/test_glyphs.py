"""Glyphs: labels tell the picture, frequencies have a long tail, nothing depends on order."""

import re
import warnings

import numpy as np
import pytest

from simlib.corpora import glyphs, load_corpus
from simlib.corpora.base import verified_manifest
from simlib.datasets import load_runs
from simlib.errors import InputError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def corpus(cache):
    return load_corpus("glyphs", cache=cache)


@pytest.mark.slow
def test_shapes(corpus):
    images, labels = corpus.sampler(batch=16).batch(0)
    assert images.shape == (16, *corpus.image_shape) == (16, 32, 32, 1)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert corpus.num_classes == len(set(corpus.characters)) == 256
    assert 0 <= labels.min() <= labels.max() < 256


def test_the_rendered_faces_are_checked_and_not_rendered_twice(corpus, cache, monkeypatch):
    monkeypatch.setattr(glyphs, "_render", lambda *_: pytest.fail("rendered"))
    load_corpus("glyphs:classes=9", cache=cache)
    (folder,) = (cache / "corpora").glob("glyphs-*")
    assert verified_manifest(folder) == corpus.manifest


def test_batch_is_a_function_of_seed_and_step(corpus):
    one, other = corpus.sampler(8, seed=1), corpus.sampler(8, seed=1)
    forward = [one.batch(step)[0] for step in range(4)]
    backward = [other.batch(step)[0] for step in reversed(range(4))][::-1]
    assert np.array_equal(forward, backward)
    assert not np.array_equal(forward[0], forward[1])
    assert not np.array_equal(forward[0], corpus.sampler(8, seed=2).batch(0)[0])


def test_a_limit_repeats_the_same_images_in_another_order_each_pass(corpus, cache):
    few = load_corpus("glyphs:images=24", cache=cache)
    passes = []
    for seed, first in ((0, 0), (0, 3), (5, 0)):
        sampler = few.sampler(8, seed=seed)
        drawn = [sampler.batch(first + step) for step in range(3)]
        pictures = np.concatenate([images for images, _ in drawn])
        labels = np.concatenate([classes for _, classes in drawn])
        passes.append(
            [(image.tobytes(), int(k)) for image, k in zip(pictures, labels, strict=True)]
        )
    assert len(set(passes[0])) == 24
    assert set(passes[0]) == set(passes[1]) == set(passes[2])
    assert passes[0] != passes[1]
    assert few.sampler(8).epochs(6) == 2.0
    assert corpus.sampler(8).epochs(6) == 0.0
    assert few.sha256 != corpus.sha256
    assert np.array_equal(few.validation(30)[0], corpus.validation(30)[0])


def test_validation_is_fixed_grows_by_prefix_and_is_apart_from_training(corpus):
    images, labels = corpus.validation(300)
    assert np.array_equal(images, corpus.validation(300)[0])
    assert np.array_equal(images[:100], corpus.validation(100)[0])
    assert len(labels) == 300
    seen = {image.tobytes() for seed in (0, 1) for image in corpus.sampler(300, seed).batch(0)[0]}
    assert not seen & {image.tobytes() for image in images}


def test_frequencies_follow_the_documented_tail(corpus):
    labels = np.concatenate([corpus.sampler(2000).batch(step)[1] for step in range(5)])
    shares = corpus.class_shares
    assert shares[0] / shares[9] == pytest.approx(10**1)
    assert shares.sum() == pytest.approx(1)
    head = np.bincount(labels, minlength=256)[:20] / len(labels)
    assert np.all(np.abs(head - shares[:20]) < 5 * np.sqrt(shares[:20] / len(labels)))


def test_no_two_classes_look_the_same_in_any_face(corpus):
    for face in range(corpus.atlas.shape[1]):
        pictures = {picture.tobytes() for picture in corpus.atlas[:, face]}
        assert len(pictures) == len(corpus.atlas) > 2000


def test_fewer_classes_are_among_more(corpus, cache):
    small, large = (load_corpus(f"glyphs:classes={n}", cache=cache) for n in (10, 1000))
    assert large.characters[:256] == corpus.characters
    assert corpus.characters[:10] == small.characters


@pytest.mark.slow
def test_labels_can_be_learnt_and_heavy_is_harder_than_light(cache):
    """The nearest class mean of pixels is a poor classifier, but far above chance."""
    right = {}
    for augment in ("none", "light", "heavy"):
        corpus = load_corpus(f"glyphs:classes=20,augment={augment}", cache=cache)
        train, test = corpus.draw(np.random.default_rng(0), 4000), corpus.validation(1000)
        means = np.stack([features(train[0][train[1] == k]).mean(0) for k in range(20)])
        scores = features(test[0]) @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
        right[augment] = (scores.argmax(1) == test[1]).mean()
    assert right["none"] > right["light"] > right["heavy"] > 0.1
    assert right["none"] > 0.6


def features(images: np.ndarray) -> np.ndarray:
    """Pixels against the corner's brightness, so that ink and paper may change places."""
    flat = images.reshape(len(images), -1).astype(float)
    return np.abs(flat - np.median(flat, axis=1, keepdims=True))


def test_contrast_is_at_least_what_the_strength_says(cache):
    for augment, least in (("none", 254), ("light", 0.5 * 255)):
        corpus = load_corpus(f"glyphs:augment={augment},size=48", cache=cache)
        images, labels = corpus.sampler(200).batch(0)
        solid = images[labels == 0].reshape((labels == 0).sum(), -1).astype(int)
        assert len(solid) > 10
        assert np.all(np.ptp(solid, axis=1) >= least - 2)


@pytest.mark.parametrize("size", [16, 24, 48])
def test_other_sizes(cache, size):
    corpus = load_corpus(f"glyphs:size={size}", cache=cache)
    assert corpus.sampler(4).batch(0)[0].shape == (4, size, size, 1)


def test_hash_covers_every_option(corpus, cache):
    names = [
        "glyphs:classes=255",
        "glyphs:augment=heavy",
        "glyphs:size=31",
        "glyphs:exponent=1.5",
        "glyphs:offset=3",
        "glyphs:polarity=fixed",
        "glyphs:draw=quasirandom",
    ]
    hashes = {load_corpus(name, cache=cache).sha256 for name in names} | {corpus.sha256}
    assert len(hashes) == 8
    usual = "glyphs:size=32,augment=light,exponent=1,offset=1.0,polarity=random,draw=random"
    assert load_corpus(usual, cache=cache).sha256 == corpus.sha256


def test_published_runs_keep_their_corpus(corpus):
    """Options that came later have left the hash of the shipped table as it was."""
    if corpus.manifest["sha256"] != glyphs.SHA256:
        pytest.skip("other versions of matplotlib or Pillow draw other faces")
    assert {r.dataset_sha256 for r in load_runs("vit-laptop")} == {corpus.sha256}


def test_exponent_and_offset_are_those_of_the_formula(cache):
    name = "glyphs:classes=500,exponent=1.5,offset=3"
    shares = load_corpus(name, cache=cache).class_shares
    assert shares.sum() == pytest.approx(1)
    assert shares[0] / shares[97] == pytest.approx((100 / 3) ** 1.5)


def test_ink_of_fixed_polarity_is_brighter_than_paper(cache):
    corner, brightest = ({}, {})
    for polarity in ("random", "fixed"):
        name = f"glyphs:augment=none,size=48,polarity={polarity}"
        images, _ = load_corpus(name, cache=cache).sampler(200).batch(0)
        corner[polarity] = set(images[:, 0, 0, 0].tolist())
        brightest[polarity] = images.max(axis=(1, 2, 3)).min()
    assert corner == {"random": {0, 255}, "fixed": {0}}
    assert brightest["fixed"] > 100


def test_more_classes_than_characters_is_refused(cache):
    with pytest.raises(InputError, match="classes is 9999, but only 2"):
        load_corpus("glyphs:classes=9999", cache=cache)


def test_recorded_hash_matches_and_other_pillow_warns(cache, corpus, monkeypatch):
    packages = corpus.manifest["packages"]
    if all(packages[name] == version for name, version in glyphs.VERSIONS.items()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load_corpus("glyphs", cache=cache)
    monkeypatch.setitem(glyphs.VERSIONS, "pillow", "9.9.9")
    monkeypatch.setattr(glyphs, "SHA256", "0" * 64)
    words = re.escape(f"pillow {packages['pillow']} (recorded: 9.9.9)")
    with pytest.warns(UserWarning, match=words) as caught:
        load_corpus("glyphs", cache=cache)
    assert caught[0].filename == __file__
