"""Small data sets on disk, in the layouts that the loaders read."""

import gzip
import json
from pathlib import Path

import pytest
from corpus_files import documents, write_image_parquet


@pytest.fixture
def text_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    for number, text in enumerate(documents(300)):
        file = folder / f"{number % 7}" / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture
def json_files(tmp_path: Path) -> Path:
    """Two compressed shards in C4's layout."""
    folder = tmp_path / "c4"
    folder.mkdir()
    rows = [{"text": t, "timestamp": "2019-04-25", "url": "u"} for t in documents(2000)]
    for shard in range(2):
        part = rows[shard * 1000 : (shard + 1) * 1000]
        with gzip.open(folder / f"c4-train.0000{shard}.json.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in part)
    return folder


@pytest.fixture
def parquet_file(tmp_path: Path) -> Path:
    """The same documents as json_files, in one parquet file of several row groups."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "c4.parquet"
    rows = [{"text": t, "timestamp": "2019-04-25", "url": "u"} for t in documents(2000)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=300)
    return path


@pytest.fixture
def cifar_folder(tmp_path: Path) -> Path:
    """CIFAR-10's parquet layout with 200 training and 50 test images; label = number % 10."""
    pytest.importorskip("pyarrow")
    folder = tmp_path / "cifar10"
    folder.mkdir()
    for part, first, count in (("train", 0, 200), ("test", 1000, 50)):
        write_image_parquet(folder / f"{part}-00000-of-00001.parquet", range(first, first + count))
    return folder
