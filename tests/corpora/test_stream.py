"""Streamed text: asked-for amounts, the right document after any interruption, no traceback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from corpus_files import documents, write_image_parquet
from damage import flip, zeros

from simlib.corpora import hub, load_corpus, stream
from simlib.corpora.stream import read_position, stream_corpus
from simlib.errors import InputError

pytest.importorskip("datasets")


class ListSource:
    """Documents from a list; remembers where it was asked to begin."""

    def __init__(self, texts, fail_after=None):
        self.texts, self.fail_after = texts, fail_after
        self.started: list[int] = []
        self.place = 0

    def read(self, documents, state):
        assert state == (documents or None)
        self.started.append(documents)
        self.place = documents
        while self.place < len(self.texts):
            if self.place == self.fail_after:
                raise InputError("the network is gone")
            self.place += 1
            yield self.texts[self.place - 1]

    def state(self):
        return self.place

    def about(self):
        return {"name": "list"}


@pytest.fixture
def texts(monkeypatch):
    monkeypatch.setattr(stream, "_SAVE_EVERY", 1000)
    return [text.encode() for text in documents(500)]


def whole(corpus):
    return bytes(corpus.train), bytes(corpus.valid)


def test_amount_asked_for_in_whole_documents(texts, tmp_path):
    corpus = stream_corpus("s", tmp_path, "k", ListSource(texts), 5000)
    kept = [doc for doc in bytes(corpus.train).split(b"\0") if doc]
    held = [doc for doc in bytes(corpus.valid).split(b"\0") if doc]
    assert set(kept) | set(held) == set(texts[: corpus.manifest["documents"]])
    assert len(corpus.train) - len(kept[-1]) - 1 < 5000 <= len(corpus.train)


def test_more_continues_and_less_is_a_prefix(texts, tmp_path):
    source = ListSource(texts)
    small = stream_corpus("s", tmp_path, "k", source, 3000)
    read = small.manifest["documents"]
    large = stream_corpus("s", tmp_path, "k", source, 9000)
    again = stream_corpus("s", tmp_path, "k", source, 3000)
    assert source.started == [0, read]
    assert whole(again) == whole(small)
    assert again.sha256 == small.sha256 != large.sha256
    assert bytes(large.train).startswith(bytes(small.train))
    direct = stream_corpus("s", tmp_path, "fresh", ListSource(texts), 9000)
    assert whole(direct) == whole(large)
    assert direct.sha256 == large.sha256


def test_all_of_a_short_source_and_no_second_reading(texts, tmp_path):
    source = ListSource(texts)
    corpus = stream_corpus("s", tmp_path, "k", source, 10**9)
    assert corpus.manifest["documents"] == len(texts)
    assert whole(stream_corpus("s", tmp_path, "k", source, 10**9)) == whole(corpus)
    assert source.started == [0]


@pytest.mark.parametrize("fail_after", [1, 77, 200])
def test_a_broken_connection_loses_little_and_repeats_nothing(texts, tmp_path, fail_after):
    expected = stream_corpus("s", tmp_path, "unbroken", ListSource(texts), 50_000)
    with pytest.raises(InputError, match="the network is gone"):
        stream_corpus("s", tmp_path, "k", ListSource(texts, fail_after), 50_000)
    saved = read_position(tmp_path / "k")
    source = ListSource(texts)
    resumed = stream_corpus("s", tmp_path, "k", source, 50_000)
    assert source.started == [saved.documents]
    lost = sum(len(text) + 1 for text in texts[saved.documents : fail_after])
    assert lost < 1000 + 2 * 500  # one interval, and the two documents around its ends
    assert whole(resumed) == whole(expected)
    assert resumed.sha256 == expected.sha256


KILLED = """
import json, os, signal, sys
from pathlib import Path
from simlib.corpora import stream
stream._SAVE_EVERY = 1000
texts = [text.encode() for text in json.loads(Path(sys.argv[1]).read_text())]

class Dying:
    def about(self): return {"name": "list"}
    def state(self): return self.place
    def read(self, documents, state):
        for self.place, text in enumerate(texts[documents:], documents + 1):
            if self.place == 150:
                os.kill(os.getpid(), signal.SIGKILL)
            yield text

