"""What is told about pruning: it adds up, and it agrees with the masks."""

import numpy as np
import pytest
import torch

from simlib.errors import InputError
from simlib.sparsify import Constant, Cubic, MaskHistory, OneShot, Pattern, survival_by_size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pruner", "schedule"), [("gmp", Cubic(4, 23, 5)), ("rigl", Constant(0, 23, 5))]
)
def test_changes_of_density_add_up(trial, pruner, schedule):
    run = trial(pruner=pruner, schedule=schedule, targets=0.7)
    history = MaskHistory(run.sparsifier)
    for t in run.train(30):
        history.note(t)
    columns = {name: np.array(values) for name, values in history.columns.items()}
    assert columns["step"].tolist() == list(range(31))
    net = np.cumsum(columns["revived"] - columns["dropped"])
    assert 1 - columns["sparsity"] == pytest.approx(1 - columns["sparsity"][0] + net)
    assert (np.diff(columns["explored"]) >= 0).all()
    assert (columns["explored"] >= 1 - columns["sparsity"] - 1e-12).all()
    # growing by gradient reaches more weights than it keeps, magnitude pruning begins with all
    assert columns["explored"][-1] == (1 if pruner == "gmp" else columns["explored"].max())
    assert columns["explored"][-1] > 1 - columns["sparsity"][-1]
    present = torch.cat([share.flatten() for share in history.presence.values()])
    assert float(present.mean()) == pytest.approx(1 - columns["sparsity"].mean())


def test_pruning_in_one_shot_keeps_just_the_largest():
    weights = {"w": torch.randn(40, 50), "v": torch.randn(10, 10)}
    masks = {name: Pattern().mask_by_magnitude(w, 0.7) for name, w in weights.items()}
    assert survival_by_size(weights, masks).tolist() == [0.0] * 7 + [1.0] * 3


def test_a_random_mask_keeps_all_sizes_alike():
    generator = torch.Generator().manual_seed(0)
    weights = {"w": torch.randn(300, 300, generator=generator)}
    masks = {"w": torch.rand(300, 300, generator=generator) < 0.25}
    assert survival_by_size(weights, masks) == pytest.approx(np.full(10, 0.25), abs=0.02)


def test_weights_of_another_model_are_refused_by_name():
    with pytest.raises(InputError, match="'w'"):
        survival_by_size({"w": torch.ones(3, 4)}, {"w": torch.ones(4, 3, dtype=torch.bool)})


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "block4x4"])
def test_one_mask_by_magnitude_is_what_a_one_shot_run_makes(trial, pattern):
    shadow = trial(schedule=OneShot(100), targets=0.5, pattern=pattern).run(3)
    pruned = trial(schedule=OneShot(3), targets=0.5, pattern=pattern).run(3)
    for (dense, _), (_, mask) in zip(shadow.pruned(), pruned.pruned(), strict=True):
        assert torch.equal(Pattern.parse(pattern).mask_by_magnitude(dense, 0.5), mask)
