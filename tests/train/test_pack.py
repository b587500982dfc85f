"""Runs that share a prefix, runs that stop and go on: always the same bits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import run_config as config
from torch import Tensor

from simlib.corpora.spans import lengths_for_inputs
from simlib.corpora.text import TextSampler
from simlib.errors import InputError
from simlib.models.linear import Linear
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, read_table
from simlib.sweep.plan import plan
from simlib.train import Folder, Update, load_model, read_side, train_pack, train_run
from simlib.train.batches import Batch, make_batches
from simlib.train.checkpoint import load_state
from simlib.train.trainer import SHUFFLED, Trainer


def bits(record: RunRecord) -> tuple[float, float | None, float | None, int]:
    return record.loss, record.loss_stderr, record.train_loss, record.nonzero_params


PACK = [
    config(),
    config(0.5),
    config(0.75, pruner="rigl"),
    config(0.5, schedule="oneshot", pruner="random_gradual"),
    config(0.5, pattern="2:4", steps=120),
    config(steps=120),
]


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 3])
def test_a_pack_gives_the_bits_of_separate_runs(tmp_path: Path, together: int) -> None:
    shared = train_pack(PACK, tmp_path / "pack", together=together)
    assert len(list((tmp_path / "pack" / "prefixes").iterdir())) == 1
    for one, record in zip(PACK, shared, strict=True):
        alone = train_run(one, tmp_path / "alone")
        assert bits(alone) == bits(record)
        curves = [read_side(tmp_path / d, one.run_id)["curve"] for d in ("pack", "alone")]
        assert curves[0]["loss"] == curves[1]["loss"]
    assert not (tmp_path / "alone" / "prefixes").exists()


@pytest.mark.slow
def test_a_later_run_begins_on_the_prefix_of_earlier_ones(tmp_path: Path) -> None:
    train_pack(PACK[:3], tmp_path / "both")
    steps: list[int] = []
    late = config(0.75, prune_start=0.5)
    record = train_run(late, tmp_path / "both", progress=lambda u: steps.append(u.position))
    assert min(steps) > PACK[1].private_from
    assert bits(record) == bits(train_run(late, tmp_path / "alone"))


def test_recorded_counts_are_those_of_the_weights(tmp_path: Path) -> None:
    one = config(0.75, embeddings="pruned")
    record = train_run(one, tmp_path)
    weights = load_state(Folder(tmp_path).weights(one.run_id))["model"]
    body = [w for name, w in weights.items() if "blocks." in name and w.dim() == 2]
    assert record.nonzero_params == sum(int(w.count_nonzero()) for w in body)
    assert record.dense_params == sum(w.numel() for w in body) == 6144
    assert record.total_nonzero_params == sum(int(w.count_nonzero()) for w in weights.values())
    assert weights["embed.weight"].count_nonzero() == round(weights["embed.weight"].numel() / 2)
    assert record.head_nonzero_params == int(weights["head.weight"].count_nonzero())
    assert (record.sparsity, record.embeddings) == (0.75, "pruned")


def test_embeddings_left_dense_are_counted_so(tmp_path: Path) -> None:
    one = config(0.75, embeddings="dense")
    record = train_run(one, tmp_path)
    weights = load_state(Folder(tmp_path).weights(one.run_id))["model"]
    assert record.nonzero_params == 6144 / 4
    assert record.total_nonzero_params == sum(int(w.count_nonzero()) for w in weights.values())
    assert record.head_nonzero_params == weights["head.weight"].numel()
    assert record.flops_head == 6 * record.head_nonzero_params * record.data_seen
    assert record.embeddings == "dense"


def test_counts_of_states_that_knew_the_body_alone_are_completed(tmp_path: Path) -> None:
    one = config(0.75, prune_start=0.5)
    trainer = Trainer(one, make_batches(one))
    while trainer.position < 20:
        trainer.step()
    state = trainer.state_dict()
    later = Trainer(one, make_batches(one))
    later.load_state_dict(state | {"weight_steps": state["weight_steps"]["body"]})
    assert later.weight_steps == trainer.weight_steps


@pytest.mark.parametrize("pattern", ["2:4", "global", "block4x4"])
def test_a_pattern_is_the_body_s_and_embeddings_are_pruned_as_they_are(
    tmp_path: Path, pattern: str
) -> None:
    one = config(0.5, pattern=pattern)
    record = train_run(one, tmp_path)
    weights = load_state(Folder(tmp_path).weights(one.run_id))["model"]
    assert record.nonzero_params == record.dense_params / 2
    for name in ("embed.weight", "head.weight"):
        kept = weights[name].ne(0)
        assert int(kept.sum()) == round(kept.numel() * 0.5**0.5)
        assert broken_blocks(kept)
    body = [w for name, w in weights.items() if "blocks." in name and w.dim() == 2]
    fullest = max(int(w.unflatten(1, (-1, 4)).ne(0).sum(-1).max()) for w in body)
    assert fullest == (2 if pattern == "2:4" else 4)
    assert any(broken_blocks(w.ne(0)) for w in body) == (pattern != "block4x4")


def broken_blocks(kept: torch.Tensor) -> bool:
    """Whether a block of 4 x 4 weights is neither whole nor gone."""
    blocks = kept.view(-1, 4, kept.shape[1] // 4, 4)
    return bool(blocks.any(dim=3).any(dim=1).ne(blocks.all(dim=3).all(dim=1)).any())


def test_flops_are_those_of_the_mean_density(tmp_path: Path) -> None:
    one = config(0.75, schedule="oneshot", prune_start=0.4)
    planned = plan([one], tmp_path)
    record = train_run(one, tmp_path)
    mean = 6144 * (0.4 + 0.25 * 0.6)
    assert record.flops == pytest.approx(6 * mean * record.data_seen)
    mean = 256 * record.width * (0.4 + 0.5 * 0.6)
    assert record.flops_head == pytest.approx(6 * mean * record.data_seen)
    assert record.flops_embeddings == 0
    assert planned.flops == pytest.approx(record.flops)
    assert planned.flops_head == pytest.approx(record.flops_head)
    assert read_side(tmp_path, one.run_id)["flops_dense"] == 6 * 6144 * record.data_seen


@pytest.mark.slow
def test_a_run_that_breaks_off_continues_to_the_same_bits(tmp_path: Path) -> None:
    def break_off(update: Update) -> None:
        if update.position >= 60:
            raise KeyboardInterrupt

    rounded = config(0.75, optimizer="adafactor", precision="bfloat16")
    for one in (config(0.75), rounded, config(0.75, weight_bits=3)):
        whole = train_run(one, tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            train_run(one, tmp_path / "broken", progress=break_off, checkpoint_seconds=0)
        assert Folder(tmp_path / "broken").resume(one).exists()
        assert bits(train_run(one, tmp_path / "broken")) == bits(whole)
        assert not Folder(tmp_path / "broken").resume(one).exists()


def test_what_is_recorded_is_not_trained_again(tmp_path: Path) -> None:
    one = config()
    first = train_run(one, tmp_path)
    updates: list[Update] = []
    assert train_run(one, tmp_path, progress=updates.append) == first
    assert updates == []
    assert len(read_table(tmp_path / "runs.csv")) == 1


def test_divergence_is_recorded_and_the_pack_goes_on(tmp_path: Path) -> None:
    wild = config(0.5, lr=1e30, grad_clip=0)
    bad, good = train_pack([wild, config()], tmp_path)
    assert bad.diverged
    assert math.isnan(bad.loss)
    assert not good.diverged
    json.loads((tmp_path / wild.run_id / "side.json").read_text())


def test_pruning_a_dense_run_starts_from_its_weights(tmp_path: Path) -> None:
    dense = config()
    dense_record = train_run(dense, tmp_path)
    sparse = config(0.5, pruner="from_checkpoint", start=dense.run_id, prune_start=0.0)
    record = train_run(sparse, tmp_path)
    assert record.start == dense.run_id
    scratch = train_run(config(0.5, prune_start=0.0), tmp_path)
    assert read_side(tmp_path, sparse.run_id)["curve"]["loss"][0] < scratch.loss
    assert dense_record.nonzero_params == 2 * record.nonzero_params
    other = config(0.5, 13_824, pruner="from_checkpoint", start=dense.run_id)
    with pytest.raises(InputError, match="do not fit"):
        train_run(other, tmp_path)
    with pytest.raises(InputError, match="neither a finished run"):
        train_run(config(0.5, pruner="from_checkpoint", start="nowhere"), tmp_path)


def test_a_run_reads_on_where_its_start_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    original = TextSampler.batch

    def batch(self: TextSampler, step: int) -> np.ndarray:
        read.append((self.seed, step))
        return original(self, step)

    monkeypatch.setattr(TextSampler, "batch", batch)
    dense = config()
    train_run(dense, tmp_path)
    start = {"pruner": "from_checkpoint", "start": dense.run_id, "prune_start": 0.0}
    runs = [config(0.5, **start), config(0.5, seed=dense.seed + 1, **start)]
    train_pack(runs, tmp_path)
    steps = dense.total_steps
    assert read[: 2 * steps] == [(dense.seed, step) for step in range(2 * steps)]
    assert read[2 * steps :] == [(dense.seed + 1, step) for step in range(steps)]


def test_loss_falls_well_below_chance(tmp_path: Path) -> None:
    one = config(dense_params=6144, steps=300)
    record = train_run(one, tmp_path)
    curve = read_side(tmp_path, one.run_id)["curve"]
    assert curve["loss"][0] > record.loss + 0.5
    assert record.loss < 3.6 < math.log(256)


@pytest.mark.slow
def test_weights_of_few_bits_are_trained_saved_and_read_back(tmp_path: Path) -> None:
    one = config(0.5, weight_bits=3, steps=300)
    record = train_run(one, tmp_path)
    assert record.weight_bits == 3
    assert record.loss < read_side(tmp_path, one.run_id)["curve"]["loss"][0] - 0.5
    model = load_model(tmp_path, one.run_id)
    for layer in (m for m in model.blocks.modules() if isinstance(m, Linear)):
        assert len(layer.weight[layer.weight != 0].unique()) == 8
        assert layer.weight.count_nonzero() == layer.weight.numel() / 2
    assert min(len(layer.weight.unique()) for layer in (model.head, model.embed)) > 1000
    with torch.no_grad():
        losses = model.losses(make_batches(one).validation())
    assert float(losses.mean()) == pytest.approx(record.loss, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "corpus"), [("t5", "python"), ("vit", "glyphs:classes=32,augment=light")]
)
def test_other_families_train_and_are_recorded(tmp_path: Path, family: str, corpus: str) -> None:
    small = {"family": family, "corpus": corpus, "depth": 1, "warmup_steps": 10}
    runs = [
        RunConfig(**small, nonzero_params=size, sparsity=s, steps=80, valid_windows=64)
        for size, s in ((24_576, 0.0), (12_288, 0.5))
    ]
    dense, sparse = train_pack(runs, tmp_path)
    outputs = {"t5": 256 + lengths_for_inputs(128).sentinels, "vit": 32}[family]
    assert dense.flops_head == 6 * outputs * dense.width * dense.data_seen
    patches = 8 * 8 * dense.width if family == "vit" else 0
    assert dense.flops_embeddings == 6 * patches * dense.data_seen
    assert dense.flops_head > sparse.flops_head > dense.flops_head / 2**0.5
    assert sparse.head_nonzero_params == round(dense.head_nonzero_params / 2**0.5)
    assert dense.loss < {"t5": 4.5, "vit": math.log(32)}[family]
    assert sparse.nonzero_params == sparse.dense_params / 2
    shuffled = (dense.loss_shuffled, dense.loss_shuffled_stderr)
    assert (shuffled == (None, None)) == (family == "vit")
    assert dense.data_seen == 80 * 8 * (1 if family == "vit" else 128)
    assert dense.loss_stderr > 0


def test_shuffled_inputs_are_those_of_other_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"family": "t5", "depth": 1, "seq_len": 32, "steps": 10}
    one = RunConfig(**small, nonzero_params=6144, valid_windows=1500)
    trainer = Trainer(one, make_batches(one))
    inputs, targets = trainer.batches.validation()
    seen: list[Batch] = []

    def losses(examples: Batch) -> Tensor:
        seen.append(examples)
        return torch.arange(5.0)

    monkeypatch.setattr(trainer, "_losses", losses)
    assert trainer.validate_shuffled() == (2.0, pytest.approx(math.sqrt(2.5 / 5)))
    ((moved, kept),) = seen
    assert len(moved) == len(kept) == SHUFFLED
    for example in range(0, SHUFFLED, 50):
        of_inputs = (inputs == moved[example]).all(1)
        of_targets = (targets == kept[example]).all(1)
        assert of_inputs.any()
        assert of_targets.any()
        assert not (of_inputs & of_targets).any()


def test_a_decoder_that_ignores_its_encoder_loses_nothing_by_shuffled_inputs() -> None:
    small = {"family": "t5", "depth": 1, "seq_len": 32, "steps": 10}
    one = RunConfig(**small, nonzero_params=6144, valid_windows=256)
    trainer = Trainer(one, make_batches(one))
    assert trainer.validate_shuffled() != trainer.validate()
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if name.endswith("cross.out.weight"):
                weight.zero_()
    assert trainer.validate_shuffled() == pytest.approx(trainer.validate())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus": "nowhere"}, "nowhere"),
        ({"corpus_sha256": "0" * 64}, "SHA-256"),
        ({"seq_len": 200_000_000}, "200000000"),
        ({"family": "vit", "nonzero_params": 24_576, "depth": 2}, "needs images"),
    ],
)
def test_bad_requests_end_before_training(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        train_run(config(**changes), tmp_path)
    assert not (tmp_path / "runs.csv").exists()


def test_twins_and_missing_gpu_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="twice"):
        train_pack([config(), config(pruner="set")], tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="cuda"):
            train_run(config(device="cuda"), tmp_path)
