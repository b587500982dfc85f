"""Finite image sets: every image once per pass, with its own label, in the right part."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from corpus_files import encoded, number_of, write_image_parquet
from damage import flip

from simlib.corpora import load_corpus
from simlib.errors import InputError


@pytest.fixture
def corpus(cifar_folder, tmp_path):
    return load_corpus(f"cifar10:{cifar_folder}", cache=tmp_path)


def test_parts_labels_and_names(corpus):
    assert corpus.image_shape == (32, 32, 3)
    assert corpus.classes == tuple(f"class {k}" for k in range(10))
    images, labels = corpus.validation(50)
    numbers = number_of(images)
    assert sorted(numbers) == list(range(1000, 1050))
    assert np.array_equal(labels, numbers % 10)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize("part", ["train_images", "train_labels", "valid_images", "valid_labels"])
def test_damaged_images_and_labels_are_decoded_again(corpus, cifar_folder, tmp_path, caplog, part):
    name = f"cifar10:{cifar_folder}"
    load_corpus(name, cache=tmp_path)
    assert not caplog.records
    (file,) = (tmp_path / "corpora").glob(f"*/{part}.bin")
    flip(file)
    again = load_corpus(name, cache=tmp_path)
    assert "the corpus is built again" in caplog.text
    assert again.sha256 == corpus.sha256
    assert np.array_equal(number_of(again.images["train"]) % 10, again.labels["train"])
    assert np.array_equal(number_of(again.images["valid"]) % 10, again.labels["valid"])


def test_an_epoch_shows_each_image_once(corpus):
    sampler = corpus.sampler(batch=16, seed=1)
    assert sampler.steps_per_epoch == 12
    made = [sampler.batch(step) for step in range(12)]
    numbers = np.concatenate([number_of(images) for images, _ in made])
    labels = np.concatenate([label for _, label in made])
    assert len(set(numbers)) == 192
    assert set(numbers) <= set(range(200))
    assert np.array_equal(labels, numbers % 10)


def test_a_limit_draws_the_same_images_again_and_again(corpus, cifar_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SIMLIB_CIFAR10", str(cifar_folder))
    few = load_corpus("cifar10:images=48", cache=tmp_path)
    seen = [number_of(few.sampler(16, seed=3).batch(step)[0]) for step in range(3)]
    assert len(set(np.concatenate(seen))) == 48
    assert np.array_equal(few.labels["train"], number_of(few.images["train"]) % 10)
    more = load_corpus("cifar10:images=90", cache=tmp_path)
    assert set(number_of(few.images["train"])) < set(number_of(more.images["train"]))
    assert few.sampler(16).epochs(6) == 2.0
    assert few.sha256 == corpus.sha256
    assert np.array_equal(few.validation(50)[0], corpus.validation(50)[0])
    with pytest.raises(InputError, match="asks for 201 training images, but the set has 200"):
        corpus.limited(201)
    monkeypatch.delenv("SIMLIB_CIFAR10")
    with pytest.raises(InputError, match="set SIMLIB_CIFAR10"):
        load_corpus("cifar10", cache=tmp_path)


def test_passing_the_epoch_warns_once(corpus):
    sampler = corpus.sampler(batch=16)
    with pytest.warns(UserWarning, match="one epoch is 12 steps"):
        sampler.batch(12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler.batch(13)
    assert sampler.epochs(25) == 2.0


@pytest.mark.parametrize("augment", ["light", "heavy"])
def test_distortion_keeps_order_labels_and_validation(corpus, cifar_folder, tmp_path, augment):
    other = load_corpus(f"cifar10:{cifar_folder}:augment={augment}", cache=tmp_path)
    assert other.sha256 == corpus.sha256
    plain, labels = corpus.sampler(20, seed=4).batch(3)
    bent, bent_labels = other.sampler(20, seed=4).batch(3)
    assert np.array_equal(labels, bent_labels)
    assert np.array_equal(bent, other.sampler(20, seed=4).batch(3)[0])
    assert bent.shape == plain.shape
    assert np.array_equal(corpus.validation(40)[0], other.validation(40)[0])


def test_files_without_parts_are_divided_by_hash(tmp_path):
    pytest.importorskip("pyarrow")
    write_image_parquet(tmp_path / "photos.parquet", range(600))
    corpus = load_corpus(f"parquet:{tmp_path / 'photos.parquet'}:size=16", cache=tmp_path)
    train, valid = (number_of(corpus.images[part]) for part in ("train", "valid"))
    assert sorted([*train, *valid]) == list(range(600))
    assert 0 < len(valid) < 40
    assert corpus.image_shape == (16, 16, 3)


@pytest.mark.parametrize("parts", [("train", "val"), ()])
def test_folder_of_images(tmp_path, parts):
    folder = tmp_path / "pictures"
    for number in range(120):
        part = [parts[number % 3 == 0]] if parts else []
        place = folder.joinpath(*part, "cat" if number % 2 else "ant", "sub", f"{number}.png")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encoded(number, side=40))
    corpus = load_corpus(f"folder:{folder}:size=20", cache=tmp_path)
    assert corpus.classes == ("ant", "cat")
    for part in ("train", "valid"):
        numbers = number_of(corpus.images[part])
        assert np.array_equal(corpus.labels[part], numbers % 2)
        if parts:
            assert set(numbers % 3 == 0) == {part == "valid"}
    assert sum(len(labels) for labels in corpus.labels.values()) == 120


def test_oblong_images_are_cut_to_the_centre(tmp_path):
    from PIL import Image

    wide = Image.new("RGB", (90, 30), (255, 0, 0))
    wide.paste((0, 255, 0), (30, 0, 60, 30))
    for number in range(3):
        (tmp_path / "set" / "a").mkdir(parents=True, exist_ok=True)
        wide.save(tmp_path / "set" / "a" / f"{number}.png", pnginfo=None, compress_level=number)
    corpus = load_corpus(f"folder:{tmp_path / 'set'}:size=10", cache=tmp_path)
    assert np.all(corpus.images["train"] == np.array([0, 255, 0], np.uint8))


def test_a_changed_file_is_read_again(corpus, cifar_folder, tmp_path):
    write_image_parquet(cifar_folder / "train-00000-of-00001.parquet", range(300))
    assert load_corpus(f"cifar10:{cifar_folder}", cache=tmp_path).sha256 != corpus.sha256


def test_refusals(corpus, cifar_folder, tmp_path, parquet_file):
    with pytest.raises(InputError, match="50 images, fewer than the 2048 asked for"):
        corpus.validation()
    with pytest.raises(InputError, match=r"batch is 201, but .* has only 200"):
        corpus.sampler(201)
    with pytest.raises(InputError, match="no column img or image"):
        load_corpus(f"cifar10:{parquet_file}", cache=tmp_path)
    for part in ("train", "test"):
        write_image_parquet(cifar_folder / f"{part}-00000-of-00001.parquet", range(3), named=False)
    with pytest.raises(InputError, match="has 3 classes, so it is not CIFAR-10"):
        load_corpus(f"cifar10:{cifar_folder}", cache=tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"broken\.parquet is not a parquet file"):
        load_corpus(f"parquet:{tmp_path / 'broken.parquet'}", cache=tmp_path)
    with pytest.raises(InputError, match=r"no file \*\.parquet"):
        load_corpus(f"parquet:{Path(__file__).parent}", cache=tmp_path)


def test_a_broken_image_is_named_and_nothing_is_kept(tmp_path):
    folder = tmp_path / "set" / "a"
    folder.mkdir(parents=True)
    (folder / "bad.png").write_bytes(encoded(1)[:60])
    with pytest.raises(InputError, match=r"a/bad\.png is not an image that can be read"):
        load_corpus(f"folder:{tmp_path / 'set'}", cache=tmp_path)
    assert list((tmp_path / "corpora").iterdir()) == []


def test_an_image_outside_the_classes_is_named(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "lost.png").write_bytes(encoded(1))
    with pytest.raises(InputError, match=r"lost\.png lies in no class"):
        load_corpus(f"folder:{tmp_path / 'set'}", cache=tmp_path)


def test_a_missing_label_is_named(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = [{"img": {"bytes": encoded(n), "path": None}, "label": -n} for n in range(2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    with pytest.raises(InputError, match=r"row 1 of .*test\.parquet has the label -1"):
        load_corpus(f"parquet:{tmp_path / 'test.parquet'}", cache=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif("SIMLIB_CIFAR10" not in os.environ, reason="SIMLIB_CIFAR10 names no folder")
def test_real_cifar10(tmp_path):
    corpus = load_corpus(f"cifar10:{os.environ['SIMLIB_CIFAR10']}", cache=tmp_path)
    assert {part: len(labels) for part, labels in corpus.labels.items()} == {
        "train": 50_000,
        "valid": 10_000,
    }
    assert np.all(np.bincount(corpus.labels["train"]) == 5000)
    means = corpus.images["train"].mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.491, 0.482, 0.447], atol=0.005)  # widely published


def test_cifar100_by_its_fine_labels(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    for part, numbers in (("train", range(40)), ("test", range(40, 60))):
        rows = [
            {"img": {"bytes": encoded(n), "path": ""}, "fine_label": n % 20, "coarse_label": n % 5}
            for n in numbers
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{part}-00000-of-00001.parquet")
    corpus = load_corpus(f"parquet:{tmp_path}:size=32", cache=tmp_path / "cache")
    assert corpus.num_classes == 20
    assert {part: len(labels) for part, labels in corpus.labels.items()} == {
        "train": 40,
        "valid": 20,
    }
    assert list(number_of(corpus.images["train"]) % 20) == list(corpus.labels["train"])


def test_imagenet_folders(tmp_path):
    """train and val hold a folder for each class, files end in .JPEG, notes lie beside them."""
    Image = pytest.importorskip("PIL.Image")
    for part, count in (("train", 3), ("val", 2)):
        for place, name in enumerate(("n01440764", "n01443537")):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                colour = (200 * place, 0, 10 * number)
                Image.new("RGB", (40, 30), colour).save(folder / f"{name}_{number}.JPEG")
    (tmp_path / "set" / "LOC_synset_mapping.txt").write_text("n01440764 tench\n")
    corpus = load_corpus(f"folder:{tmp_path}/set:size=16", cache=tmp_path / "cache")
    assert corpus.classes == ("n01440764", "n01443537")
    assert (len(corpus.labels["train"]), len(corpus.labels["valid"])) == (6, 4)
    assert corpus.image_shape == (16, 16, 3)
    red = corpus.images["train"][:, 8, 8, 0] > 100
    assert list(red) == [bool(label) for label in corpus.labels["train"]]
