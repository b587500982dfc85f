"""Tables that others published: every adapter is whole, and reads its file where it can be had."""

import json
import re
import sys
import warnings
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from simlib.cli import cli
from simlib.datasets.adapter import FOLDER, adapter_names, load_adapter
from simlib.datasets.download import fetch, find
from simlib.datasets.source import find_source
from simlib.errors import InputError
from simlib.runs.expression import Expression
from simlib.runs.foreign import Pick, TableReading

BOOK = Path(__file__).parents[2] / "book"


@pytest.mark.parametrize("name", adapter_names())
def test_an_adapter_says_all_that_a_reader_needs(name):
    adapter = load_adapter(name)
    assert adapter.url or (FOLDER / adapter.file).is_file()
    assert adapter.reading.columns
    assert f"{{{adapter.source}," in (BOOK / "references.bib").read_text()


@pytest.mark.parametrize("name", adapter_names())
def test_an_adapter_reads_its_file(name):
    adapter = load_adapter(name)
    if adapter.url and find(adapter.file, adapter.sha256) is None:
        pytest.skip(f"{adapter.file} is not at hand: set SIMLIB_DATA to its folder")
    source = find_source(name)
    assert source.sha256 == adapter.sha256
    assert len(source.runs) >= 4
    assert 0 <= source.runs.sparsity.min() <= source.runs.sparsity.max() < 1


def fake_table(
    folder, monkeypatch, text="n,d,loss,run\n1e6,1e9,3,a\n1e6,2e9,2.5,a\n2e6,1e9,2.4,b\n"
):
    """A published file in one of two folders, and its adapter."""
    path = folder / "there" / "table.csv"
    path.parent.mkdir()
    path.write_text(text)
    adapter = load_adapter("farseer").model_copy(
        update={
            "file": path.name,
            "sha256": sha256(path.read_bytes()).hexdigest(),
            "columns": "nonzero_params=n,data_seen=d,sparsity=0",
            "curves": True,
        }
    )
    monkeypatch.setattr("simlib.datasets.source.load_adapter", lambda name: adapter)
    monkeypatch.setattr("simlib.datasets.source.adapter_names", lambda: ["other"])
    (folder / "empty").mkdir()
    monkeypatch.setenv("SIMLIB_DATA", f"{folder / 'empty'}:{folder / 'there'}")
    return path


def test_a_file_is_found_in_any_folder_and_the_user_may_read_it_otherwise(tmp_path, monkeypatch):
    fake_table(tmp_path, monkeypatch)
    source = find_source("other")
    assert (len(source.runs), source.curves) == (3, True)
    ends = find_source("other", reading=TableReading(pick=Pick(last_per=("run",))))
    assert (ends.runs.loss.tolist(), ends.curves) == ([2.5, 2.4], False)
    bits = find_source("other", reading=TableReading({"loss": Expression("loss*ln2")}))
    np.testing.assert_allclose(bits.runs.loss, np.log(2) * source.runs.loss)


def test_another_content_under_that_name_is_refused(tmp_path, monkeypatch):
    path = fake_table(tmp_path, monkeypatch)
    path.write_text("n,d,loss\n1e6,1e9,3\n")
    with pytest.raises(InputError, match="not the released file"):
        find_source("other")


def test_the_list_names_every_table_and_one_is_shown_whole():
    listed = CliRunner().invoke(cli, ["tables"]).output
    assert all(re.search(rf"^{name} ", listed, re.M) for name in adapter_names())
    shown = CliRunner().invoke(cli, ["tables", "clark-hash"]).output
    assert load_adapter("clark-hash").url in shown
    assert "CC-BY-4.0" in shown
    assert set(json.loads(CliRunner().invoke(cli, ["tables", "--json"]).output)) == set(
        adapter_names()
    )
    with pytest.raises(InputError, match="there is no adapter 'nobody'"):
        CliRunner().invoke(cli, ["tables", "nobody"], catch_exceptions=False)


def test_a_missing_file_says_nothing_but_what_is_missing(tmp_path, monkeypatch):
    """What a notebook prints to stderr is an error of the book."""
    (tmp_path / "pooch.py").write_text("import warnings\nwarnings.warn('no widgets here')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pooch", raising=False)
    monkeypatch.delenv("SIMLIB_DATA", raising=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(InputError, match="not at hand"):
            fetch("nowhere.csv", "https://example.org/nowhere.csv", "0" * 64)
    monkeypatch.delitem(sys.modules, "pooch", raising=False)
    assert not said
