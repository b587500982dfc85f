"""What a user can get wrong ends in one sentence, and what is right is not refused."""

import json
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from click.testing import CliRunner
from factories import random_law

from simlib.cli import cli
from simlib.datasets import FOLDER
from simlib.errors import InputError
from simlib.fit import fit
from simlib.fit.compare import compare
from simlib.fit.newton import LocalModel
from simlib.runs.cells import Columns
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, RunTable
from simlib.runs.yamltext import parse_yaml
from simlib.sweep.grid import read_grid
from simlib.train.checkpoint import DamagedError, load_state

HEADER = "sparsity,nonzero_params,data_seen,loss"
HUGE = "9" * 400
POINT = ("--nonzero-params", "1e9", "--flops", "1e22")


def refusal(*args):
    """The sentence with which a command refuses what it is asked."""
    done = CliRunner().invoke(cli, [str(a) for a in args])
    if isinstance(done.exception, SystemExit):
        assert done.exit_code == 2, done.output
        return done.output
    assert isinstance(done.exception, InputError), (done.exception, done.output)
    sentence = str(done.exception)
    assert len(sentence) < 1000
    return sentence


def table(size=1.0, loss=lambda value: value, seeds=(0,)):
    rng = np.random.default_rng(5)
    law = random_law(rng)
    return [
        (S, round(N * size), round(D), loss(float(law(S, N, D) * np.exp(0.01 * rng.normal()))))
        for S in (0, 0.5, 0.75)
        for N in (1e6, 1e7, 1e8)
        for D in (1e8, 1e9, 1e10)
        for _ in seeds
    ]


@pytest.fixture
def written(tmp_path):
    """Writes a run table: rows, and a header other than the usual one."""

    def write(rows, header=HEADER, before=""):
        path = tmp_path / "runs.csv"
        lines = [",".join(map(str, row)) for row in rows]
        path.write_text(before + "\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def grid(tmp_path):
    def write(body):
        path = tmp_path / "grid.yaml"
        path.write_text(f"# What it trains.\n{body}\n", encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("field", ["nonzero_params", "data_seen"])
def test_a_number_of_400_digits_is_no_count(written, field):
    rows = [dict(zip(HEADER.split(","), row, strict=True)) for row in table()]
    rows[3][field] = HUGE
    path = written([r.values() for r in rows])
    assert f"row 5, column '{field}'" in refusal("fit", "--runs", path, "--resamples", 0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (table(size=1e-6), "in millions"),
        (table(loss=lambda value: np.exp(value) + 20), "perplexity"),
        (table(loss=lambda value: 1e300), "more than any cross-entropy"),
    ],
)
def test_units_are_looked_at_without_columns_too(written, rows, said):
    assert said in refusal("fit", "--runs", written(rows), "--resamples", 0)


def test_a_column_that_stands_twice_is_refused(written):
    path = written([(*row, 1) for row in table()], HEADER + ",loss")
    assert "2 columns are called 'loss'" in refusal("fit", "--runs", path)


def test_a_byte_order_mark_and_own_columns_are_no_fault(written):
    run = ("--resamples", 0, "--starts", 2, "--json")
    plain = CliRunner().invoke(cli, ["fit", "--runs", str(written(table())), *map(str, run)])
    wanted = json.loads(plain.stdout)["coefficients"]
    for rows, header, before in (
        (table(), HEADER, "\N{ZERO WIDTH NO-BREAK SPACE}"),
        ([(*row, "ours") for row in table()], HEADER + ",label", ""),
    ):
        path = written(rows, header, before)
        done = CliRunner().invoke(cli, ["fit", "--runs", str(path), *map(str, run)])
        assert json.loads(done.stdout)["coefficients"] == wanted


def test_seeds_tell_runs_of_one_loss_apart():
    rows = table(loss=lambda value: 2.5, seeds=range(3))
    records = [
        RunRecord(sparsity=S, nonzero_params=N, data_seen=D, loss=L, seed=i % 3)
        for i, (S, N, D, L) in enumerate(rows)
    ]
    law = fit(RunTable(records), resamples=0, profile_resamples=0, starts=2)
    assert law.runs == len(rows)
    copies = RunTable(r.model_copy(update={"seed": None}) for r in records)
    with pytest.raises(InputError, match="stands 3 times"):
        fit(copies, resamples=0, profile_resamples=0)


def test_rounded_losses_may_be_equal_by_chance_but_not_all_of_them():
    S, N, D, L = map(np.array, zip(*table(loss=lambda value: round(value, 3)), strict=True))
    again = [np.append(column, column[4]) for column in (S, N, D, L)]
    assert fit(Columns(*again), resamples=0, profile_resamples=0, starts=2).runs == len(S) + 1
    twice = [np.append(column, column) for column in (S, N, D, L)]
    with pytest.raises(InputError, match="stands 2 times"):
        fit(Columns(*twice), resamples=0, profile_resamples=0)


def test_a_form_that_cannot_be_fitted_is_a_row_of_the_comparison():
    S, N, D, L = map(np.array, zip(*table(), strict=True))
    found = compare(Columns(S, N, D, L), ("joint", "dense"), resamples=0, starts=2)
    assert [a.form for a in found.assessments] == ["joint"]
    assert "dense runs only" in found.refused["dense"]
    with pytest.raises(InputError, match="dense runs only"):
        compare(Columns(S, N, D, L), ("dense",), resamples=0, starts=2)


def test_equations_without_a_solution_are_said():
    model = LocalModel.blank(members=1, k=3)
    with pytest.raises(InputError, match="do not tell the coefficients"):
        model.step(np.arange(1), np.zeros(1))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--delta", "inf"), "positive and finite"),
        (("--level", "nan"), "between 0 and 1"),
        (("--resamples", "1000000000"), "--resamples"),
        (("--starts", "999999999999"), "--starts"),
        (("--seed", HUGE), "--seed"),
    ],
)
def test_options_that_no_fit_can_use(written, options, said):
    assert said in refusal("fit", "--runs", written(table()), *options)