stream.stream_corpus("s", Path(sys.argv[2]), "k", Dying(), 50_000)
"""


def test_a_killed_process_resumes_to_the_same_bytes(texts, tmp_path):
    (tmp_path / "texts.json").write_text(json.dumps([text.decode() for text in texts]))
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "texts.json"), str(tmp_path)]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    assert 100 < read_position(tmp_path / "k").documents < 150
    resumed = stream_corpus("s", tmp_path, "k", ListSource(texts), 50_000)
    expected = stream_corpus("s", tmp_path, "unbroken", ListSource(texts), 50_000)
    assert resumed.sha256 == expected.sha256


@pytest.mark.parametrize("file", ["train.bin", "valid.bin", "ends.bin", "position.json"])
@pytest.mark.parametrize("harm", ["flip", "zeros", "cut", "gone"])
@pytest.mark.parametrize("wanted", [3000, 9000, 12_000])
def test_a_damaged_stream_is_set_aside_and_read_again(texts, tmp_path, file, harm, wanted, caplog):
    expected = stream_corpus("s", tmp_path, "unbroken", ListSource(texts), wanted)
    stream_corpus("s", tmp_path, "k", ListSource(texts), 9000)
    path = tmp_path / "k" / file
    size = path.stat().st_size
    {
        "flip": lambda: flip(path),
        "zeros": lambda: zeros(path, size // 3, 40),
        "cut": lambda: os.truncate(path, size // 2),
        "gone": lambda: path.unlink(),
    }[harm]()
    source = ListSource(texts)
    again = stream_corpus("s", tmp_path, "k", source, wanted)
    assert whole(again) == whole(expected)
    assert again.sha256 == expected.sha256
    assert source.started == [0]
    if (file, harm) == ("position.json", "gone"):
        return  # nothing says that there was any
    (sentence,) = [r.getMessage() for r in caplog.records]
    assert "k is not as it was written: its files end in .damaged now" in sentence
    stream_corpus("s", tmp_path, "k", ListSource([]), wanted)


def test_what_was_damaged_during_a_pause_is_not_gone_on_from(texts, tmp_path, caplog):
    expected = stream_corpus("s", tmp_path, "unbroken", ListSource(texts), 50_000)
    with pytest.raises(InputError, match="the network is gone"):
        stream_corpus("s", tmp_path, "k", ListSource(texts, 100), 50_000)
    flip(tmp_path / "k" / "train.bin", 50)
    assert stream_corpus("s", tmp_path, "k", ListSource(texts), 50_000).sha256 == expected.sha256
    assert ".damaged" in caplog.text


def test_a_stream_written_before_there_were_checksums_is_taken(texts, tmp_path):
    expected = stream_corpus("s", tmp_path, "k", ListSource(texts), 9000)
    place = tmp_path / "k" / "position.json"
    note = json.loads(place.read_text())
    del note["check"], note["sums"]
    place.write_text(json.dumps(note))
    again = stream_corpus("s", tmp_path, "k", ListSource([]), 9000)
    assert again.sha256 == expected.sha256


def test_an_empty_source_is_refused(tmp_path):
    with pytest.raises(InputError, match="no text to train on"):
        stream_corpus("s", tmp_path, "k", ListSource([]), 100)


# The `datasets` package as the reader of local files, in C4's layout


def test_json_and_parquet_of_the_same_rows_agree(json_files, parquet_file, tmp_path):
    from_json = load_corpus(f"json:{json_files}", cache=tmp_path)
    from_parquet = load_corpus(f"parquet:{parquet_file}", cache=tmp_path)
    assert from_json.sha256 == from_parquet.sha256
    found = {doc for part in whole(from_json) for doc in part.split(b"\0") if doc}
    assert found == {text.encode() for text in documents(2000)}


@pytest.mark.parametrize("same_version", [True, False])
def test_reader_resumes_at_the_right_document(json_files, tmp_path, monkeypatch, same_version):
    """Also when another version of the reader cannot use the recorded place: then it skips."""
    name = f"json:{json_files}"
    load_corpus(f"{name}:bytes=150_000", cache=tmp_path)
    if not same_version:
        folder = next((tmp_path / "corpora").iterdir())
        note = json.loads((folder / "position.json").read_text())
        note["state"] = {"datasets": "0.0", "position": None}
        del note["check"]
        (folder / "position.json").write_text(json.dumps(note))
    resumed = load_corpus(f"{name}:bytes=300_000", cache=tmp_path)
    direct = load_corpus(f"{name}:bytes=300_000", cache=tmp_path / "other")
    assert len(resumed.train) >= 300_000
    assert resumed.sha256 == direct.sha256


def test_a_wrong_column_is_told_the_columns(json_files, tmp_path):
    with pytest.raises(InputError, match=r"no text in a column 'body'.*text, timestamp, url"):
        load_corpus(f"json:{json_files}:column=body", cache=tmp_path)


def test_a_broken_file_is_one_sentence(tmp_path):
    (tmp_path / "bad.json.gz").write_bytes(b"not gzip")
    with pytest.raises(InputError, match=r"bad\.json\.gz cannot be read as json"):
        load_corpus(f"json:{tmp_path / 'bad.json.gz'}", cache=tmp_path)


# The hub, replaced by local files


class FakeHub:
    """Stands for the `datasets` package: names of the hub lead to local parquet files."""

    def __init__(self, files: dict[str, Path]) -> None:
        import datasets

        self.real, self.files = datasets, files
        self.asked: list[tuple] = []
        self.__version__ = datasets.__version__
        self.Image, self.ClassLabel = datasets.Image, datasets.ClassLabel

    def load_dataset(self, repo, config=None, *, split, streaming, revision):
        self.asked.append((repo, config, split, revision))
        assert streaming
        return self.real.load_dataset(
            "parquet", data_files=str(self.files[split]), split="train", streaming=True
        )

    def get_dataset_split_names(self, repo, config, revision):
        return list(self.files)


def test_hub_text_keeps_its_revision_and_needs_no_network_twice(
    parquet_file, tmp_path, monkeypatch
):
    fake = FakeHub({"train": parquet_file})
    monkeypatch.setattr(hub, "_datasets", lambda: fake)
    monkeypatch.setattr(hub, "_revision", lambda repo: "abc123")
    first = load_corpus("hf:allenai/c4:en:bytes=100_000", cache=tmp_path)
    monkeypatch.setattr(hub, "_revision", lambda repo: pytest.fail("asked again"))
    more = load_corpus("hf:allenai/c4:en:bytes=200_000", cache=tmp_path)
    assert fake.asked == [("allenai/c4", "en", "train", "abc123")] * 2
    assert more.manifest["source"]["revision"] == "abc123"
    assert bytes(more.train).startswith(bytes(first.train))
    monkeypatch.setattr(hub, "_datasets", lambda: pytest.fail("opened again"))
    cached = load_corpus("hf:allenai/c4:en:bytes=100_000", cache=tmp_path)
    assert cached.sha256 == first.sha256
    monkeypatch.undo()
    local = load_corpus(f"parquet:{parquet_file}:bytes=100_000", cache=tmp_path)
    assert local.sha256 == first.sha256


def test_hub_images(tmp_path, monkeypatch):
    for part, numbers in (("train", range(100)), ("test", range(500, 530))):
        write_image_parquet(tmp_path / f"{part}.parquet", numbers)
    fake = FakeHub({part: tmp_path / f"{part}.parquet" for part in ("train", "test")})
    monkeypatch.setattr(hub, "_datasets", lambda: fake)
    monkeypatch.setattr(hub, "_revision", lambda repo: "abc123")
    corpus = load_corpus("hf:some/photos:images=60", cache=tmp_path)
    assert {part: len(labels) for part, labels in corpus.labels.items()} == {
        "train": 60,
        "valid": 30,
    }
    assert corpus.classes == tuple(f"class {k}" for k in range(10))
    images, labels = corpus.sampler(60).batch(0)
    assert sorted(images[:, 5, 5, 1]) == list(range(60))
    assert all(images[:, 5, 5, 1] % 10 == labels)


@pytest.mark.parametrize("name", ["hf:allenai/c4:en", "hf:some/photos:images=10"])
def test_no_network_is_one_sentence(name, tmp_path, monkeypatch):
    import huggingface_hub

    def fails(self, repo, **options):
        raise ConnectionError("Name or service not known\nand much more")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", fails)
    with pytest.raises(InputError, match=r"cannot be reached for '.*service not known") as caught:
        load_corpus(name, cache=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "package", "missing"),
    [
        ("json:{json}", "datasets", "datasets"),
        ("hf:allenai/c4:en", "datasets", "datasets"),
        ("parquet:{parquet}", "pyarrow", "pyarrow"),
    ],
)
def test_a_missing_package_is_named(
    name, package, missing, json_files, parquet_file, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"pip install {missing}"):
        load_corpus(name.format(json=json_files, parquet=parquet_file), cache=tmp_path)
