"""A run's description: what it refuses, what makes two runs one, what it builds."""

from pathlib import Path

import pytest

from simlib.datasets import load_runs, table_names
from simlib.errors import InputError
from simlib.pruning import USUAL_SCHEDULES
from simlib.runs.config import RunConfig
from simlib.runs.shape import derive_shape
from simlib.sparsify import PRUNERS
from simlib.sweep import read_grid

GRIDS = Path(__file__).parents[2] / "notebooks" / "grids"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"family": "rnn"}, "family 'rnn'"),
        ({"pattern": "4:2"}, "0 < n < m"),
        ({"pattern": "2:4", "sparsity": 0.75}, "make them agree"),
        ({"pattern": "rows"}, "pattern 'rows'"),
        ({"pruner": "magnitude"}, "pruner 'magnitude'"),
        ({"pruner": "a module:Mine"}, "module:Class"),
        ({"sparsity": 1.0}, "sparsity 1"),
        ({"sparsity": -0.1}, "sparsity -0.1"),
        ({"nonzero_params": 300}, "vocabulary"),
        ({"nonzero_params": 1650}, "within 3%"),
        ({"sparsity": 0.5, "steps": 30}, "one update every"),
        ({"sparsity": 0.5, "prune_start": 0.8}, "swap"),
        ({"sparsity": 0.5, "start": "abc"}, "from_checkpoint"),
        ({"sparsity": 0.5, "pruner": "from_checkpoint"}, "start"),
        ({"start": "abc"}, "sparse"),
        ({"data_seen": 1000}, "not both"),
        ({"steps": None}, "data_seen or steps"),
        ({"widht": 3}, "'widht'"),
        ({"lr": float("nan")}, "lr"),
        ({"batch": 0}, "batch"),
        ({"head_size": 0}, "head_size"),
        ({"weight_bits": 16}, "weight_bits"),
        ({"weight_bits": 4, "sparsity": 0.5, "kernels": "auto"}, "whole weights"),
        ({"device": "tpu"}, "device 'tpu'"),
        ({"lr": 0.01, "lr_density": 0.3}, "leave lr_density out"),
        ({"lr": 0.01, "lr_base": 0.01}, "leave lr_base out"),
        ({"optimizer": "adafactor", "beta2": 0.999}, "adamw's"),
        ({"beta2": 1.0}, "beta2"),
        ({"average": "mean", "cooldown": 0}, "give a cooldown"),
        ({"average": "both", "lr_schedule": "cosine"}, "give a cooldown"),
        ({"average": "ema", "ema_half_life": 0.2}, "ema_half_life"),
    ],
)
def test_wrong_values_get_one_sentence(wrong: dict, said: str) -> None:
    with pytest.raises(InputError) as error:
        RunConfig(**({"steps": 1000} | wrong))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_id_tells_runs_apart_and_equal_runs_together() -> None:
    config = RunConfig(sparsity=0.5, steps=1000)
    assert config.run_id == RunConfig(sparsity=0.5, data_seen=1000 * 8 * 128).run_id
    assert config.run_id == RunConfig(sparsity=0.5, steps=1000, lr=config.peak_lr).run_id
    assert len({config, RunConfig(sparsity=0.5, steps=1000)}) == 1
    for other in ({"seed": 1}, {"sparsity": 0.75}, {"steps": 1001}, {"threads": 2}):
        assert config.run_id != RunConfig(**({"sparsity": 0.5, "steps": 1000} | other)).run_id


def test_how_a_dense_run_would_be_pruned_does_not_matter() -> None:
    dense = RunConfig(steps=1000)
    assert dense.run_id == RunConfig(steps=1000, pruner="set", prune_start=0.1).run_id


def test_fields_of_other_families_do_not_matter() -> None:
    assert RunConfig(steps=1000).run_id == RunConfig(steps=1000, patch=4).run_id
    vit = {"family": "vit", "steps": 1000}
    assert RunConfig(**vit).run_id == RunConfig(**vit, seq_len=64).run_id
    assert RunConfig(**vit).run_id != RunConfig(**vit, patch=4).run_id
    assert RunConfig(**vit).run_id == RunConfig(**vit, position_bias="slopes").run_id
    t5 = {"family": "t5", "nonzero_params": 18_432, "steps": 1000}
    first, second = RunConfig(**t5), RunConfig(**t5, position_bias="slopes")
    assert first.run_id != second.run_id
    assert first.prefix_id != second.prefix_id


