"""Damaged states: noticed, set aside, and trained over to the bits of an undisturbed run."""

import errno
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from damage import flip, overwrite, zeros
from safetensors.torch import load_file, save_file

from simlib.errors import InputError
from simlib.runs import table as runs
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, read_table
from simlib.train import Folder, Update, load_model, train_pack, train_run
from simlib.train.checkpoint import (
    DamagedError,
    first_whole,
    is_whole,
    load_state,
    save_state,
)

BASE = {
    "depth": 1,
    "steps": 100,
    "warmup_steps": 10,
    "valid_windows": 32,
    "mask_interval": 5,
    "seq_len": 32,
    "nonzero_params": 3072,
}
DENSE = RunConfig(**BASE)
PRUNED = RunConfig(**BASE, sparsity=0.5)
SHARED = [RunConfig(**BASE | {"sparsity": 0.5, "pruner": p}) for p in ("gmp", "set", "rigl")]
MEASURED = {"seconds", "started_at"}

Harm = Callable[[Path], None]
HARMS: dict[str, Harm] = {
    "a flipped bit": flip,
    "zeros": lambda path: zeros(path, path.stat().st_size // 2, 10**6),
    "zeros from the start": lambda path: zeros(path, 0, 5000),
    "half": lambda path: overwrite(path, path.read_bytes()[: path.stat().st_size // 2]),
    "nothing": lambda path: overwrite(path, b""),
}


def values(record: RunRecord) -> dict[str, object]:
    return record.model_dump(exclude=MEASURED)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What the runs record where nothing is damaged."""
    records = train_pack([DENSE, *SHARED], tmp_path_factory.mktemp("plain"))
    return {r.run_id: values(r) for r in records}


def break_off_at(position: int) -> Callable[[Update], None]:
    def progress(update: Update) -> None:
        if update.position >= position:
            raise KeyboardInterrupt

    return progress


def started(config: RunConfig, out: Path, position: int = 60) -> list[Path]:
    """Where the checkpoints lie of a run that was broken off: of the step before and one more."""
    with pytest.raises(KeyboardInterrupt):
        train_run(config, out, progress=break_off_at(position), checkpoint_seconds=0)
    found = Folder(out).resumes(config)
    assert [load_state(p)["position"] for p in found] == [position - 1, position - 2]
    return found


def test_any_flipped_bit_of_a_state_is_noticed(tmp_path: Path) -> None:
    tree = {
        "weights": {"a.b": torch.randn(30, 4), "step": torch.tensor(7.0)},
        "kept": torch.randn(50) > 0,
        "rounded": torch.randn(20).bfloat16(),
        "position": 12,
        "name": "x/y",
    }
    path = tmp_path / "state.safetensors"
    save_state(path, tree)
    content = path.read_bytes()
    header = 8 + struct.unpack("<Q", content[:8])[0]
    draw = random.Random(0)
    places = [*range(header), *draw.sample(range(header, len(content)), 100)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DamagedError):
            load_state(path)


def test_equal_states_are_equal_files(tmp_path: Path) -> None:
    tree = {"a": torch.ones(3), "b": {"c": torch.zeros(2), "d": None}, "e": 1}
    paths = [tmp_path / str(number) for number in range(8)]
    for path in paths:
        save_state(path, tree)
    assert len({path.read_bytes() for path in paths}) == 1


def test_a_state_written_before_there_were_checksums_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file({"/a": torch.ones(3)}, path, {"tree": '{"dict": {"a": {"tensor": "/a"}}}'})
    assert torch.equal(load_state(path)["a"], load_file(path)["/a"])


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_state_is_refused_and_set_aside(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [tmp_path / name for name in ("last.safetensors", "none.safetensors", "before")]
    for path in (paths[0], paths[2]):
        save_state(path, {"a": torch.randn(10_000), "name": path.name})
    HARMS[harm](paths[0])
    assert not is_whole(paths[0])
    with pytest.raises(DamagedError, match=r"last\.safetensors cannot be read as a checkpoint"):
        load_state(paths[0])
    for _ in range(2):
        found = first_whole(paths)
        assert found
        assert (found[0], found[1]["name"]) == (paths[2], "before")
    (sentence,) = [r.getMessage() for r in caplog.records]
    assert "it is last.safetensors.damaged now" in sentence


@pytest.mark.parametrize("harm", ["a flipped bit", "nothing"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before_it(
    tmp_path: Path, plain: dict[str, dict[str, object]], harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    last, before = started(PRUNED, tmp_path)
    HARMS[harm](last)
    harmed = last.read_bytes()
    positions: list[int] = []
    record = train_run(PRUNED, tmp_path, progress=lambda u: positions.append(u.position))
    assert values(record) == plain[PRUNED.run_id]
    assert min(positions) == 60
    (sentence,) = [r.getMessage() for r in caplog.records]
    assert "resume.safetensors.damaged now" in sentence
    assert last.with_name("resume.safetensors.damaged").read_bytes() == harmed
    assert not last.exists()
    assert not before.exists()


def test_with_both_checkpoints_damaged_a_run_begins_again(
    tmp_path: Path, plain: dict[str, dict[str, object]]
) -> None:
    for path in started(PRUNED, tmp_path):
        flip(path)
    positions: list[int] = []
    record = train_run(PRUNED, tmp_path, progress=lambda u: positions.append(u.position))
    assert values(record) == plain[PRUNED.run_id]
    assert min(positions) == 20


def test_a_kill_between_two_checkpoints_leaves_one(
    tmp_path: Path, plain: dict[str, dict[str, object]]
) -> None:
    last, _ = started(PRUNED, tmp_path)
    last.unlink()  # the old one has its new name, the new one has not
    positions: list[int] = []
    record = train_run(PRUNED, tmp_path, progress=lambda u: positions.append(u.position))
    assert values(record) == plain[PRUNED.run_id]
    assert min(positions) == 60


@pytest.mark.slow
def test_with_its_checkpoints_damaged_a_run_goes_on_from_the_prefix(
    tmp_path: Path, plain: dict[str, dict[str, object]]
) -> None:
    train_pack(SHARED[1:], tmp_path)
    for path in started(PRUNED, tmp_path):
        flip(path)
    positions: list[int] = []
    record = train_run(PRUNED, tmp_path, progress=lambda u: positions.append(u.position))
    assert values(record) == plain[PRUNED.run_id]
    assert min(positions) == 40 > PRUNED.private_from


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["a flipped bit", "half"])
def test_a_damaged_prefix_is_trained_again_once_for_all(
    tmp_path: Path, plain: dict[str, dict[str, object]], harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    train_pack(SHARED[:1] + SHARED[2:], tmp_path / "first")
    (prefix,) = (tmp_path / "first").glob("prefixes/*/[0-9]*.safetensors")
    (tmp_path / "first" / "runs.csv").unlink()
    HARMS[harm](prefix)
    trained: list[tuple[str, int]] = []
    records = train_pack(
        SHARED,
        tmp_path / "first",
        progress=lambda u: trained.append((u.config.run_id, u.position)),
    )
    assert [values(r) for r in records] == [plain[c.run_id] for c in SHARED]
    assert len([position for _, position in trained if position == 20]) == 1
    assert is_whole(prefix)
    (sentence,) = [r.getMessage() for r in caplog.records]
    assert f"{prefix.name}.damaged now" in sentence


def test_a_late_run_does_without_a_damaged_prefix(
    tmp_path: Path, plain: dict[str, dict[str, object]]
) -> None:
    train_pack(SHARED[1:], tmp_path)
    (prefix,) = tmp_path.glob("prefixes/*/[0-9]*.safetensors")
    flip(prefix)
    assert values(train_run(SHARED[0], tmp_path)) == plain[SHARED[0].run_id]
    assert not prefix.exists()


@pytest.mark.slow
def test_a_damaged_checkpoint_of_a_prefix_is_not_gone_on_from(
    tmp_path: Path, plain: dict[str, dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_pack(SHARED, tmp_path, progress=break_off_at(20), checkpoint_seconds=0)
    resume = Folder(tmp_path).prefix_resume(SHARED[0])
    assert load_state(resume)["position"] == 19
    flip(resume)
    assert [values(r) for r in train_pack(SHARED, tmp_path)] == [plain[c.run_id] for c in SHARED]
    assert "resume.safetensors.damaged now" in caplog.text
    assert not list(tmp_path.glob("prefixes/*/resume.safetensors"))
    assert not list(tmp_path.glob("prefixes/*/resume.before"))


def test_damaged_weights_are_one_sentence_with_a_remedy(
    tmp_path: Path, plain: dict[str, dict[str, object]]
) -> None:
    train_run(DENSE, tmp_path)
    more = {"pruner": "from_checkpoint", "start": DENSE.run_id, "prune_start": 0.0}
    pruned = RunConfig(**BASE | {"nonzero_params": 1536, "sparsity": 0.5} | more)
    flip(Folder(tmp_path).weights(DENSE.run_id))
    with pytest.raises(InputError, match=r"weights\.safetensors cannot be read.*delete the row"):
        train_run(pruned, tmp_path)
    with pytest.raises(InputError, match="checksum"):
        load_model(tmp_path, DENSE.run_id)
    (tmp_path / "runs.csv").unlink()  # its only row
    assert values(train_run(DENSE, tmp_path)) == plain[DENSE.run_id]
    assert train_run(pruned, tmp_path).start == DENSE.run_id


@pytest.mark.slow
def test_a_disk_that_fills_up_when_a_run_is_recorded_costs_the_steps_since_its_checkpoint(
    tmp_path: Path, plain: dict[str, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, kept: int, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    train_run(DENSE, tmp_path)
    monkeypatch.setattr(runs, "extend_file", full)
    with pytest.raises(InputError, match=r"could not be recorded .*No space left"):
        train_run(PRUNED, tmp_path, checkpoint_seconds=0)
    monkeypatch.undo()
    assert [values(r) for r in read_table(tmp_path / "runs.csv")] == [plain[DENSE.run_id]]
    positions: list[int] = []
    train_run(PRUNED, tmp_path, progress=lambda u: positions.append(u.position))
    assert min(positions) == 100
    assert [values(r) for r in read_table(tmp_path / "runs.csv")] == [
        plain[c.run_id] for c in (DENSE, PRUNED)
    ]
