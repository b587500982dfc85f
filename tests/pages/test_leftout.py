"""A page whose files are not at hand says so in its line, and nowhere else."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

CELL = 'from simlib.datasets.published import available\navailable("t5")'


def test_a_page_that_cannot_download_the_released_runs_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies on stderr of a cell fails the build of the book."""
    monkeypatch.setenv("SIMLIB_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    (cell,) = NotebookClient(notebook, timeout=120).execute().cells
    assert [output.output_type for output in cell.outputs] == ["execute_result"], cell.outputs
    assert cell.outputs[0].data["text/plain"] == "False"
