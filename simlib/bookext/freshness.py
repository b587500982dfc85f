"""Drop cached executions whose page depends on something that has changed since."""

import json
import os
from pathlib import Path

RECORD = "dependencies.json"


def changed_pages(before: dict[str, str], now: dict[str, str]) -> set[str]:
    """Pages whose digest is new or another one, and pages that are gone."""
    return {page for page in before.keys() | now.keys() if before.get(page) != now.get(page)}


def read_record(cache: Path) -> dict[str, str]:
    """Digests that the cached executions in `cache` were made with; empty when there are none."""
    try:
        return dict(json.loads((cache / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def write_record(cache: Path, digests: dict[str, str]) -> None:
    """Write the digests in one step: a reader sees the old record or the new one."""
    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f"{RECORD}.{os.getpid()}"
    partial.write_text(json.dumps(digests, indent=1, sort_keys=True), encoding="utf-8")
    partial.replace(cache / RECORD)


def drop_stale(cache: Path, digests: dict[str, str]) -> set[str]:
    """Remove executions from the jupyter-cache at `cache` that `digests` no longer vouch for.

    `digests` maps the path of a page to the digest of what it depends on. Records are removed
    before the new digests are written, so a build killed between the two only removes them again.
    Returns the pages whose digest changed.
    """
    from jupyter_cache import get_cache

    changed = changed_pages(read_record(cache), digests)
    if changed:
        store = get_cache(str(cache))
        for record in store.list_cache_records():
            if record.uri in changed or record.uri not in digests:
                store.remove_cache(record.pk)
        write_record(cache, digests)
    return changed