def test_heads_are_of_the_size_asked_for_or_the_nearest_that_divides_the_width() -> None:
    def heads(width: int, size: int) -> int:
        return derive_shape("gpt", 12 * width**2, 0.0, 1, size).heads

    assert [heads(w, 32) for w in (8, 16, 24, 32, 40, 48, 64, 96)] == [1, 1, 1, 1, 1, 2, 2, 3]
    assert [heads(w, 8) for w in (8, 16, 24, 40, 64)] == [1, 2, 3, 5, 8]
    assert [heads(w, 4) for w in (8, 16)] == [2, 4]
    assert heads(40, 16) == 2  # of 20 rather than 10: 20/16 < 16/10
    assert heads(32, 1000) == 1
    assert heads(8, 3) == 2  # sizes are even


def test_a_head_size_that_changes_nothing_is_no_other_run() -> None:
    small = {"nonzero_params": 768, "depth": 1, "steps": 1000}  # one head of 8
    assert RunConfig(**small).shape.width == 8
    assert RunConfig(**small).run_id == RunConfig(**small, head_size=8).run_id
    assert RunConfig(**small).run_id != RunConfig(**small, head_size=4).run_id
    first, second = RunConfig(steps=1000), RunConfig(steps=1000, head_size=8)
    assert first.run_id != second.run_id
    assert first.prefix_id != second.prefix_id


def test_prefix_is_shared_by_what_differs_after_pruning_starts_only() -> None:
    dense = RunConfig(nonzero_params=55_296, steps=1000)
    sparse = RunConfig(nonzero_params=13_824, sparsity=0.75, steps=1000)
    other = RunConfig(nonzero_params=27_648, sparsity=0.5, steps=2000, pruner="rigl")
    assert dense.prefix_id == sparse.prefix_id == other.prefix_id
    assert sparse.private_from < other.private_from < dense.private_from < 1000
    assert dense.prefix_id != RunConfig(nonzero_params=55_296, steps=1000, seed=1).prefix_id
    cosine = [RunConfig(steps=s, lr_schedule="cosine").prefix_id for s in (1000, 2000)]
    assert cosine[0] != cosine[1]


@pytest.mark.parametrize("family", ["gpt", "vit", "t5"])
@pytest.mark.parametrize("sparsity", [0, 0.5, 0.75, 0.875])
def test_shape_meets_the_request(family: str, sparsity: float) -> None:
    for size in (25_000, 100_000, 10_000_000):
        shape = RunConfig(family=family, nonzero_params=size, sparsity=sparsity, steps=9999).shape
        assert abs(shape.dense_params * (1 - sparsity) / size - 1) <= 0.03
        assert shape.width % 8 == shape.hidden % 8 == shape.width % shape.heads == 0
        usual = {"gpt": 4, "vit": 4, "t5": 8 / 3}[family]
        assert 0.6 < shape.hidden / shape.width / usual < 1.5


def test_every_pruner_has_its_usual_schedule_by_default() -> None:
    assert PRUNERS.keys() == USUAL_SCHEDULES.keys()
    for name in PRUNERS:
        start = "abc" if name == "from_checkpoint" else "scratch"
        config = RunConfig(steps=1000, sparsity=0.5, pruner=name, start=start)
        assert config.ramp == USUAL_SCHEDULES[name]
    assert RunConfig(steps=1000, sparsity=0.5, pruner="a.module:Mine").ramp == "cubic"
    explicit = RunConfig(steps=1000, sparsity=0.5, schedule="cubic")
    assert explicit.run_id == RunConfig(steps=1000, sparsity=0.5).run_id
    with pytest.raises(InputError, match="its mask never changes"):
        RunConfig(steps=1000, sparsity=0.5, pruner="random_static", schedule="cubic")


def test_embeddings_are_pruned_unless_they_are_said_to_be_dense() -> None:
    sparse = {"sparsity": 0.5, "steps": 1000}
    assert RunConfig(**sparse).run_id == RunConfig(**sparse, embeddings="pruned").run_id
    dense = RunConfig(**sparse, embeddings="dense")
    assert dense.run_id != RunConfig(**sparse).run_id
    assert dense.prefix_id == RunConfig(**sparse).prefix_id
    assert RunConfig(steps=1000).run_id == RunConfig(steps=1000, embeddings="dense").run_id
    assert RunConfig(**sparse, pattern="2:4").embeddings == "pruned"


