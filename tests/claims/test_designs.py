"""The power of a rule is that on the runs which are trained: a design is its grid, cell by cell."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from simlib.analysis.optimumgrid import CATALOG as OPTIMA
from simlib.analysis.optimumgrid import load_optima
from simlib.claims import designs
from simlib.claims.designs import held_out_rows, language_rows, of_families, planned, vision_rows
from simlib.claims.evidence import POWER
from simlib.claims.power import CATALOG, load_powers
from simlib.claims.sources import KINDS
from simlib.claims.truths import BASES, PILOT, TRUTHS, VISION_PILOT
from simlib.cli.claims import command, planned_design
from simlib.datasets import load_law, load_runs
from simlib.laws.optimum import chinchilla_flops
from simlib.runs.table import RunTable
from simlib.sweep.grid import read_grid

GRIDS = Path(__file__).parents[2] / "notebooks" / "grids"


@pytest.mark.parametrize(
    ("grid", "rows"),
    [("gpt-laptop", language_rows), ("holdout-laptop", held_out_rows), ("vit-laptop", vision_rows)],
)
def test_a_design_has_the_cells_of_its_grid(grid, rows):
    underway = GRIDS / "underway" / f"{grid}.yaml"
    configs = read_grid(underway if underway.exists() else GRIDS / underway.name).configs
    trained = Counter((c.sparsity, c.nonzero_params, c.data_seen, c.seed) for c in configs)
    assert trained == Counter((r.sparsity, r.nonzero_params, r.data_seen, r.seed) for r in rows())


@pytest.mark.parametrize("name", ["nm-laptop", "pruners-laptop", "pretrained-laptop"])
def test_a_planned_row_is_the_one_that_training_leaves(name):
    trained = {run.run_id: run for run in load_runs(name)}
    for config in read_grid(GRIDS / f"{name}.yaml").configs:
        row = planned(config)
        said = row.model_dump(exclude_unset=True, exclude={"loss", "device", "commit", "sparsity"})
        run = trained[row.run_id]
        assert said.pop("nonzero_params") == pytest.approx(run.nonzero_params, rel=0.001)
        said.pop("embeddings") if not run.embeddings else None  # a later column
        assert said == {field: getattr(run, field) for field in said}
        assert row.sparsity == pytest.approx(run.sparsity, abs=0.001)


def test_power_on_a_grid_is_kept_beside_it(tmp_path):
    grid = tmp_path / "few.yaml"
    grid.write_text(
        "# A few patterns.\n"
        "base: {corpus: python, batch: 32, data_seen: 4096000}\n"
        "runs:\n"
        "  - {nonzero_params: [6144, 24576], sparsity: .5, pattern: [unstructured, '2:4', '4:8']}\n"
        "  - {nonzero_params: [6144, 24576], sparsity: .75,"
        " pattern: [unstructured, '1:4', '2:8']}\n"
    )
    shipped = load_powers("nm-laptop")
    result = CliRunner().invoke(
        command, ["--power", "nm-laptop", "--grid", str(grid), "--tables", "2"]
    )
    assert result.exit_code == 0, result.output
    found = CATALOG.load(str(grid.with_suffix(".power.json")))
    assert (found.runs, {p.rule for p in found.powers}) == (12, {"C12.gentle", "C12.harsh"})
    assert CATALOG.load("nm-laptop") == shipped


def test_a_planned_grid_is_filled_with_losses_of_its_own_kind_of_model(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(
        "# Two sizes of a vision model.\n"
        "base: {family: vit, corpus: 'glyphs:classes=64', batch: 64}\n"
        "runs:\n"
        "  - {nonzero_params: [6144, 24576], sparsity: [0, 0.75], data_seen: [131072, 524288]}\n"
    )
    design = planned_design("vit-laptop", str(path))
    assert design.base.sizes == (6144, 24576)
    assert design.base.data == (131072, 524288)
    drawn = design.sources(TRUTHS["joint"], np.random.default_rng(0)).tables["vit-laptop"]
    law = VISION_PILOT.law(drawn.sparsity, drawn.nonzero_params, drawn.data_seen)
    miss = np.log(drawn.loss / law)
    assert len(miss) == 8
    assert np.abs(miss).max() < 0.15  # seeds scatter by 3%
    assert np.abs(miss).max() > 0.01


def test_the_grid_of_kinds_is_trained_equally_long_and_can_decide():
    configs = read_grid(GRIDS / "underway" / "kinds-laptop.yaml").configs
    rows = [planned(config) for config in configs]
    for run in rows:
        law = BASES[run.family].law
        optimum = chinchilla_flops(law, run.nonzero_params) / (6 * run.nonzero_params)
        assert run.data_seen / optimum == pytest.approx(3, rel=0.02)
    kinds = Counter((r.family, r.pattern, r.pruner, r.seed) for r in rows)
    assert set(kinds.values()) == {5}  # sizes of every kind, family and seed
    (power,) = CATALOG.load(str(GRIDS / "underway" / "kinds-laptop.power.json")).powers
    assert power.can_contradict
    assert power.can_support
    assert power.supports_true >= POWER


def test_families_of_a_mixed_set_follow_their_own_laws_and_scatter():
    configs = read_grid(GRIDS / "underway" / "kinds-laptop.yaml").configs
    rows = [planned(config) for config in configs]
    design = of_families(KINDS, "kinds", lambda: rows)
    runs = design.sources(TRUTHS["joint"], np.random.default_rng(0)).runs(KINDS.table)
    for family, (low, high) in {"gpt": (0.001, 0.01), "vit": (0.01, 0.06)}.items():
        own = runs.where(family=family)
        law = BASES[family].law(own.sparsity, own.nonzero_params, own.data_seen)
        assert low < np.log(own.loss / law).std() < high


def test_runs_at_predicted_optima_follow_the_law_that_predicted_them(tmp_path):
    optima = load_optima("optimum-laptop")
    grid = tmp_path / "some.yaml"
    grid.write_text(
        "# One run.\n"
        "base: {corpus: python}\n"
        "runs:\n"
        "  - {nonzero_params: 6144, data_seen: 2048000}\n"
    )
    OPTIMA.write(grid.with_suffix(".optima.json"), optima)
    design = planned_design("optimum-laptop", str(grid))
    sources = design.sources(TRUTHS["joint"], np.random.default_rng(0))
    assert sources.optimum("optimum-laptop") == optima
    runs = sources.runs("optimum-laptop")
    cells = {(p.nonzero_params, S) for p in optima.points for S in p.sparsities}
    assert {(r.nonzero_params, r.sparsity) for r in runs} == cells
    law = load_law(optima.made["law"]).joint(runs.sparsity, runs.nonzero_params, runs.data_seen)
    assert 0.005 < np.log(runs.loss / law).std() < 0.02


@pytest.mark.parametrize("base", [PILOT, VISION_PILOT], ids=["language", "vision"])
def test_where_only_short_training_gains_the_gain_at_equal_cost_shrinks(base):
    loss = TRUTHS["short training"].of(base)
    data = np.geomspace(*base.data, 6)
    gain = loss(0.0, 12_288, data) - loss(0.75, 12_288, data / 4)
    assert (gain > 0).all()
    assert (np.diff(gain) < 0).all()


def test_the_power_of_a_table_that_lacks_many_runs_is_of_those_it_has(monkeypatch):
    """With a third of the grid virtual tables have its cells, with all of it the grid's."""
    whole = language_rows()
    for share, kept in ((3, len(whole[::3])), (1, len(whole))):
        table = RunTable(whole[::share])
        monkeypatch.setattr(designs, "load_runs", lambda name, table=table: table)
        design = designs.trained("gpt-laptop")
        drawn = design.sources(TRUTHS["joint"], np.random.default_rng(0)).runs("gpt-laptop")
        assert design.size == len(drawn) == kept
        assert set(drawn.nonzero_params) <= {r.nonzero_params for r in table}