def changed_law(tmp_path, name, **changes):
    content = json.loads((FOLDER / "gpt-laptop.json").read_text())
    coefficients = content["coefficients"] | changes.pop("coefficients", {})
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(content | {"coefficients": coefficients} | changes))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"coefficients": {"a_S": -1.0}},
        {"coefficients": {"b_N": -0.1}},
        {"coefficients": {"b_N": 0}},
        {"coefficients": {"c": int(HUGE)}},
        {"level": int(HUGE)},
        {"ensemble": [[float("nan")] * 7] * 10},
        {"ensemble": [[-1.0] * 7] * 10},
        {"ensemble": [1.0] * 7},
        {"ensemble": [[[1.0] * 7]]},
        {"ensemble": [[int(HUGE)] * 7]},
    ],
)
def test_a_law_that_makes_no_sense_is_no_law(tmp_path, changes):
    path = changed_law(tmp_path, f"law{abs(hash(str(changes)))}", **changes)
    assert "this is not a law file" in refusal("optimum", "--law", path, *POINT)


def test_a_law_file_nested_without_end(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text('{"a":' * 100_000)
    assert "nested too deeply" in refusal("optimum", "--law", path, *POINT)


def test_a_law_that_lacks_a_coefficient_says_which(tmp_path):
    content = json.loads((FOLDER / "t5-c4.json").read_text())
    del content["coefficients"]["c"]
    path = tmp_path / "law.json"
    path.write_text(json.dumps(content))
    assert "'c' is missing" in refusal("optimum", "--law", path, *POINT)


@pytest.mark.parametrize("note", ['{"a":' * 100_000, "{" + "[" * 100_000])
def test_a_checkpoint_nested_without_end_is_damaged(tmp_path, note):
    header = json.dumps({"__metadata__": {"tree": note}}).encode()
    path = tmp_path / "resume.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(DamagedError):
        load_state(path)


def test_a_budget_below_one_token_has_no_optimum():
    said = refusal("optimum", "--law", "gpt-laptop", "--nonzero-params", "1e9", "--flops", "1")
    assert "less than one token" in said


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"])
def test_names_that_no_file_can_have(name, tmp_path):
    assert refusal("fit", "--runs", name)
    assert refusal("optimum", "--law", name, *POINT)
    sizes = ("--sparsity", "0", "--nonzero-params", "1e6", "--data-seen", "1e8")
    assert refusal("simulate", "--law", "gpt-laptop", *sizes, "--out", tmp_path / name)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--repeats", "1000000000"),
        ("--repeats", "9" * 30),
        ("--nonzero-params", "1e308"),
        ("--nonzero-params", "1e30"),
        ("--sparsity", ",".join(str(i / 3000) for i in range(3000))),
    ],
)
def test_a_virtual_table_is_counted_before_it_is_drawn(tmp_path, option, value):
    sizes = {
        "--sparsity": "0,0.5",
        "--nonzero-params": ",".join(map(str, range(10**6, 10**6 + 100))),
        "--data-seen": "1e8,1e9,2e9,3e9,4e9",
    }
    asked = [part for pair in (sizes | {option: value}).items() for part in pair]
    assert refusal("simulate", "--law", "gpt-laptop", *asked, "--out", tmp_path / "out.csv")


