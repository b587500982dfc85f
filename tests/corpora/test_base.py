"""The shuffle visits everything once; a build is whole or absent."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from damage import flip, zeros
from hypothesis import given
from hypothesis import strategies as st

from simlib.corpora.base import built, cache_root, sha256_files, shuffled, verified_manifest
from simlib.errors import InputError


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**63), epoch=st.integers(0, 1000))
def test_every_pass_is_a_permutation(size, seed, epoch):
    index = np.arange(size) + epoch * size
    assert sorted(shuffled(index, size, seed)) == list(range(size))


def test_order_depends_on_seed_and_pass_and_not_on_grouping():
    index = np.arange(1000)
    order = shuffled(index, 1000, 1)
    assert not np.array_equal(order, shuffled(index, 1000, 2))
    assert not np.array_equal(order, shuffled(index + 1000, 1000, 1))
    pieces = [shuffled(index[start : start + 7], 1000, 1) for start in range(0, 1000, 7)]
    assert np.array_equal(order, np.concatenate(pieces))


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_order_looks_random(seed):
    """Neighbours are uncorrelated, and each tenth of a pass is spread over the whole."""
    size = 100_000
    order = shuffled(np.arange(size), size, seed) / size
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.02
    for tenth in np.split(order, 10):
        counts = np.histogram(tenth, 20, (0, 1))[0]
        assert np.all(np.abs(counts - 500) < 6 * np.sqrt(500))
    others = shuffled(np.arange(size), size, seed + 1) / size
    assert abs(np.corrcoef(order, others)[0, 1]) < 0.02


def write_one(folder: Path) -> dict:
    (folder / "data.bin").write_bytes(b"x" * 1000)
    digest = sha256_files([folder / "data.bin"])
    return {"sizes": {"data.bin": 1000}, "sha256": digest, "classes": 7}


def test_second_load_does_not_build(tmp_path):
    folder, manifest = built(tmp_path, "key", write_one)

    def never(folder: Path) -> dict:
        raise AssertionError("built twice")

    assert built(tmp_path, "key", never) == (folder, manifest)


def test_failed_build_leaves_nothing(tmp_path):
    def fails(folder: Path) -> dict:
        write_one(folder)
        raise InputError("no such data")

    with pytest.raises(InputError, match="no such data"):
        built(tmp_path, "key", fails)
    assert list(tmp_path.iterdir()) == []


DAMAGE = {
    "a shorter file": lambda folder: (folder / "data.bin").write_bytes(b"x" * 999),
    "a flipped bit": lambda folder: flip(folder / "data.bin"),
    "zeros": lambda folder: zeros(folder / "data.bin", 100, 400),
    "a file that is gone": lambda folder: (folder / "data.bin").unlink(),
    "another count": lambda folder: flip(
        folder / "manifest.json", (folder / "manifest.json").read_text().index(": 7,") + 2
    ),
    "half a manifest": lambda folder: (folder / "manifest.json").write_text('{"sizes": {"da'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_set_aside_and_built_again(tmp_path, damage, caplog):
    folder, manifest = built(tmp_path, "key", write_one)
    for _ in range(2):
        DAMAGE[damage](folder)
        caplog.clear()
        assert built(tmp_path, "key", write_one) == (folder, manifest)
        assert verified_manifest(folder) == manifest
        (sentence,) = [r.getMessage() for r in caplog.records]
        assert "key is not as it was built: it is key.damaged now" in sentence
        assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.damaged"]


def test_a_folder_built_before_manifests_were_checked_is_taken(tmp_path):
    folder, manifest = built(tmp_path, "key", write_one)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert built(tmp_path, "key", lambda work: pytest.fail("built twice")) == (folder, manifest)


def test_two_builders_at_once_agree(tmp_path):
    both_building = threading.Barrier(2)
    results = []

    def slow(folder: Path) -> dict:
        both_building.wait(timeout=10)
        return write_one(folder)

    threads = [
        threading.Thread(target=lambda: results.append(built(tmp_path, "key", slow)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results[0] == results[1]
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_unwritable_cache_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="SIMLIB_CACHE"):
        built(tmp_path / "file", "key", write_one)


def test_cache_place(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "env"))
    assert cache_root() == tmp_path / "env" / "corpora"
    assert cache_root(tmp_path) == tmp_path / "corpora"
