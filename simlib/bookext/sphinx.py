"""The Sphinx extension: wires assets, the execution cache and re-reading into a build."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simlib.bookext.access import mend_page
from simlib.bookext.assets import assemble
from simlib.bookext.cards import add_tags
from simlib.bookext.dependencies import digest
from simlib.bookext.execute import execute_ahead
from simlib.bookext.freshness import drop_stale
from simlib.bookext.search import add_scripts, write_texts
from simlib.bookext.start import add_to_page, write_downloads

STATUS_PAGE = "book/status"  # carries the date of the build, so it is read again every time

TOGETHER = 2  # pages executed at a time; those that train keep every core busy by themselves

# a progress bar of a first-time download or build is stderr, which fails a page; tqdm reads this
QUIET_BARS = {"TQDM_DISABLE": "1"}


def _page_digests(app: Any, docnames: Iterable[str]) -> dict[str, str]:
    root = Path(app.srcdir)
    pages = {name: Path(app.env.doc2path(name)) for name in docnames}
    return {name: digest(root, page) for name, page in pages.items() if page.is_file()}


def _offline_assets(app: Any, config: Any) -> None:
    os.environ.update(QUIET_BARS)
    # not in _config.yml: jupyter-book would put every script found there on every page
    own = Path(app.srcdir) / "book" / "assets"
    config.html_static_path += [str(own / "static")]
    config.templates_path += [str(own / "templates")]
    config.template_bridge = "simlib.bookext.policy.Templates"
    config.html_static_path.append(str(assemble(Path(app.outdir).parent / ".assets")))
    if config.nb_execution_mode == "cache":
        config.nb_execution_cache_path = str(Path(app.outdir).parent / ".jupyter_cache")


def _outdated(
    app: Any, env: Any, _added: set[str], _changed: set[str], _gone: set[str]
) -> set[str]:
    """Docnames to read again: what they depend on differs from what the last build saw."""
    digests = _page_digests(app, env.found_docs)
    if app.config.nb_execution_mode == "cache":
        paths = {str(app.env.doc2path(name)): value for name, value in digests.items()}
        drop_stale(Path(app.config.nb_execution_cache_path), paths)
    # kept in the environment, which a failed build does not save: a page stays due until it is read
    seen = getattr(env, "simlib_digests", {})
    env.simlib_digests = digests
    due = {name for name, value in digests.items() if seen.get(name) != value}
    return (due | {STATUS_PAGE}) & set(env.found_docs)


def _execute_due(app: Any, _env: Any, docnames: list[str]) -> None:
    if app.config.nb_execution_mode == "cache":
        execute_ahead(app, docnames, TOGETHER)


def setup(app: Any) -> dict[str, Any]:
    """Entry point of the extension."""
    # before MyST-NB reads its own configuration
    app.connect("config-inited", _offline_assets, priority=10)
    app.connect("env-get-outdated", _outdated)
    app.connect("env-before-read-docs", _execute_due)
    app.connect("html-page-context", add_to_page)
    app.connect("html-page-context", add_scripts)
    app.connect("html-page-context", mend_page)
    app.connect("html-page-context", add_tags)
    app.connect("build-finished", write_downloads)
    app.connect("build-finished", write_texts)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
