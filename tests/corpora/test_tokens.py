"""Text through a tokenizer: the same documents, resumed to the same tokens, or one sentence."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from corpus_files import WORDS, documents, encoded

from simlib.corpora import load_corpus
from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.train.batches import make_batches
from simlib.train.trainer import Trainer


class WordCutter:
    """Stands for the package's Tokenizer: a number for every word of a list, and one for others."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    @classmethod
    def from_file(cls, path: str) -> "WordCutter":
        return cls(json.loads(Path(path).read_text()))

    @classmethod
    def from_pretrained(cls, name: str) -> "WordCutter":
        raise Exception(f"Model {name} on the Hub doesn't have a tokenizer")

    def to_str(self) -> str:
        return json.dumps(self.words)

    def get_vocab_size(self) -> int:
        return len(self.words) + 1

    def encode_batch(self, texts, add_special_tokens):
        assert not add_special_tokens
        number = {word: place for place, word in enumerate(self.words)}
        cut = [[number.get(word, len(self.words)) for word in text.split(" ")] for text in texts]
        return [SimpleNamespace(ids=ids) for ids in cut]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "tokenizers", SimpleNamespace(Tokenizer=WordCutter))
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(WORDS))
    return path


def test_every_document_is_there_once_and_ends_with_its_mark(
    words: Path, text_folder: Path, tmp_path: Path
) -> None:
    corpus = load_corpus(f"folder:{text_folder}:tokenizer={words}", cache=tmp_path)
    end = len(WORDS) + 1
    assert corpus.vocab_size == end + 1
    tokens = np.concatenate([corpus.train, corpus.valid])
    found = np.split(tokens, np.flatnonzero(tokens == end) + 1)[:-1]
    asked = sorted(len(text.split(" ")) + 1 for text in documents(300))
    assert sorted(map(len, found)) == asked
    assert int(corpus.train.max()) == end
    again = load_corpus(f"folder:{text_folder}:tokenizer={words}", cache=tmp_path)
    assert again.sha256 == corpus.sha256
    assert load_corpus(f"folder:{text_folder}", cache=tmp_path).sha256 != corpus.sha256


def test_other_words_are_another_corpus(words: Path, text_folder: Path, tmp_path: Path) -> None:
    name = f"folder:{text_folder}:tokenizer={words}"
    before = load_corpus(name, cache=tmp_path)
    words.write_text(json.dumps(WORDS[::-1]))
    after = load_corpus(name, cache=tmp_path)
    assert before.sha256 != after.sha256
    assert before.manifest["tokenizer_sha256"] != after.manifest["tokenizer_sha256"]
    assert before.manifest["text_sha256"] == after.manifest["text_sha256"]


def test_a_stream_that_goes_on_gives_the_tokens_of_an_unbroken_one(
    words: Path, json_files: Path, tmp_path: Path
) -> None:
    pytest.importorskip("datasets")
    name = f"json:{json_files}:tokenizer={words},bytes="
    first = load_corpus(f"{name}100_000", cache=tmp_path)
    more = load_corpus(f"{name}200_000", cache=tmp_path)
    direct = load_corpus(f"{name}200_000", cache=tmp_path / "other")
    assert more.sha256 == direct.sha256
    assert np.array_equal(more.train[: len(first.train)], first.train)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt", "t5"])
def test_a_model_has_a_place_for_every_token(
    family: str, words: Path, text_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    run = RunConfig(
        family=family,
        corpus=f"folder:{text_folder}:tokenizer={words}",
        steps=2,
        depth=1,
        batch=2,
        seq_len=16,
        nonzero_params=12672 if family == "t5" else 12288,
        valid_windows=2,
    )
    trainer = Trainer(run, make_batches(run))
    assert trainer.model.embed.num_embeddings >= len(WORDS) + 2
    trainer.step()
    assert np.isfinite(trainer.validate()[0])


def test_mistakes_are_one_sentence(
    words: Path, text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no tokenizer 'some/model'") as error:
        load_corpus(f"folder:{text_folder}:tokenizer=some/model", cache=tmp_path)
    assert "\n" not in str(error.value)
    pictures = tmp_path / "pictures"
    for part in ("train", "val"):
        (pictures / part / "one").mkdir(parents=True)
        (pictures / part / "one" / "1.png").write_bytes(encoded(1))
    with pytest.raises(InputError, match="tokenizer is for text"):
        load_corpus(f"folder:{pictures}:tokenizer={words}", cache=tmp_path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match="pip install tokenizers"):
        load_corpus(f"folder:{text_folder}:tokenizer={words}", cache=tmp_path)


def test_a_real_tokenizer_keeps_what_it_reads(text_folder: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    coder = tokenizers.Tokenizer(tokenizers.models.BPE())
    coder.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    coder.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet)
    coder.train_from_iterator(documents(300), trainer)
    coder.save(str(tmp_path / "bpe.json"))
    corpus = load_corpus(f"folder:{text_folder}:tokenizer={tmp_path}/bpe.json", cache=tmp_path)
    plain = load_corpus(f"folder:{text_folder}", cache=tmp_path)
    assert len(corpus.train) < len(plain.train) / 2
    text = bytes(plain.train).replace(b"\0", b"").decode()
    kept = [int(token) for token in corpus.train if token != corpus.vocab_size - 1]
    assert coder.decode(kept) == text
