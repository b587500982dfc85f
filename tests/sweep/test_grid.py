"""Grid files: what they stand for, and what is refused."""

from pathlib import Path

import pytest

from simlib.corpora import glyphs
from simlib.datasets import load_runs, table_names
from simlib.errors import InputError
from simlib.pages.notebooks import notebook_folder
from simlib.runs.config import RunConfig
from simlib.sparsify import make_schedule
from simlib.sweep import enlarge, read_grid
from simlib.sweep.plan import mean_density, plan
from simlib.train import batches
from simlib.train.batches import make_batches

GRID = """# Two sizes, dense and sparse.
#
# Command: simlib sweep this.yaml
base: {steps: 100, depth: 1, mask_interval: 5, seq_len: 32, valid_windows: 32}
runs:
  - {nonzero_params: [3072, 6144], sparsity: [0, 0.5], seed: [0, 1]}
  - {nonzero_params: 6144, sparsity: 0.5, pattern: "2:4"}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def test_a_grid_stands_for_all_combinations(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, GRID))
    assert grid.name == "small"
    assert grid.about.startswith("Two sizes")
    assert len(grid.configs) == 9
    assert len({c.run_id for c in grid.configs}) == 9
    assert len(grid.only(["sparsity=0.5", "seed=1"]).configs) == 2
    first = grid.configs[0]
    assert grid.only([first.run_id[:8]]).configs == (first,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GRID[GRID.index("base") :], "begin with a comment"),
        (GRID + "  - {nonzero_params: 3072, sparsity: 0, seed: 1}\n", "twice"),
        (GRID.replace("seed:", "sead:"), "'sead'"),
        (GRID.replace("runs:", "rows:"), "'runs'"),
        (GRID.replace("[0, 0.5]", "[0, 1.0]"), "sparsity 1"),
        (GRID.replace("{", "", 1), "cannot be read"),
        ("# x\nruns: [1]\n", "mapping"),
    ],
)
def test_wrong_files_get_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_grid(write(tmp_path, text))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


PRUNED = (
    GRID
    + """  - {nonzero_params: 6144, sparsity: 0.5, seed: [0, 1], pruner: from_checkpoint,
     start: {steps: 200}}
  - {nonzero_params: 12288, sparsity: 0, steps: 200, seed: [0, 1]}
