"""Pruners: what each keeps, revives and never touches, under every pattern."""

import pytest
import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.pruning import USUAL_SCHEDULES
from simlib.sparsify import (
    PRUNERS,
    Candidates,
    Constant,
    Cubic,
    FromCheckpoint,
    GeometricDensity,
    OneShot,
    Pruner,
    RigL,
    Schedule,
    Set,
    make_pruner,
    nonzero_target,
)

END = 23  # not a multiple of the interval of any schedule below
RAMP, FLAT = Cubic(4, END, 5), Constant(0, END, 5)
NATURAL: dict[str, Schedule] = {
    "gmp": RAMP,
    "acdc": FLAT,
    "rigl": FLAT,
    "set": FLAT,
    "random_static": FLAT,
    "random_gradual": RAMP,
    "from_checkpoint": RAMP,
}
MONOTONE = ["gmp", "random_static", "random_gradual", "from_checkpoint"]
PATTERNS = {"unstructured": 0.7, "global": 0.7, "2:4": 0.5, "1:8": 0.875, "block4x4": 0.7}


def test_every_pruner_is_tried_on_the_schedule_that_suits_it():
    assert NATURAL.keys() == PRUNERS.keys(), "add the pruner to NATURAL above"
    for name, schedule in NATURAL.items():
        assert schedule.name == USUAL_SCHEDULES.get(name), f"add {name} to simlib.pruning"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("pruner", PRUNERS)
