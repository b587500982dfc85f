"""The sparsifier in a training loop: resuming, storage, and what it refuses."""

import io
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from simlib.errors import InputError
from simlib.sparsify import Constant, Cubic, OneShot, RigL, Sparsifier, embedding_sparsity

RAMP, FLAT = Cubic(4, 23, 5), Constant(0, 23, 5)
SETUPS = [
    ("gmp", "unstructured", RAMP),
    ("gmp", "global", RAMP),
    ("gmp", "2:4", RAMP),
    ("acdc", "block4x4", FLAT),
    ("rigl", "unstructured", FLAT),
    ("set", "2:4", FLAT),
    ("random_static", "unstructured", FLAT),
    ("random_gradual", "global", RAMP),
]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 9, 20, 24])
@pytest.mark.parametrize(("pruner", "pattern", "schedule"), SETUPS)
def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(trial, pruner, pattern, schedule, stop):
    settings = {"pruner": pruner, "pattern": pattern, "schedule": schedule, "targets": 0.5}
    unbroken = trial(**settings).run(30)
    file = io.BytesIO()
    torch.save(trial(**settings).run(stop).states(), file)
    file.seek(0)
    resumed = trial(**settings).load(torch.load(file)).run(30 - stop)
    assert torch.equal(resumed.inputs, unbroken.inputs)
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    for name, mask in unbroken.sparsifier.masks.items():
        assert torch.equal(resumed.sparsifier.masks[name], mask)


@pytest.mark.slow
def test_a_branch_from_a_dense_prefix_equals_a_whole_run(trial):
    whole = trial(schedule=RAMP, targets=0.5).run(30)
    prefix = trial(schedule=OneShot(1000), targets=0.5).run(RAMP.start).states()
    branch = trial(schedule=RAMP, targets=0.5)
    branch.load({**prefix, "sparsifier": branch.sparsifier.state_dict()}).run(30 - RAMP.start)
    for (a, _), (b, _) in zip(whole.pruned(), branch.pruned(), strict=True):
        assert torch.equal(a, b)


