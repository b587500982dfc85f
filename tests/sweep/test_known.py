"""Rows that another machine made are not trained again."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from driver import BASE

from simlib.cli.sweep import command
from simlib.runs.table import RunTable, read_table, write_table
from simlib.sweep import read_grid, sweep
from simlib.sweep.plan import plan

pytestmark = pytest.mark.slow

GRID = """# A dense model, a sparse one, and the dense one pruned.
base: {base}
runs:
  - {{nonzero_params: 3072, sparsity: 0}}
  - {{nonzero_params: 3072, sparsity: 0, seed: 1}}
  - {{nonzero_params: 1536, sparsity: 0.5, pruner: from_checkpoint, start: {{steps: 60}}}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunTable]:
    place = tmp_path_factory.mktemp("known")
    grid = place / "grid.yaml"
    grid.write_text(GRID.format(base=BASE | {"steps": 60}))
    return grid, sweep(read_grid(grid).configs, place / "runs", workers=2).runs


def test_known_rows_are_recorded_and_not_trained(trained, tmp_path):
    grid, runs = trained
    configs = read_grid(grid).configs
    marked = RunTable(r.model_copy(update={"started_at": "elsewhere"}) for r in runs)
    assert plan(configs, tmp_path, known=marked).recorded == 3
    result = sweep(configs, tmp_path, known=marked)
    assert [r.started_at for r in result.runs] == ["elsewhere"] * 3
    assert not list(tmp_path.glob("*/weights.safetensors"))


def test_a_model_whose_weights_are_wanted_is_trained_again(trained, tmp_path):
    grid, runs = trained
    configs = read_grid(grid).configs
    dense = RunTable(r for r in runs if r.sparsity == 0)
    result = sweep(configs, tmp_path, known=dense, workers=2)
    assert not result.failures
    assert [r.loss for r in result.runs] == [r.loss for r in runs]
    assert len(list(tmp_path.glob("*/weights.safetensors"))) == 2
    assert len(read_table(tmp_path / "runs.csv")) == 3


def test_a_table_goes_on_in_an_empty_folder(trained, tmp_path):
    grid, runs = trained
    table, out = tmp_path / "few.csv", tmp_path / "runs"
    write_table(table, RunTable([runs.records[1]]))

    def call(*options: str) -> str:
        arguments = [str(grid), "--out", str(out), "--table", str(table), *options]
        result = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "2 runs to train, 1 recorded already" in call("--dry-run")
    call("--only", "sparsity=0")
    assert [r.seed for r in read_table(table)] == [0, 1]
    call()
    assert [r.run_id for r in read_table(table)] == [c.run_id for c in read_grid(grid).configs]
    shutil.rmtree(out)
    assert "0 runs to train, 3 recorded already" in call("--dry-run")
