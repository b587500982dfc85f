"""Corpora from the user's own files: folders of text or images, parquet and JSON files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from simlib.corpora.augment import PHOTOS, strength_of
from simlib.corpora.base import Manifest, built, cache_root, check_count, read_bytes, recipe_key
from simlib.corpora.hub import DEFAULT_BYTES, FileDocuments, embedded_bytes
from simlib.corpora.images import ImageCorpus, ImageRecord, Part, open_images, write_images
from simlib.corpora.stream import stream_corpus
from simlib.corpora.text import TextCorpus, open_text, write_files
from simlib.errors import InputError

if TYPE_CHECKING:
    import pyarrow.parquet

_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}
_PART = re.compile(r"(train)|(validation|valid|val|dev|test)", re.IGNORECASE)
_IMAGE_COLUMNS, _LABEL_COLUMNS = ("img", "image"), ("label", "fine_label")


def load_folder(
    name: str,
    path: str,
    size: int = 32,
    augment: str = "none",
    cache: str | Path | None = None,
) -> TextCorpus | ImageCorpus:
    """A folder of images, if it holds any, else one of text.

    Images lie in CLASS/... or PART/CLASS/..., PART being train, val, valid, validation or test;
    without parts the hash of an image decides. They are cut to the centred square and resized
    to `size`. Text is every file without a NUL byte in its first 4096 bytes.
    """
    folder = _existing(path)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    files = [file for file in files if not _hidden(file.relative_to(folder))]
    images = [file for file in files if file.suffix.lower() in _IMAGE_SUFFIXES]
    if images:
        return _image_folder(name, folder, images, size, augment, cache)
    texts = [file for file in files if _is_text(file)]
    if not texts:
        raise InputError(f"the folder {folder} holds neither text files nor images")
    recipe = {"recipe": 1, "files": _listing(texts)}
    made = built(
        cache_root(cache),
        f"folder-{recipe_key(recipe)}",
        lambda work: {"path": str(folder), **write_files(texts, work, f"corpus '{name}'")},
    )
    return open_text(name, *made)


def load_parquet(
    name: str,
    path: str,
    column: str = "text",
    bytes: int = DEFAULT_BYTES,
    size: int = 32,
    augment: str = "none",
    cache: str | Path | None = None,
) -> TextCorpus | ImageCorpus:
    """A parquet file, or a folder of them, in the layout of the Hugging Face hub.

    With a column img or image (bytes and path) and a column label it is a set of images; file
    names that begin with train, validation or test divide it. Otherwise `column` holds text, of
    which as many documents are taken as hold `bytes` bytes.
    """
    files = _data_files(path, (".parquet",))
    columns = _open_parquet(files[0]).schema_arrow.names
    if any(known in columns for known in _IMAGE_COLUMNS):
        return _image_parquet(name, files, size, augment, cache)
    return _text_files(name, "parquet", files, column, bytes, cache)


def load_cifar10(
    name: str,
    path: str = "",
    augment: str = "none",
    images: int | None = None,
    cache: str | Path | None = None,
) -> ImageCorpus:
    """CIFAR-10 as parquet files in a folder: 32 x 32, 10 classes, parts train and test.

    Without a path the folder is $SIMLIB_CIFAR10, so that a run's record names no machine's
    folders. `images` limits the training part, see `ImageCorpus.limited`.
    """
    path = path or os.environ.get("SIMLIB_CIFAR10", "")
    if not path:
        raise InputError(
            f"the corpus '{name}' has no folder: set SIMLIB_CIFAR10 to one with CIFAR-10's parquet "
            "files, or write cifar10:PATH"
        )
    corpus = _image_parquet(name, _data_files(path, (".parquet",)), 32, augment, cache)
    if corpus.num_classes != 10:
        raise InputError(f"{path} has {corpus.num_classes} classes, so it is not CIFAR-10")
    return corpus if images is None else corpus.limited(images)


def load_json(
    name: str,
    path: str,
    column: str = "text",
    bytes: int = DEFAULT_BYTES,
    cache: str | Path | None = None,
) -> TextCorpus:
    """JSON lines, compressed or not (C4's layout), or a folder of such files."""
    files = _data_files(path, (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".json.zst"))
    return _text_files(name, "json", files, column, bytes, cache)


def _text_files(
    name: str, form: str, files: list[Path], column: str, wanted: int, cache: str | Path | None
) -> TextCorpus:
    check_count("bytes", wanted)
    source = FileDocuments(form, [str(file) for file in files], column)
    recipe = {"recipe": 1, "files": _listing(files), "column": column}
    key = f"{form}-{recipe_key(recipe)}"
    return stream_corpus(name, cache_root(cache), key, source, wanted)


def _image_parquet(
    name: str, files: list[Path], size: int, augment: str, cache: str | Path | None
) -> ImageCorpus:
    check_count("size", size, least=8)
    strength = strength_of(augment, PHOTOS)

    def build(work: Path) -> Manifest:
        total = sum(_open_parquet(file).metadata.num_rows for file in files)
        made = write_images(_parquet_records(files), work, size, f"corpus '{name}'", total)
        return made | {"name": name, "classes": _class_names(files[0])}

    key = f"images-{recipe_key({'recipe': 1, 'files': _listing(files), 'size': size})}"
    return open_images(name, strength, *built(cache_root(cache), key, build))


def _parquet_records(files: list[Path]) -> Iterator[ImageRecord]:
    parts = _parts_of([file.name for file in files])
    for file, part in zip(files, parts, strict=True):
        table = _open_parquet(file)
        image = _column(file, table.schema_arrow.names, _IMAGE_COLUMNS)
        label = _column(file, table.schema_arrow.names, _LABEL_COLUMNS)
        row = 0
        for batch in table.iter_batches(1024, columns=[image, label]):
            for record in batch.to_pylist():
                where = f"row {row} of {file}"
                yield ImageRecord(part, embedded_bytes(record[image], where), record[label], where)
                row += 1


def _column(file: Path, names: list[str], known: tuple[str, ...]) -> str:
    for name in known:
        if name in names:
            return name
    raise InputError(f"{file} has no column {' or '.join(known)}: its columns are {names}")


def _class_names(file: Path) -> list[str] | None:
    """Names of the classes, where the file was written by the `datasets` package."""
    schema = _open_parquet(file).schema_arrow
    notes = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = notes.get("info", {}).get("features", {})
    label = features.get(_column(file, schema.names, _LABEL_COLUMNS), {})
    return label.get("names")


def _image_folder(
    name: str, folder: Path, images: list[Path], size: int, augment: str, cache: str | Path | None
) -> ImageCorpus:
    check_count("size", size, least=8)
    strength = strength_of(augment, PHOTOS)
    tops = {file.relative_to(folder).parts[0] for file in images}
    divided = all(_PART.fullmatch(top) for top in tops)
    depth = 1 if divided else 0
    relative = [file.relative_to(folder).parts for file in images]
    flat = [file for file, parts in zip(images, relative, strict=True) if len(parts) < depth + 2]
    if flat:
        raise InputError(f"{flat[0]} lies in no class: images belong in {folder}/CLASS/")
    classes = sorted({parts[depth] for parts in relative})
    parts = _parts_of([parts[0] for parts in relative]) if divided else [None] * len(images)

    def build(work: Path) -> Manifest:
        records = (
            ImageRecord(part, read_bytes(file), classes.index(names[depth]), str(file))
            for file, names, part in zip(images, relative, parts, strict=True)
        )
        made = write_images(records, work, size, f"corpus '{name}'", len(images))
        return made | {"name": name, "classes": classes}

    key = f"images-{recipe_key({'recipe': 1, 'files': _listing(images), 'size': size})}"
    return open_images(name, strength, *built(cache_root(cache), key, build))


def _parts_of(names: list[str]) -> list[Part | None]:
    """Which part each file or folder name says; all undecided unless some say train."""
    matches = [_PART.match(name) for name in names]
    if not any(match and match[1] for match in matches):
        return [None] * len(names)
    return ["train" if match and match[1] else "valid" for match in matches]


def _data_files(path: str, suffixes: tuple[str, ...]) -> list[Path]:
    place = _existing(path)
    files = [place] if place.is_file() else sorted(place.iterdir())
    found = [file for file in files if file.name.lower().endswith(suffixes)]
    if not found:
        raise InputError(f"there is no file {' or '.join('*' + end for end in suffixes)} in {path}")
    return found


def _open_parquet(file: Path) -> pyarrow.parquet.ParquetFile:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "parquet files are read with pyarrow: run `pip install pyarrow`"
        ) from error
    try:
        return pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{file} is not a parquet file that can be read ({error})") from error


def _existing(path: str) -> Path:
    place = Path(path).expanduser().resolve()
    if not place.exists():
        raise InputError(f"there is no file or folder {place}")
    return place


def _listing(files: list[Path]) -> list[tuple[str, int, int]]:
    """What changes when a file does: its path, size and time of change in nanoseconds."""
    stats = [(file, file.stat()) for file in files]
    return [(str(file), stat.st_size, stat.st_mtime_ns) for file, stat in stats]


def _hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def _is_text(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return b"\0" not in stream.read(4096)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error})") from error
