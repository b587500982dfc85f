"""State on disk: whole, exact, or refused in one sentence."""

import errno
from pathlib import Path

import pytest
import torch

from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import read_table
from simlib.train import checkpoint, train_pack
from simlib.train.checkpoint import load_state, save_state


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    tree = {
        "weights": {"a.b": torch.randn(3, 4), "step": torch.tensor(7.0)},
        "rounded": torch.randn(2, 2).bfloat16(),
        "columns": torch.randn(3, 4).t(),
        "position": 12,
        "name": "x/y",
        "none": None,
        "empty": {},
    }
    save_state(tmp_path / "deep" / "state.safetensors", tree)
    back = load_state(tmp_path / "deep" / "state.safetensors")
    assert torch.equal(back["weights"]["a.b"], tree["weights"]["a.b"])
    assert back["weights"]["step"].shape == ()
    assert torch.equal(back["rounded"], tree["rounded"])
    assert torch.equal(back["columns"], tree["columns"])
    assert {k: back[k] for k in ("position", "name", "none", "empty")} == {
        k: tree[k] for k in ("position", "name", "none", "empty")
    }


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, {"a": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="cannot be read"):
        load_state(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_state(tmp_path / "none.safetensors")


def test_a_full_disk_loses_nothing_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = {"depth": 1, "steps": 40, "seq_len": 32, "valid_windows": 32, "nonzero_params": 3072}
    runs = [RunConfig(**base, seed=seed) for seed in (0, 1)]
    usual = checkpoint.save_file

    def full(tensors: object, path: Path, *rest: object) -> None:
        if runs[1].run_id in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(tensors, path, *rest)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match=r"No space left.*free some space"):
        train_pack(runs, tmp_path)
    assert [r.run_id for r in read_table(tmp_path / "runs.csv")] == [runs[0].run_id]
    assert not list(tmp_path.glob("**/.*"))
    monkeypatch.undo()
    assert len(train_pack(runs, tmp_path)) == 2
