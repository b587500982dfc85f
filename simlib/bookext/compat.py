"""What is used of MyST-NB and jupyter-cache beyond their public interfaces, all in one place.

Exact pins protect these names. `tests/bookext/test_book_compat.py` says which of them a new
version has lost, and what it was for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def execution_settings(app: Any) -> Any:
    """MyST-NB's own configuration of a build, with `execution_timeout` and its like."""
    return app.env.mystnb_config


def read_page(app: Any, page: Path) -> Any:
    """The notebook that MyST-NB will make of `page`, or None for a page without code."""
    from myst_nb.core.read import create_nb_reader

    text = page.read_text(encoding="utf-8")
    reader = create_nb_reader(str(page), app.env.myst_config, execution_settings(app), text)
    return None if reader is None else reader.read(text)


def execute(notebook: Any, folder: Path, timeout: int | None, allow_errors: bool) -> Any:
    """Execute `notebook` in `folder`; the result has `nb`, `err` (None if all went well), `time`.

    `timeout` is seconds a cell.
    """
    from jupyter_cache.executors.utils import single_nb_execution

    return single_nb_execution(
        notebook, cwd=str(folder), timeout=timeout, allow_errors=allow_errors
    )