"""
)


def test_a_start_is_the_dense_run_of_the_same_shape(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, PRUNED))
    runs = {c.run_id: c for c in grid.configs}
    pruned = [c for c in grid.configs if c.pruner == "from_checkpoint"]
    for config in pruned:
        dense = runs[config.start]
        assert (dense.shape, dense.seed, dense.sparsity) == (config.shape, config.seed, 0)
        assert (dense.total_steps, config.total_steps) == (200, 100)
    assert [c.seed for c in pruned] == [0, 1]
    assert "start" in plan(grid.configs, tmp_path / "out", workers=1).text()


def test_an_enlarged_grid_keeps_its_starts(tmp_path: Path) -> None:
    configs = read_grid(write(tmp_path, PRUNED)).configs
    larger = enlarge(configs, 4, 2, device="cuda")
    runs = {c.run_id: c for c in larger}
    for small, large in zip(configs, larger, strict=True):
        assert (large.nonzero_params, large.total_steps) == (
            4 * small.nonzero_params,
            2 * small.total_steps,
        )
        if small.start != "scratch":
            assert runs[large.start].shape == large.shape
            assert runs[large.start].total_steps == 400
    assert {c.device for c in larger} == {"cuda"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PRUNED.replace("sparsity: 0, steps: 200, seed: [0, 1]", "steps: 200"), "seed: 1"),
        (PRUNED.replace("{steps: 200}", "{nonzero_params: 6144}"), "shape"),
        (PRUNED.replace("{steps: 200}", "{sparsity: 0.5}"), "dense"),
        (PRUNED.replace("pruner: from_checkpoint,", ""), "from_checkpoint"),
    ],
)
def test_wrong_starts_get_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_grid(write(tmp_path, text))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_only_refuses_what_matches_nothing(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, GRID))
    with pytest.raises(InputError, match="no run"):
        grid.only(["seed=7"])
    with pytest.raises(InputError, match="field"):
        grid.only(["sead=7"])


@pytest.mark.slow
def test_a_plan_counts_shared_steps_once(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, GRID))
    planned = plan(grid.configs, tmp_path / "out", workers=1)
    assert planned.steps == 900
    # of each seed the 0.5 run at 3072 leaves the dense 6144's prefix at 24; seed 0's 2:4 run, of
    # 12,288 dense weights, shares with the 0.5 run at 6144
    assert planned.steps_shared == 900 - 3 * 24
    assert 0 < planned.hours < 1
    assert planned.flops < planned.flops_dense
    assert not (tmp_path / "out" / "runs.csv").exists()
    assert len(planned.as_dict()["runs"]) == 9
    assert 0 < planned.epochs < 1
    assert "repeats" not in planned.text()
    longest = RunConfig(depth=1, nonzero_params=3072, steps=200_000)
    assert "data repeats" in plan([longest], tmp_path).text()


def test_batch_is_an_axis_like_any_other(tmp_path: Path) -> None:
    text = GRID.replace("seed: [0, 1]", "batch: [4, 16]").replace("steps: 100", "data_seen: 51200")
    configs = read_grid(write(tmp_path, text)).configs[:8]
    assert {(c.batch, c.total_steps) for c in configs} == {(4, 400), (16, 100)}
    shared = {(c.batch, c.prefix_id) for c in configs}
    assert len(shared) == 3 * 2  # a prefix for each dense size and batch
    planned = plan(configs, tmp_path / "out", workers=1)
    assert planned.steps == 4 * (400 + 100)
    assert planned.steps_shared < planned.steps
    assert "batch 16" in planned.text()
    assert "lr 0.00" in planned.text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the corpus 'glyphs' differs")
def test_a_plan_says_what_drawn_images_will_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seeds, whatever the sizes and lengths of their runs; what was said is not exceeded."""
    monkeypatch.setattr(glyphs, "_common_characters", lambda paths: list("abcdefghij"))
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    batches._corpus.cache_clear()
    corpus = "glyphs:classes=10,size=16,draw=quasirandom"
    fields = {"family": "vit", "corpus": corpus, "depth": 1, "batch": 10, "valid_windows": 2}
    runs = [
        RunConfig(**fields, nonzero_params=size, seed=seed, steps=steps)
        for size in (768, 3072)
        for seed in (0, 1)
        for steps in (20, 1000)
    ]
    planned = plan(runs, tmp_path / "out", workers=1)
    assert planned.cache_bytes == 2 * 3 * (4096 * (16 * 16 + 2) + 32)
    assert "up to 6.3 MB of training images in the corpus cache" in planned.text()
    made = make_batches(runs[1])
    for step in (0, 500, 999):
        made.batch(step)
    kept = [path.stat().st_size for path in tmp_path.glob("corpora/drawn-*/train-0/*")]
    assert sum(kept) == planned.cache_bytes / 2
    batches._corpus.cache_clear()


@pytest.mark.parametrize("schedule", ["cubic", "geometric", "oneshot", "constant"])
def test_mean_density_is_that_of_the_schedule(tmp_path: Path, schedule: str) -> None:
    config = RunConfig(steps=4000, sparsity=0.75, schedule=schedule, mask_interval=1)
    steps = make_schedule(schedule, *config.prune_steps, 1)
    path = [1 - steps.sparsity_at(t, 0.75) for t in range(4000)]
    assert mean_density(config, 0.75) == pytest.approx(sum(path) / 4000, rel=2e-3)


def shipped_grids() -> list[str]:
    grids = {path.stem for path in (notebook_folder() / "grids").glob("*.yaml")}
    return sorted(grids & set(table_names()))


@pytest.mark.parametrize("name", shipped_grids())
def test_a_shipped_table_holds_the_runs_of_its_grid_size_by_size(name: str) -> None:
    """No run twice and none of another grid; with rows aside, whole sizes from the least."""
    grids = notebook_folder() / "grids"
    grid = read_grid(grids / f"{name}.yaml")
    sizes = {config.run_id: config.nonzero_params for config in grid.configs}
    found = [r.run_id for r in load_runs(name)]
    last = max(sizes[run_id] for run_id in found)
    assert sorted(found) == sorted(run_id for run_id, N in sizes.items() if last >= N)
    assert last == max(sizes.values()) or (grids / f"{name}.rows.csv").is_file()