BOMB = "\n".join(f"- &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(9))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "expected the node content"),
        ("{[1, 2]: 3}", "unhashable"),
        ("day: 2001-99-99", "month"),
        ("a: \0", "special characters"),
        ("- &a [x,x,x,x,x,x,x,x,x]\n" + BOMB, "stand for more than"),
        ("&a [*a]", "stand for more than"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
    ],
)
def test_yaml_that_cannot_be_meant(text, said):
    with pytest.raises(InputError, match=said):
        parse_yaml(text)


def test_yaml_has_patterns_and_no_numbers_of_base_60():
    assert parse_yaml("{a: 2:4, b: [1:2, 3], c: 0.5, d: 1e-3}") == {
        "a": "2:4",
        "b": ["1:2", 3],
        "c": 0.5,
        "d": "1e-3",  # as YAML 1.1 has it
    }


def test_a_pattern_needs_no_quotes(grid):
    path = grid("runs: [{nonzero_params: 13824, sparsity: 0.5, pattern: 2:4, steps: 200}]")
    chosen = read_grid(path).only(["pattern=2:4"])
    assert [c.pattern for c in chosen.configs] == ["2:4"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("runs: 3", "list of mappings"),
        ("runs: [{1: 3}]", "fields are words"),
        ("runs: [{~: 3}]", "fields are words"),
        ("runs: [{steps: 200, start: {1: 3}}]", "fields are words"),
        ('runs: [{corpus: "a\\0b", steps: 200}]', "NUL"),
        ("runs: [{seed: %s, batch: %s, threads: %s}]" % ((list(range(1, 300)),) * 3), "26,730,899"),
        (f"runs: [{{nonzero_params: {HUGE}, steps: 200}}]", "nonzero_params 999"),
        (f"runs: [{{steps: {HUGE}}}]", "steps 999"),
    ],
)
def test_grids_that_cannot_be_trained(grid, body, said):
    assert said in refusal("sweep", grid(body), "--dry-run")


@pytest.mark.parametrize("condition", ["seed=[", "seed={[1]: 2}"])
def test_a_condition_that_cannot_be_read(grid, condition):
    path = grid("runs: [{nonzero_params: 13824, steps: 200}]")
    assert "cannot be read as field=value" in refusal("sweep", path, "--only", condition)


