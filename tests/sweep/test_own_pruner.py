"""A pruner that a user wrote is trained from a grid that names its place."""

from pathlib import Path

import pytest
import torch

from simlib.errors import InputError
from simlib.sparsify import Constant, Sparsifier
from simlib.sweep import read_grid, sweep
from simlib.sweep.carry import pack
from simlib.train import train_pack

MODULE = """
from simlib.sparsify import Pruner


class Smallest(Pruner):
    '''Keep what magnitude pruning drops.'''

    def scores(self, units):
        return units.among_alive(1 / (1e-9 + units.magnitude))


class NoPruner:
    pass
"""
GRID = """# One run by magnitude, one by a pruner of the test's own.
base: {nonzero_params: 3072, depth: 1, seq_len: 32, batch: 4, warmup_steps: 5, mask_interval: 5,
       valid_windows: 32, steps: 60}
runs:
  - {sparsity: 0.5, pruner: ["PLACE", gmp]}
"""


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pruners_of_a_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "own.yaml"
    path.write_text(GRID.replace("PLACE", "pruners_of_a_test:Smallest"))
    return path


@pytest.mark.slow
def test_a_grid_trains_it_in_worker_processes_to_the_same_bits_as_here(
    grid: Path, tmp_path: Path
) -> None:
    configs = read_grid(grid).configs
    result = sweep(configs, tmp_path / "workers", workers=2)
    assert not result.failures
    own, gmp = result.runs
    assert (own.pruner, own.schedule) == ("pruners_of_a_test:Smallest", "cubic")
    assert own.sparsity == gmp.sparsity == 0.5
    assert own.loss > gmp.loss
    here = train_pack(configs, tmp_path / "here")
    assert [r.loss for r in here] == [own.loss, gmp.loss]


def test_masks_are_those_of_its_scores_and_go_on_after_a_resume(grid: Path) -> None:
    model = torch.nn.Linear(8, 8)
    before = model.weight.detach().abs()

    def sparsifier(**more: object) -> Sparsifier:
        place = "pruners_of_a_test:Smallest"
        return Sparsifier(
            model, None, schedule=Constant(0, 10, 10), targets=0.5, pruner=place, **more
        )

    first = sparsifier()
    mask = first.masks["weight"]
    assert before[mask].max() <= before[~mask].min()
    # equal settings of two objects are one setup
    sparsifier(state=first.state_dict())


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere_at_all:Smallest", "PYTHONPATH"),
        ("pruners_of_a_test:Missing", "PYTHONPATH"),
        ("pruners_of_a_test:NoPruner", "subclass"),
    ],
)
def test_one_that_is_not_there_is_refused_before_training(
    grid: Path, tmp_path: Path, place: str, said: str
) -> None:
    grid.write_text(GRID.replace("PLACE", place))
    with pytest.raises(InputError, match=said):
        sweep(read_grid(grid).configs, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_carried_job_refuses_it(grid: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds only this library"):
        pack(grid, tmp_path / "job.zip")
