"""Executions are kept while their page's dependencies stand, and dropped when they do not."""

from pathlib import Path

import nbformat
import pytest
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

from simlib.bookext.freshness import changed_pages, drop_stale, read_record, write_record


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that holds one execution of each of the pages /a.md and /b.md."""
    store = get_cache(str(tmp_path / "cache"))
    for name in ("a", "b"):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"print('{name}')")])
        store.cache_notebook_bundle(CacheBundleIn(notebook, f"/{name}.md"), check_validity=False)
    write_record(tmp_path / "cache", {"/a.md": "1", "/b.md": "1"})
    return tmp_path / "cache"


def kept(cache: Path) -> set[str]:
    return {record.uri for record in get_cache(str(cache)).list_cache_records()}


def test_nothing_is_dropped_while_nothing_changed(cache: Path) -> None:
    assert drop_stale(cache, {"/a.md": "1", "/b.md": "1"}) == set()
    assert kept(cache) == {"/a.md", "/b.md"}


def test_only_the_page_that_changed_is_dropped(cache: Path) -> None:
    assert drop_stale(cache, {"/a.md": "2", "/b.md": "1"}) == {"/a.md"}
    assert kept(cache) == {"/b.md"}
    assert read_record(cache) == {"/a.md": "2", "/b.md": "1"}


def test_a_renamed_page_does_not_inherit_an_old_execution(cache: Path) -> None:
    drop_stale(cache, {"/a.md": "1", "/c.md": "1"})
    assert kept(cache) == {"/a.md"}


def test_executions_of_unknown_origin_are_dropped(cache: Path) -> None:
    (cache / "dependencies.json").write_text("{ half a rec")
    drop_stale(cache, {"/a.md": "1", "/b.md": "1"})
    assert kept(cache) == set()


def test_new_changed_and_gone_pages_count_as_changed() -> None:
    before, now = (
        {"kept": "1", "edited": "1", "gone": "1"},
        {"kept": "1", "edited": "2", "new": "1"},
    )
    assert changed_pages(before, now) == {"edited", "gone", "new"}
