"""Data sets of the Hugging Face hub by streaming, and local files of the same layouts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simlib.corpora.augment import PHOTOS, strength_of
from simlib.corpora.base import Manifest, built, cache_root, check_count, recipe_key
from simlib.corpora.images import ImageCorpus, ImageRecord, Part, open_images, write_images
from simlib.corpora.stream import stream_corpus
from simlib.corpora.text import TextCorpus
from simlib.errors import InputError

DEFAULT_BYTES = 100_000_000
_HELD_OUT_IMAGES = 10_000


class FileDocuments:
    """The text column of local files, read by the `datasets` package as it reads the hub's."""

    def __init__(self, form: str, files: list[str], column: str) -> None:
        self.form, self.files, self.column = form, files, column
        self._stream: Any = None

    def about(self) -> dict[str, Any]:
        return {"files": self.files, "column": self.column, **_reader_version()}

    def read(self, documents: int, state: Any) -> Iterator[bytes]:
        try:
            self._stream = _resumed(self._open(), documents, state)
            for example in self._stream:
                yield _text(example, self.column, self.place)
        except InputError:
            raise
        except Exception as error:  # the readers behind `datasets` raise errors of many kinds
            raise self._failure(error) from error

    def state(self) -> Any:
        return {"position": self._stream.state_dict(), **_reader_version()}

    @property
    def place(self) -> str:
        return self.files[0]

    def _open(self) -> Any:
        return _datasets().load_dataset(
            self.form, data_files=self.files, split="train", streaming=True
        )

    def _failure(self, error: Exception) -> InputError:
        return InputError(f"{self.place} cannot be read as {self.form} ({_one_line(error)})")


class HubDocuments(FileDocuments):
    """The text column of a data set on the hub, at the revision found when it was first read."""

    def __init__(self, repo: str, config: str | None, split: str, column: str) -> None:
        super().__init__("hub", [], column)
        self.repo, self.config, self.split = repo, config, split
        self.revision: str | None = None

    def about(self) -> dict[str, Any]:
        self.revision = _revision(self.repo)
        return {
            "repo": self.repo,
            "config": self.config,
            "split": self.split,
            "column": self.column,
            "revision": self.revision,
            **_reader_version(),
        }

    @property
    def place(self) -> str:
        return f"'{self.repo}'"

    def read(self, documents: int, state: Any) -> Iterator[bytes]:
        if state is not None:
            self.revision = state["revision"]
        return super().read(documents, state)

    def state(self) -> Any:
        return {**super().state(), "revision": self.revision}

    def _open(self) -> Any:
        return _datasets().load_dataset(
            self.repo, self.config, split=self.split, streaming=True, revision=self.revision
        )

    def _failure(self, error: Exception) -> InputError:
        return _unreachable(self.repo, error)


def load_hub(
    name: str,
    place: str,
    bytes: int = DEFAULT_BYTES,
    column: str = "text",
    split: str = "train",
    images: int = 0,
    size: int = 32,
    augment: str = "none",
    cache: str | Path | None = None,
) -> TextCorpus | ImageCorpus:
    """A data set of the hub, `place` being REPO or REPO:CONFIG.

    Text: the first documents of `split` whose `column` holds `bytes` bytes of training text
    are streamed into the cache; 2% of documents, by hash, are held out. Images: the first
    `images` of `split`, if that number is given, and up to 10 000 of the validation or test
    split. What is in the cache is used without a network. Raises InputError if the hub cannot
    be reached, has no such set, or a package is missing.
    """
    repo, _, config = place.partition(":")
    if images:
        return _hub_images(name, repo, config or None, split, images, size, augment, cache)
    check_count("bytes", bytes)
    source = HubDocuments(repo, config or None, split, column)
    recipe = {"recipe": 1, "repo": repo, "config": config, "split": split, "column": column}
    return stream_corpus(name, cache_root(cache), f"hf-{recipe_key(recipe)}", source, bytes)