def test_counts_are_exact_and_pruned_weights_stay_zero(trial, pruner, pattern, dtype):
    sparsity = PATTERNS[pattern]
    run = trial(
        pruner=pruner, pattern=pattern, schedule=NATURAL[pruner], targets=sparsity, dtype=dtype
    )
    for _ in run.train(END + 3):
        for weight, mask in run.pruned():
            for tensor in (weight, *run.optimizer.state[weight].values()):
                if tensor.shape == mask.shape:
                    assert not tensor[~mask].any()
    unit = 16 if pattern == "block4x4" else 1
    sizes = {name: mask.numel() for name, mask in run.sparsifier.masks.items()}
    wanted = {name: unit * nonzero_target(n // unit, sparsity) for name, n in sizes.items()}
    if pattern == "global":
        assert run.sparsifier.nonzero_params == sum(wanted.values())
    else:
        assert run.sparsifier.nonzero_counts() == wanted
    if ":" in pattern:
        n, m = map(int, pattern.split(":"))
        assert all((mask.view(-1, m).sum(1) == n).all() for _, mask in run.pruned())


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("pruner", MONOTONE)
def test_a_pruned_weight_is_never_revived(trial, pruner, pattern):
    run = trial(pruner=pruner, pattern=pattern, schedule=NATURAL[pruner], targets=PATTERNS[pattern])
    before = run.sparsifier.masks
    for _ in run.train(END):
        now = run.sparsifier.masks
        assert not any((now[name] & ~before[name]).any() for name in now)
        before = now


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [RAMP, GeometricDensity(4, END, 5), OneShot(9)])
def test_counts_follow_the_schedule_at_every_update(trial, schedule):
    run = trial(schedule=schedule, targets=0.8)
    for t in run.train(END):
        if schedule.due(t):
            for weight, mask in run.pruned():
                wanted = nonzero_target(weight.numel(), schedule.sparsity_at(t, 0.8))
                assert mask.sum() == wanted


def test_gmp_drops_the_smallest_living_weights(trial):
    run = trial(schedule=OneShot(3), targets=0.6).run(2)
    shadow = trial(schedule=OneShot(100), targets=0.6).run(3)
    run.run(1)
    for (weight, mask), (dense, _) in zip(run.pruned(), shadow.pruned(), strict=True):
        assert torch.equal(weight, dense * mask)
        assert dense[mask].abs().min() >= dense[~mask].abs().max()


@pytest.mark.slow
def test_acdc_alternates_and_ends_sparse(trial):
    run = trial(pruner="acdc", schedule=Constant(5, 30, 5), targets=0.5)
    path = [run.sparsifier.sparsity for _ in run.train(40)]
    sparse, dense = [0.5] * 5, [0.0] * 5
    assert path == [0.0] * 4 + sparse + dense + sparse + dense + sparse + [0.5] * 11


def test_acdc_ends_sparse_where_a_dense_phase_would_run(trial):
    run = trial(pruner="acdc", schedule=Constant(5, 13, 5), targets=0.5).run(13)
    assert run.sparsifier.sparsity == 0.5


def grown(run, update: int) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Per target: mask before and after an update, weights just before it, and the gradient."""
    run.run(update - 1 - run.step)
    run.optimizer.zero_grad()
    (run.model(run.inputs) - run.outputs).square().mean().backward()
    run.optimizer.step()
    run.sparsifier.apply()
    before = [(mask, weight.detach().clone()) for weight, mask in run.pruned()]
    run.sparsifier.step(update)
    run.step = update
    pairs = zip(before, run.pruned(), strict=True)
    return [(old, new, was, weight.grad) for (old, was), (weight, new) in pairs]


@pytest.mark.parametrize("pruner", [RigL(0.3), Set(0.3)])
def test_rewiring_keeps_the_count_and_the_largest_weights(trial, pruner):
    run = trial(pruner=pruner, schedule=Constant(0, 40, 4), targets=0.75)
    for (old, new, was, _), (weight, _) in zip(grown(run, 8), run.pruned(), strict=True):
        assert new.sum() == old.sum()
        revived, dropped = new & ~old, old & ~new
        assert 0 < revived.sum() <= 0.3 * new.sum()
        largest = was[old].abs().topk(int(0.7 * old.sum())).values.min()
        assert dropped.sum() > 0
        assert was[dropped].abs().max() <= largest
        for tensor in (weight, *run.optimizer.state[weight].values()):
            assert tensor.dim() == 0 or not tensor[revived].any()


def test_rigl_grows_where_the_gradient_is_largest(trial):
    run = trial(pruner="rigl", schedule=Constant(0, 40, 4), targets=0.75)
    for old, new, _, gradient in grown(run, 8):
        revived, left_out = new & ~old, ~new & ~old
        assert gradient[revived].abs().min() >= gradient[left_out].abs().max()


@pytest.mark.slow
def test_rigl_rewires_less_as_it_nears_the_end_and_set_does_not(trial):
    def revived(pruner: str) -> list[int]:
        run = trial(pruner=pruner, schedule=Constant(0, 40, 4), targets=0.5)
        return [
            sum(int((new & ~old).sum()) for old, new, *_ in grown(run, update))
            for update in (4, 20, 40)
        ]

    first, middle, last = revived("rigl")
    assert first > middle > last == 0
    assert revived("set")[2] > 0


def test_random_static_keeps_one_mask_and_refuses_a_ramp(trial):
    run = trial(pruner="random_static", schedule=FLAT, targets=0.5)
    first = run.sparsifier.masks
    last = run.run(END + 1).sparsifier.masks
    assert all(torch.equal(first[name], last[name]) for name in first)
    with pytest.raises(InputError, match=r"random_static.*cubic"):
        trial(pruner="random_static", schedule=RAMP, targets=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["random_static", "random_gradual", "rigl", "set"])
def test_the_seed_decides_random_choices(trial, pruner):
    def masks(seed: int) -> list[Tensor]:
        run = trial(pruner=pruner, schedule=NATURAL[pruner], targets=0.5, seed=seed)
        return list(run.run(END).sparsifier.masks.values())

    first, again, other = masks(1), masks(1), masks(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_from_checkpoint_prunes_the_weights_it_is_given(trial):
    trained = trial(schedule=OneShot(100), targets=0.5).run(20).model.state_dict()
    run = trial(pruner=FromCheckpoint(trained), schedule=RAMP, targets=0.5)
    assert all(torch.equal(run.model.state_dict()[name], trained[name]) for name in trained)
    with pytest.raises(InputError, match="checkpoint does not fit"):
        trial(pruner=FromCheckpoint({"other": torch.ones(2)}), schedule=RAMP, targets=0.5)


class LargestFirst(Pruner):
    """The opposite of magnitude pruning, as a user would write it."""

    def scores(self, units: Candidates) -> Tensor:
        return units.among_alive(1 / (1 + units.magnitude))


def test_a_new_pruner_is_one_small_class(trial):
    run = trial(pruner=LargestFirst(), schedule=OneShot(3), targets=0.6).run(2)
    shadow = trial(schedule=OneShot(100), targets=0.6).run(3)
    run.run(1)
    for (_, mask), (dense, _) in zip(run.pruned(), shadow.pruned(), strict=True):
        assert dense[mask].abs().max() <= dense[~mask].abs().min()


@pytest.mark.parametrize("kind", [RigL, Set])
@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.3])
def test_impossible_drop_fractions_are_refused(kind, fraction):
    with pytest.raises(InputError, match="drop fraction"):
        kind(fraction)


def test_unknown_pruner_is_refused_with_the_choices():
    with pytest.raises(InputError, match=r"'magnitude'.*gmp"):
        make_pruner("magnitude")
