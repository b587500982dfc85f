"""A stranger's table: their names and units in, ours out, and what cannot be is explained."""

import csv

import numpy as np
import pytest
from factories import grid, random_law

from simlib.errors import InputError
from simlib.runs.foreign import Column, parse_columns, read_foreign, refuse_mixture
from simlib.runs.table import RunTable

TRUTH = grid(random_law(np.random.default_rng(3)), 0.005, np.random.default_rng(3))
NAMES = "nonzero_params=n*1e6,data_seen=tokens*1e9,sparsity=pct*0.01,loss=val"


def write(path, rows, header=("n", "pct", "tokens", "val", "comment")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def theirs(tmp_path):
    columns = (TRUTH.nonzero_params / 1e6, 100 * TRUTH.sparsity, TRUTH.data_seen / 1e9, TRUTH.loss)
    rows = [[*row, "a note, with a comma"] for row in zip(*columns, strict=True)]
    return write(tmp_path / "theirs.csv", rows)


def test_their_names_and_units_become_ours_and_other_columns_are_left_out(theirs):
    table = read_foreign(theirs, parse_columns(NAMES))
    np.testing.assert_allclose(table.nonzero_params, TRUTH.nonzero_params, rtol=1e-6)
    np.testing.assert_allclose(table.data_seen, TRUTH.data_seen, rtol=1e-8)
    np.testing.assert_allclose(table.sparsity, TRUTH.sparsity, atol=1e-12)
    np.testing.assert_allclose(table.loss, TRUTH.loss)
    assert set(table.column("family")) == {"other"}


def test_fields_that_keep_their_name_need_no_entry_and_a_number_is_a_constant(tmp_path):
    path = write(
        tmp_path / "dense.csv", [["1e6", "2.5", "1e9"]], ("nonzero_params", "loss", "tokens")
    )
    table = read_foreign(path, parse_columns("data_seen=tokens,sparsity=0"))
    record = table.records[0]
    assert (record.nonzero_params, record.data_seen, record.sparsity) == (10**6, 10**9, 0.0)


def test_densities_dense_parameters_and_semicolons_are_understood(tmp_path):
    """The same runs as a stranger may write them: dense size, per cent left, semicolons."""
    rows = zip(
        TRUTH.nonzero_params / (1 - TRUTH.sparsity),
        100 * (1 - TRUTH.sparsity),
        TRUTH.data_seen,
        TRUTH.loss,
        strict=True,
    )
    text = "\n".join(";".join(map(str, row)) for row in [("p", "left", "d", "loss"), *rows])
    path = tmp_path / "semicolons.csv"
    path.write_text(text)
    table = read_foreign(path, parse_columns("dense_params=p,sparsity=1-left*0.01,data_seen=d"))
    np.testing.assert_allclose(table.nonzero_params, TRUTH.nonzero_params, atol=1)
    np.testing.assert_allclose(table.sparsity, TRUTH.sparsity, atol=1e-12)
    assert len(set(table.sparsity)) == len(set(TRUTH.sparsity))


def test_two_columns_of_one_name_are_refused_where_one_is_needed(tmp_path):
    header = ("n", "n", "loss", "d", "x", "x")
    path = write(tmp_path / "twice.csv", [["1e6", "2e6", "2.5", "1e9", "", ""]], header)
    with pytest.raises(InputError, match="2 columns are called 'n'"):
        read_foreign(path, parse_columns("nonzero_params=n,data_seen=d,sparsity=0"))
    table = read_foreign(path, parse_columns("nonzero_params=3e6,data_seen=d,sparsity=0"))
    assert table.nonzero_params.tolist() == [3e6]


def test_pairs_are_parsed_with_their_factor():
    found = parse_columns(" nonzero_params = n * 1e6 , loss=val")
    assert found == {"nonzero_params": Column("n", 1e6), "loss": Column("val")}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("nonzero_params=n*1e6,data_seen=tokens*1e9,sparsity=pct,loss=val", r"COLUMN\*0\.01"),
        ("nonzero_params=n,data_seen=tokens*1e9,sparsity=pct*0.01,loss=val", "in millions"),
        ("nonzero_params=n*1e6,data_seen=tokens*1e9,loss=val", "sparsity=0 if all runs are dense"),
        ("nonzero_params=n*1e6,data_seen=tokens*1e9,sparsity=pct*0.01", "no column holds loss"),
        (NAMES.replace("val", "vall"), "no column 'vall' for loss; there are n, pct"),
        (NAMES + "*100", "perplexity"),
        ("params=n", "field=column pairs"),
        (NAMES.replace("pct*0.01", "1-pct"), "sparsity=1-COLUMN|row"),
        (NAMES.replace("pct*0.01", "1"), "if the column holds densities, write sparsity=1-COLUMN"),
        ("loss", "field=column pairs"),
        ("loss=val*two", "after . comes a number, got 'two'"),
    ],
)
def test_what_cannot_be_meant_is_explained(theirs, names, said):
    with pytest.raises(InputError, match=said):
        read_foreign(theirs, parse_columns(names))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["1", "50", "1"], "row 2 has 3 values"),
        (["1", "50", "1", "nan", ""], "row 2, column 'loss'"),
        (["-1", "50", "1", "2.5", ""], "nonzero_params is -1e.06 at most|row 2"),
        (["1", "50", "much", "2.5", ""], "row 2, column 'data_seen'"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, said):
    rows = [row, ["1", "50", "1", "2.5", ""]]
    with pytest.raises(InputError, match=said):
        read_foreign(write(tmp_path / "bad.csv", rows), parse_columns(NAMES))


def test_files_that_are_no_table_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_foreign(tmp_path / "none.csv", {})
    with pytest.raises(InputError, match="no runs below"):
        read_foreign(write(tmp_path / "empty.csv", []), {})


def test_a_mixture_of_families_is_explained(tmp_path):
    rows = [["1e6", "0", "1e9", "2.5", name] for name in ("gpt", "vit")]
    header = ("nonzero_params", "sparsity", "data_seen", "loss", "family")
    with pytest.raises(InputError, match="several model families"):
        read_foreign(write(tmp_path / "mixed.csv", rows, header), {})
    refuse_mixture(RunTable([]))
