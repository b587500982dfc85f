"""What several tests share."""

import os
from pathlib import Path

import hypothesis
import pytest

# how long an example takes says how busy the machine is, not whether the code is right
hypothesis.settings.register_profile("simlib", deadline=None)
hypothesis.settings.load_profile("simlib")


@pytest.fixture(scope="session")
def released() -> Path:
    """The folder with the authors' files; without it a test that needs them is skipped."""
    folders = os.environ.get("SIMLIB_DATA", "").split(os.pathsep)
    found = [Path(f) for f in folders if f and (Path(f) / "t5-data.csv").is_file()]
    if not found:
        pytest.skip("the authors' released runs are not at hand: set SIMLIB_DATA to their folder")
    return found[0]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cuda: needs a CUDA device; left out where there is none")
    config.addinivalue_line("markers", "slow: takes seconds; `make test-fast` leaves it out")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a CUDA device its tests are deselected, not skipped."""
    marked = [item for item in items if item.get_closest_marker("cuda")]
    if not marked:
        return
    import torch  # only now: most of the library does without

    if not torch.cuda.is_available():
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in marked]