@pytest.mark.parametrize(
    "field",
    ["nonzero_params", "steps", "depth", "batch", "seq_len", "seed", "threads", "lr_width"],
)
@pytest.mark.parametrize("value", [int(HUGE), 10**30])
def test_no_run_is_computed_with_numbers_beyond_all_runs(field, value):
    with pytest.raises(InputError, match=field):
        RunConfig(**({"steps": 200} | {field: value}))


def test_a_dry_run_builds_no_model_that_the_machine_cannot_hold(corpus_free_plan):
    planned = corpus_free_plan(nonzero_params=10**13)
    assert planned.hours is None
    assert planned.flops > 0


@pytest.fixture
def corpus_free_plan(tmp_path):
    from simlib.sweep.plan import plan

    return lambda **fields: plan([RunConfig(steps=200, **fields)], tmp_path)


def test_a_dry_run_names_a_start_that_is_not_there(corpus_free_plan):
    fields = {"sparsity": 0.5, "pruner": "from_checkpoint"}
    with pytest.raises(InputError, match="'nothing' is neither"):
        corpus_free_plan(start="nothing", **fields)


@pytest.mark.parametrize("point", ["inf:1:sparse", f"{HUGE}:1:sparse", "1e300:1e11:sparse"])
def test_points_of_no_size(point, grid):
    like = grid("base: {data_seen: 1000000}\nruns: [{}]")
    assert refusal("optimum-grid", "--law", "gpt-laptop", "--point", point, "--like", like)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so_once(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        textwrap.dedent("""
            from simlib.runs.config import RunConfig
            from simlib.sweep import sweep

            sweep([RunConfig(steps=20, depth=1, valid_windows=32, seed=i) for i in range(4)], "out")
        """)
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.count('if __name__ == "__main__"') == 1


# ---- a table in the reader's own words ----------------------------------------------------------
ROW = ("0.5", "1000000", "1000000000", "3.5")


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("s,n,tokens,val", ROW, "--columns nonzero_params=COLUMN; there are s, n, tokens, val"),
        ("sparsity,params,data_seen,loss", ROW, "nor dense_params, counted before pruning"),
        (HEADER, ("50", *ROW[1:]), "write --columns sparsity=COLUMN*0.01"),
        (HEADER, ("0.5", "0.125", *ROW[2:]), "write --columns nonzero_params=COLUMN*1e6"),
        (HEADER, ("0.5", '"1,000,000"', *ROW[2:]), "column 'nonzero_params': '1,000,000' is"),
        (HEADER, ("0.5", "125M", *ROW[2:]), "'125M' is no number"),
        (HEADER, (*ROW[:3], ""), "row 2, column 'loss': there is no value"),
        ("sparsity,nonzero_params,data_seen,ppl", ROW, "no column holds loss"),
    ],
)
def test_a_table_with_a_flaw_is_told_what_to_write(tmp_path, header, row, said):
    path = tmp_path / "runs.csv"
    path.write_text(f"{header}\n{','.join(row)}\n")
    assert said in refusal("fit", "--runs", path)


def test_decimal_commas_are_named_and_tabs_are_read(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([HEADER, ",".join(ROW)]).replace(",", ";").replace("0.5", "0,5"))
    assert "'0,5' is no number" in refusal("fit", "--runs", path)
    path.write_text("\n".join([HEADER, ",".join(ROW)]).replace(",", "\t"))
    assert "1 run" in refusal("fit", "--runs", path)  # read, and too few


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (["train", "--family", "gpt", "--nonzero-params", "14000", "--data-seen", "2e6"], "torch"),
        (["notebook", "--list"], "jupytext"),
    ],
)
def test_a_package_that_is_not_installed_is_named(command, package):
    without = f"import sys; sys.modules[{package!r}] = None; from simlib.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, *command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"error: this needs the package {package}, which is not installed"
    )
    assert "Traceback" not in done.stderr
