"""Files that others published: found in the user's folders, or downloaded once and checked."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import platformdirs

from simlib.errors import InputError


def find(name: str, sha256: str) -> Path | None:
    """The file in one of the folders of `$SIMLIB_DATA` (as in `$PATH`), or None.

    Raises InputError for a file of that name with another content.
    """
    for folder in filter(None, os.environ.get("SIMLIB_DATA", "").split(os.pathsep)):
        if (path := Path(folder) / name).is_file():
            return _checked(path, sha256)
    return None


def fetch(name: str, url: str, sha256: str) -> Path:
    """The file in a folder of `$SIMLIB_DATA`, in the cache, or downloaded there.

    Raises InputError that says what to do where the file is neither present nor reachable, and
    for a file with another content.
    """
    if (found := find(name, sha256)) is not None:
        return found
    cache = Path(platformdirs.user_cache_dir("simlib")) / "released"
    with warnings.catch_warnings():
        # tqdm, which pooch brings along, misses widgets in a notebook: no output of a page
        warnings.simplefilter("ignore")
        import pooch  # not at the top: it takes long to import
    try:
        pooch.get_logger().setLevel("WARNING")
        return Path(pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=name, path=cache))
    except Exception as error:  # network, proxy and file system errors have no common base
        raise InputError(
            f"the file {name} is not at hand and could not be downloaded "
            f"({type(error).__name__}); put it into a folder and set SIMLIB_DATA to that folder, "
            f"or run once with network access to github.com"
        ) from error


def _checked(path: Path, sha256: str) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise InputError(
            f"{path.name} in $SIMLIB_DATA is not the released file: its SHA-256 begins "
            f"{found[:12]}, not {sha256[:12]}; remove it to download the right one"
        )
    return path