def test_every_tensor_can_have_a_pattern_of_its_own():
    torch.manual_seed(0)
    layers = {"first": nn.Linear(16, 16), "second": nn.Linear(16, 16), "last": nn.Linear(16, 16)}
    model = nn.ModuleDict(layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    patterns = {"first.weight": "2:4", "second.weight": "2:4", "last.weight": "unstructured"}
    targets = {"first.weight": 0.5, "second.weight": 0.5, "last.weight": 0.25}
    sparsifier = Sparsifier(model, optimizer, schedule=FLAT, targets=targets, pattern=patterns)
    assert sparsifier.nonzero_counts() == {n: round(256 * (1 - s)) for n, s in targets.items()}
    for name, mask in sparsifier.masks.items():
        full = int(mask.unflatten(1, (-1, 4)).sum(-1).max())
        assert full == (4 if name == "last.weight" else 2)
    with pytest.raises(InputError, match=r"no pattern for 'last\.weight'"):
        Sparsifier(
            model,
            optimizer,
            schedule=FLAT,
            targets=targets,
            pattern={"first.weight": "2:4", "second.weight": "2:4"},
        )


@pytest.mark.parametrize(("own", "counts"), [("unstructured", [128]), ("global", range(1, 10))])
def test_tensors_compete_with_those_of_their_pattern_alone(own, counts):
    torch.manual_seed(0)
    model = nn.ModuleDict({"small": nn.Linear(16, 16), "large": nn.Linear(16, 16)})
    with torch.no_grad():
        model["large"].weight.mul_(100)
    sparsifier = Sparsifier(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        schedule=FLAT,
        targets={"small.weight": 0.5, "large.weight": 0.5},
        pattern={"small.weight": own, "large.weight": "global"},
    )
    assert sparsifier.nonzero_params == 256
    assert sparsifier.nonzero_counts()["small.weight"] in counts


def sparsifier_of(run, **settings) -> Sparsifier:
    return Sparsifier(run.model, run.optimizer, schedule=FLAT, targets=0.5, **settings)


@pytest.mark.slow
def test_a_sparsifier_made_on_loaded_weights_continues_them(trial):
    settings = {"pruner": "rigl", "schedule": FLAT, "targets": 0.5}
    unbroken = trial(**settings).run(30)
    saved = trial(**settings).run(12)
    weights, masks = saved.model.state_dict(), saved.sparsifier.state_dict()
    resumed = trial(schedule=OneShot(1000), targets=0.5)
    resumed.model.load_state_dict(weights)
    resumed.optimizer.load_state_dict(saved.optimizer.state_dict())
    resumed.step = 12
    resumed.sparsifier = sparsifier_of(resumed, pruner="rigl", state=masks)
    resumed.run(18)
    for (a, _), (b, _) in zip(unbroken.pruned(), resumed.pruned(), strict=True):
        assert torch.equal(a, b)


def test_a_first_mask_on_loaded_weights_is_not_silent(trial):
    saved = trial(pruner="set", schedule=FLAT, targets=0.5).run(12).sparsifier.state_dict()
    again = sparsifier_of(trial(schedule=OneShot(1000), targets=0.5), pruner="set")
    with pytest.raises(InputError, match="load the model's state after"):
        again.load_state_dict(saved)


def test_a_mask_due_where_a_sparsifier_begins_is_made_at_once(trial):
    run = trial(schedule=OneShot(1000), targets=0.5).run(7)
    run.sparsifier = Sparsifier(
        run.model, run.optimizer, schedule=Constant(7, 30, 5), targets=0.5, position=7
    )
    assert run.sparsifier.sparsity == 0.5
    assert not any(weight[~mask].any() for weight, mask in run.pruned())
    run.run(5)


def test_masking_stays_in_the_same_storage(trial):
    run = trial(pruner="rigl", schedule=FLAT, targets=0.5).run(1)

    def places() -> list[int]:
        state = [v for s in run.optimizer.state.values() for v in s.values()]
        tensors = [*run.model.parameters(), *state, *run.sparsifier._keep.values()]
        return [tensor.data_ptr() for tensor in tensors]

    before = places()
    run.run(29)
    run.sparsifier.load_state_dict(run.sparsifier.state_dict())
    assert places() == before


@pytest.mark.cuda
def test_a_captured_graph_masks_with_the_newest_masks():
    model = nn.Linear(32, 32).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, capturable=True)
    sparsifier = Sparsifier(model, optimizer, schedule=Cubic(0, 10, 5), targets=0.5)
    model(torch.randn(4, 32, device="cuda")).square().mean().backward()
    optimizer.step()
    sparsifier.apply()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        sparsifier.apply()
    sparsifier.update(5)
    sparsifier.update(10)
    with torch.no_grad():
        model.weight.fill_(1.0)
    graph.replay()
    assert torch.equal(model.weight != 0, sparsifier.masks["weight"])


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
        lambda p: torch.optim.Adafactor(p, lr=0.01),
    ],
)
def test_any_optimizer_is_kept_at_zero(make):
    torch.manual_seed(0)
    model = nn.Linear(16, 16)
    optimizer = make(model.parameters())
    sparsifier = Sparsifier(model, optimizer, schedule=OneShot(2), targets=0.5)
    for t in range(1, 8):
        optimizer.zero_grad()
        model(torch.randn(4, 16)).square().mean().backward()
        optimizer.step()
        sparsifier.step(t)
    gone = ~sparsifier.masks["weight"]
    assert gone.sum() == 128
    tensors = [v for v in optimizer.state[model.weight].values() if isinstance(v, torch.Tensor)]
    assert not any(v[gone].any() for v in [model.weight, *tensors] if v.shape == gone.shape)


