"""Execute the pages that are due, several at a time, before Sphinx reads them one after another.

A page spends much of its time in one thread: starting its kernel, importing, drawing. Executed
here, its outputs lie in the jupyter-cache when MyST-NB comes to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from sphinx.util import logging

from simlib.bookext.compat import execute, execution_settings, read_page

_LOGGER = logging.getLogger(__name__)


def execute_ahead(app: Any, docnames: Sequence[str], together: int) -> None:
    """Put the outputs of the named pages into the cache, `together` pages at a time.

    A page that fails is left to MyST-NB, which executes it again and reports the error.
    """
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    config, store = execution_settings(app), get_cache(app.config.nb_execution_cache_path)
    pages = [Path(app.env.doc2path(name)) for name in docnames]
    due = [(page, nb) for page in pages if (nb := read_page(app, page)) and not _cached(store, nb)]
    with ThreadPoolExecutor(together) as pool:
        jobs = {
            pool.submit(
                execute,
                nb,
                page.parent,
                config.execution_timeout,
                config.execution_allow_errors,
            ): page
            for page, nb in due
        }
        for job in as_completed(jobs):
            page, result = jobs[job], job.result()
            if result.err is not None:
                continue
            _LOGGER.info("executed %s in %.1f seconds", page.stem, result.time)
            bundle = CacheBundleIn(result.nb, str(page), data={"execution_seconds": result.time})
            store.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def _cached(store: Any, notebook: Any) -> bool:
    try:
        store.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True
