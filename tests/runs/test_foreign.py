"""A stranger's table: their names and units in, ours out, and what cannot be is explained."""

import csv
import gzip
import io
import json
import sys
from contextlib import suppress

import numpy as np
import pytest
from factories import grid, random_law
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.runs.expression import Expression
from simlib.runs.foreign import Pick, TableReading, parse_columns, read_foreign, refuse_mixture
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


def test_pairs_are_parsed_and_a_comma_in_quotes_ends_none():
    found = parse_columns(" nonzero_params = n * 1e6 , loss=val,dataset='a,b'")
    assert {name: e.text for name, e in found.items()} == {
        "nonzero_params": "n * 1e6",
        "loss": "val",
        "dataset": "'a,b'",
    }


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
        (
            NAMES.replace("pct*0.01", "1"),
            "if the column holds densities, write --columns sparsity=1-COLUMN",
        ),
        ("loss", "field=column pairs"),
        (NAMES + "*two", "no column 'two' for loss"),
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


def as_text(rows, header, kind):
    objects = [dict(zip(header, row, strict=True)) for row in rows]
    if kind == "json":
        return json.dumps(objects).encode()
    if kind == "columns":
        return json.dumps(
            {h: {str(i): o[h] for i, o in enumerate(objects)} for h in header}
        ).encode()
    if kind == "lines":
        return "\n".join(map(json.dumps, objects)).encode()
    if kind == "nested":
        return json.dumps([{"model": {"n": o["n"]}, **o} for o in objects]).encode()
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return gzip.compress(text.getvalue().encode())


@pytest.mark.parametrize("kind", ["json", "columns", "lines", "nested", "gzip", "parquet"])
def test_every_format_gives_the_same_runs(tmp_path, kind):
    header = ("n", "pct", "tokens", "val")
    columns = (TRUTH.nonzero_params / 1e6, 100 * TRUTH.sparsity, TRUTH.data_seen / 1e9, TRUTH.loss)
    rows = [list(map(float, row)) for row in zip(*columns, strict=True)]
    path = tmp_path / "runs"
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table(dict(zip(header, columns, strict=True))), path)
    else:
        path.write_bytes(as_text(rows, header, kind))
    names = NAMES.replace("n*1e6", "model.n*1e6") if kind == "nested" else NAMES
    table = read_foreign(path, parse_columns(names))
    np.testing.assert_allclose(table.nonzero_params, TRUTH.nonzero_params, rtol=1e-6)
    np.testing.assert_array_equal(table.loss, TRUTH.loss)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "runs").write_bytes(b"PAR1....")
    with pytest.raises(InputError, match="pip install pyarrow"):
        read_foreign(tmp_path / "runs", {})


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8bnot", b"PAR1....", b"[1, 2]", b'{"a": [1], "b": []}', b"[" * 100000, b'[{"n": 1}'],
)
def test_a_damaged_file_of_any_format_is_refused(tmp_path, content):
    (tmp_path / "runs").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_foreign(tmp_path / "runs", {})


LOG = [
    # run, step, dense, total, nll in bits, router
    ("a", "0", "1e6", "1e6", "9", "dense"),
    ("a", "10", "1e6", "1e6", "5", "dense"),
    ("a", "20", "1e6", "1e6", "4", "dense"),
    ("b", "10", "1e6", "4e6", "4.5", "x-y"),
    ("b", "20", "1e6", "4e6", "3.5", "x-y"),
    ("c", "20", "1.01e6", "4.04e6", "3.7", "x-y"),
    ("d", "20", "1e6", "4e6", "", "x-y"),
]
OF_LOG = "nonzero_params=dense,sparsity=1-dense/total,data_seen=step*524288,loss=nll*ln2"


@pytest.fixture
def log(tmp_path):
    return write(tmp_path / "log.csv", LOG, ("run", "step", "dense", "total", "nll", "val-router"))


def test_expressions_rows_ends_of_runs_and_tuned_cells(log):
    columns = parse_columns(OF_LOG)
    last = read_foreign(log, columns, Pick("nll > 0", last_per=("run",)))
    assert last.data_seen.tolist() == [20 * 524288] * 3
    np.testing.assert_allclose(last.loss, np.log(2) * np.array([4, 3.5, 3.7]))
    np.testing.assert_allclose(last.sparsity, [0, 0.75, 0.75])
    best = read_foreign(log, columns, Pick("step > 10 and nll > 0", best_per=("N", "D", "S")))
    np.testing.assert_allclose(best.loss, np.log(2) * np.array([4, 3.5]))  # b and c are one cell
    routed = read_foreign(log, columns, Pick("val-router == 'x-y' and run in ('b', 'c')"))
    assert len(routed) == 3
    assert len(read_foreign(log, columns, Pick("not (data_seen < 1e7) and loss < 2.6"))) == 2


@pytest.mark.parametrize(
    ("columns", "pick", "said"),
    [
        (OF_LOG, Pick(), "row 2, column 'data_seen'|row 8, column 'loss': nll.*no value.*--where"),
        (OF_LOG, Pick("nll >"), "cannot be read: an expression holds"),
        (OF_LOG, Pick("nll > 1e9"), "no row is left"),
        (OF_LOG, Pick("step"), "true or false"),
        (OF_LOG, Pick("nll > 0", last_per=("ruin",)), "no column 'ruin' to group by"),
        (OF_LOG, Pick("router == 'x'"), "no column 'router'"),
        (OF_LOG, Pick("__import__('os').system('x') == 0"), "cannot be computed"),
        (OF_LOG, Pick("(lambda: 1)() == 1"), "cannot be computed"),
        (OF_LOG, Pick("nll.real > 0"), "cannot be computed"),
        (OF_LOG.replace("*ln2", "*ln2**10**10**10"), Pick("nll > 0"), "row 2|perplexity"),
        (OF_LOG.replace("nll*ln2", "nll > 2"), Pick(), "true or false"),
        (OF_LOG.replace("nll*ln2", "-(" * 5000 + "1" + ")" * 5000), Pick(), "longer than"),
        (OF_LOG.replace("nll*ln2", "-" * 900 + "1"), Pick("nll > 0"), "cannot be computed"),
        (OF_LOG.replace("nll*ln2", "nll*"), Pick(), "cannot be read"),
    ],
)
def test_what_cannot_be_computed_is_explained(log, columns, pick, said):
    with pytest.raises(InputError, match=said):
        read_foreign(log, parse_columns(columns), pick)


def test_columns_that_nothing_reads_are_named(log):
    reading = TableReading(parse_columns(OF_LOG), Pick("nll > 0"))
    assert reading.unread(["run", "step", "dense", "total", "nll", "val-router", "lr"]) == [
        "run",
        "val-router",
    ]


@given(st.text(alphabet="nll stepx+-*/()0123456789.<>='\"\\,eandor~", max_size=40))
@settings(max_examples=150)
def test_any_text_is_an_expression_or_refused_in_a_sentence(text):
    columns = {"nll": ["1", "x"], "step": ["2", "3"]}
    with suppress(InputError):
        assert len(Expression(text).values(columns, 2)) == 2