def test_an_optimizer_that_ignores_the_masks_keeps_averaging_what_it_should_not():
    torch.manual_seed(0)
    model = nn.Linear(16, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    sparsifier = Sparsifier(
        model, optimizer, schedule=OneShot(1), targets=0.5, mask_optimizer=False
    )
    for t in range(1, 4):
        optimizer.zero_grad()
        model(torch.randn(4, 16)).square().mean().backward()
        optimizer.step()
        sparsifier.step(t)
    gone = ~sparsifier.masks["weight"]
    assert not model.weight[gone].any()
    assert optimizer.state[model.weight]["exp_avg"][gone].all()


def test_targets_are_met_one_by_one_and_zero_means_dense(trial):
    run = trial(schedule=RAMP, targets={"0.weight": 0.9, "2.weight": 0.0}).run(30)
    assert run.sparsifier.nonzero_counts() == {"0.weight": round(768 * 0.1), "2.weight": 512}
    assert run.sparsifier.dense_params == 768 + 512
    assert run.sparsifier.sparsity == pytest.approx(1 - (77 + 512) / 1280)


def test_vectors_are_left_dense_by_default(trial):
    assert set(trial(schedule=RAMP, targets=0.5).sparsifier.masks) == {"0.weight", "2.weight"}


@given(st.floats(0, 0.999))
def test_embedding_density_squared_is_the_density_of_the_body(sparsity: float):
    assert (1 - embedding_sparsity(sparsity)) ** 2 == pytest.approx(1 - sparsity)


def refused(trial, match: str, **settings) -> None:
    with pytest.raises(InputError, match=match):
        trial(**{"schedule": RAMP, "targets": 0.5, **settings})


def test_wrong_requests_are_refused_before_training(trial):
    refused(trial, "sparsity 1 is impossible", targets=1.0)
    refused(trial, "sparsity -0.1 is impossible", targets=-0.1)
    refused(trial, "no parameter 'body'", targets={"body": 0.5})
    refused(trial, "nothing to prune", targets={})
    refused(trial, "0 < n < m", pattern="4:2")
    refused(trial, r"'0\.weight' is \(32, 24\)", pattern="5:10")
    refused(trial, r"does not divide '0\.weight'", pattern="block5x5")
    refused(trial, "make them agree", pattern="2:4", targets=0.75)
    refused(trial, "pruner 'magic' is unknown", pruner="magic")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(bad):
    model = nn.Linear(8, 8)
    model.weight.data[3, 3] = bad
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(InputError, match="'weight' holds NaN"):
        Sparsifier(model, optimizer, schedule=RAMP, targets=0.5)


def test_divergence_is_refused_at_the_next_update(trial):
    run = trial(schedule=RAMP, targets=0.5).run(8)
    run.model.get_parameter("2.weight").data.fill_(float("nan"))
    with pytest.raises(InputError, match=r"'2\.weight' holds NaN"):
        run.sparsifier.step(9)


def test_a_tensor_of_zeros_is_refused_when_it_has_to_be_ranked():
    model = nn.Linear(8, 8)
    nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(InputError, match="'weight' is zero everywhere"):
        Sparsifier(model, optimizer, schedule=FLAT, targets=0.5, pruner="random_static")
    later = Sparsifier(model, optimizer, schedule=OneShot(1), targets=0.5)
    with pytest.raises(InputError, match="'weight' is zero everywhere"):
        later.step(1)


def test_rigl_without_gradients_says_what_to_do(trial):
    run = trial(pruner=RigL(), schedule=FLAT, targets=0.5).run(4)
    run.optimizer.zero_grad()
    with pytest.raises(InputError, match="before zero_grad"):
        run.sparsifier.step(5)


def test_steps_cannot_be_repeated_nor_updates_skipped(trial):
    run = trial(schedule=RAMP, targets=0.5).run(6)
    with pytest.raises(InputError, match="already done"):
        run.sparsifier.step(6)
    with pytest.raises(InputError, match="past the mask update at step 9"):
        run.sparsifier.step(12)


def test_masks_of_another_setup_are_refused(trial):
    state = trial(schedule=RAMP, targets=0.5).run(6).sparsifier.state_dict()
    for other in ({"targets": 0.6}, {"pattern": "2:4"}, {"pruner": "acdc"}, {"seed": 1}):
        run = trial(**{"schedule": RAMP, "targets": 0.5, **other})
        with pytest.raises(InputError, match="resume with the settings of the start"):
            run.sparsifier.load_state_dict(state)
    state["masks"]["0.weight"] = state["masks"]["0.weight"][:5]
    with pytest.raises(InputError, match=re.escape("do not fit '0.weight'")):
        trial(schedule=RAMP, targets=0.5).sparsifier.load_state_dict(state)