def _hub_images(
    name: str,
    repo: str,
    config: str | None,
    split: str,
    images: int,
    size: int,
    augment: str,
    cache: str | Path | None,
) -> ImageCorpus:
    check_count("images", images)
    check_count("size", size, least=8)
    strength = strength_of(augment, PHOTOS)

    def build(work: Path) -> Manifest:
        sets = _HubImages(repo, config, split, images)
        made = write_images(sets.records(), work, size, f"corpus '{name}'", None)
        return made | {
            "name": name,
            "repo": repo,
            "revision": sets.revision,
            "classes": sets.classes,
        }

    recipe = {"recipe": 1, "repo": repo, "config": config, "split": split}
    key = f"images-{recipe_key(recipe | {'images': images, 'size': size})}"
    return open_images(name, strength, *built(cache_root(cache), key, build))


class _HubImages:
    """Images and labels of a training split and, where there is one, of a held-out split."""

    def __init__(self, repo: str, config: str | None, split: str, images: int) -> None:
        self.repo, self.config, self.split, self.images = repo, config, split, images
        self.revision = _revision(repo)
        self.classes: list[str] = []

    def records(self) -> Iterator[ImageRecord]:
        try:
            found = _datasets().get_dataset_split_names(
                self.repo, self.config, revision=self.revision
            )
            held = [name for name in ("validation", "valid", "test") if name in found]
            yield from self._split("train" if held else None, self.split, self.images)
            if held:
                yield from self._split("valid", held[0], _HELD_OUT_IMAGES)
        except InputError:
            raise
        except Exception as error:
            raise _unreachable(self.repo, error) from error

    def _split(self, part: Part | None, split: str, images: int) -> Iterator[ImageRecord]:
        datasets = _datasets()
        stream = datasets.load_dataset(
            self.repo, self.config, split=split, streaming=True, revision=self.revision
        )
        image, label = self._columns(stream.features or {}, datasets)
        self.classes = stream.features[label].names
        stream = stream.cast_column(image, datasets.Image(decode=False))
        for row, example in enumerate(stream.take(images)):
            where = f"image {row} of '{self.repo}', split {split}"
            yield ImageRecord(part, embedded_bytes(example[image], where), example[label], where)

    def _columns(self, features: Any, datasets: Any) -> tuple[str, str]:
        images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
        labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
        if not images or not labels:
            raise InputError(
                f"the data set '{self.repo}' has no column of images with one of class labels: "
                f"its columns are {', '.join(features)}"
            )
        return images[0], labels[0]


def embedded_bytes(value: Any, where: str) -> bytes:
    """The encoded image in a cell of the hub's layout, {"bytes": ..., "path": ...}."""
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise InputError(f"{where} holds no image bytes: only embedded images can be read")
    return content


def _text(example: dict[str, Any], column: str, place: str) -> bytes:
    text = example.get(column)
    if not isinstance(text, str):
        raise InputError(
            f"{place} has no text in a column '{column}': its columns are {', '.join(example)} "
            "(the option column=NAME picks one)"
        )
    return text.encode(errors="replace")  # a lone surrogate is not UTF-8


def _resumed(stream: Any, documents: int, state: Any) -> Any:
    """`stream` after its first `documents`; skipping is slow but does not depend on the version."""
    if state is not None and state["datasets"] == _datasets().__version__:
        stream.load_state_dict(state["position"])
        return stream
    return stream.skip(documents) if documents else stream


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "text streams and the Hugging Face hub are read with the `datasets` package, which "
            "is not installed: run `pip install datasets`"
        ) from error
    return datasets


def _reader_version() -> dict[str, str]:
    return {"datasets": _datasets().__version__}


def _revision(repo: str) -> str:
    """The commit the hub serves now."""
    _datasets()  # brings huggingface_hub, and says so if it is missing
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(repo, timeout=20).sha)
    except Exception as error:
        raise _unreachable(repo, error) from error


def _unreachable(repo: str, error: Exception) -> InputError:
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError | HFValidationError | FileNotFoundError):
        return InputError(
            f"the Hugging Face hub has no public data set '{repo}' ({_one_line(error)})"
        )
    if isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith("http"):
        return InputError(
            f"the Hugging Face hub cannot be reached for '{repo}' ({_one_line(error)}): connect "
            "to the network and repeat the command; what was fetched is kept"
        )
    return InputError(f"the data set '{repo}' cannot be read ({_one_line(error)})")


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