def test_kernels_are_no_other_run_until_they_are_chosen() -> None:
    sparse = {"sparsity": 0.5, "steps": 1000}
    assert RunConfig(**sparse).run_id == RunConfig(**sparse, kernels="masks").run_id
    others = [RunConfig(**sparse, kernels=kind) for kind in ("auto", "sparse")]
    assert len({c.run_id for c in (RunConfig(**sparse), *others)}) == 3
    assert {c.prefix_id for c in others} == {RunConfig(**sparse).prefix_id}
    assert RunConfig(steps=1000).run_id == RunConfig(steps=1000, kernels="auto").run_id


def test_the_rate_follows_its_rule_and_names_the_run() -> None:
    sparse = {"sparsity": 0.75, "steps": 1000, "nonzero_params": 13_824}
    usual = RunConfig(**sparse)
    assert usual.shape.width == 48
    assert usual.peak_lr == 0.004 * (32 / 48) ** 0.75
    ruled = RunConfig(**sparse, lr_base=0.003, lr_width=0.5, lr_density=0.25)
    assert ruled.peak_lr == pytest.approx(0.003 * (32 / 48) ** 0.5 * 4**0.25)
    assert ruled.run_id == RunConfig(**sparse, lr=ruled.peak_lr).run_id != usual.run_id
    assert ruled.prefix_id != usual.prefix_id
    said = {"lr_base": 0.004, "lr_width": 0.75, "lr_density": 0.0}
    assert RunConfig(**sparse, **said).run_id == usual.run_id
    assert RunConfig(**sparse, optimizer="adafactor").peak_lr == 0.02 * (32 / 48) ** 0.75


@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.875])
def test_half_the_power_of_width_makes_one_rate_for_one_size(sparsity: float) -> None:
    sizes = {"nonzero_params": 98_304, "steps": 1000, "lr_width": 0.6, "lr_density": 0.3}
    dense, sparse = RunConfig(**sizes), RunConfig(**sizes, sparsity=sparsity)
    assert sparse.shape.width > 1.3 * dense.shape.width
    assert sparse.peak_lr == pytest.approx(dense.peak_lr, rel=0.03)  # widths come in steps


def test_recipe_fields_leave_runs_their_names_until_they_are_chosen() -> None:
    run = {"sparsity": 0.5, "steps": 1000}
    usual = RunConfig(**run)
    same = [{"beta2": 0.99}, {"average": "none"}, {"ema_half_life": 0.05}]
    assert {RunConfig(**run, **fields).run_id for fields in same} == {usual.run_id}
    others = [
        {"beta2": 0.999},
        {"average": "ema"},
        {"average": "mean"},
        {"average": "both"},
        {"average": "ema", "ema_half_life": 0.05},
    ]
    assert len({usual.run_id, *(RunConfig(**run, **fields).run_id for fields in others)}) == 6
    mean = RunConfig(**run, average="mean")
    assert mean.run_id == RunConfig(**run, average="mean", ema_half_life=0.05).run_id
    assert mean.prefix_id == RunConfig(**run, average="ema").prefix_id == usual.prefix_id
    assert RunConfig(**run, beta2=0.999).prefix_id != usual.prefix_id
    assert RunConfig(**run, batch=32).prefix_id != usual.prefix_id


def test_no_average_begins_before_a_run_leaves_its_prefix() -> None:
    for average in ("ema", "mean", "both"):
        for half_life in (0.001, 0.01, 0.09, 0.1):
            for sparsity in (0.0, 0.5):
                run = {"sparsity": sparsity, "steps": 999}
                one = RunConfig(**run, average=average, ema_half_life=half_life)
                assert one.private_from == min(
                    RunConfig(**run).private_from, *one.averages_from.values()
                )


def test_weights_of_few_bits_are_another_run_from_its_first_step() -> None:
    few, full = (RunConfig(sparsity=0.5, steps=1000, weight_bits=bits) for bits in (4, None))
    assert few.run_id != full.run_id
    assert few.prefix_id != full.prefix_id
    assert full.run_id == RunConfig(sparsity=0.5, steps=1000).run_id


@pytest.mark.parametrize("name", [n for n in table_names() if (GRIDS / f"{n}.yaml").exists()])
def test_recorded_runs_keep_their_names(name: str) -> None:
    """A new field must not rename runs that were trained before it was there."""
    named = {c.run_id for c in read_grid(GRIDS / f"{name}.yaml").configs}
    assert {r.run_id for r in load_runs(name)} <= named
