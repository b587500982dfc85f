"""What several tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def released() -> Path:
    """The folder with the authors' files; without it a test that needs them is skipped."""
    folder = os.environ.get("SIMLIB_DATA", "")
    if not (folder and (Path(folder) / "t5-data.csv").is_file()):
        pytest.skip("the authors' released runs are not at hand: set SIMLIB_DATA to their folder")
    return Path(folder)
