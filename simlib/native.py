"""C sources of this library, compiled for this processor by the machine's own C compiler."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import platformdirs

from simlib.errors import InputError

_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC")


def load(source: Path, what: str, otherwise: str) -> ctypes.CDLL:
    """The functions of a C file, compiled on first use into the cache (a second or two).

    Raises InputError where there is no C compiler, it cannot compile the file, or the cache cannot
    be written or can be by others; `what` names the functions in its sentence, `otherwise` what to
    do without them.
    """
    compiler = _compiler(what, otherwise)
    described = "\0".join([source.read_text(), compiler, *_FLAGS, _processor()])
    key = hashlib.sha256(described.encode()).hexdigest()[:16]
    cache_folder = os.environ.get("SIMLIB_CACHE") or platformdirs.user_cache_dir("simlib")
    path = Path(cache_folder) / "kernels" / f"{source.stem}-{key}.so"
    try:
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not _private(path.parent):
            raise InputError(
                f"{what} are not loaded from {path.parent}, which others may write: remove it, set "
                f"SIMLIB_CACHE to a folder of your own, or {otherwise}"
            )
        if not (path.exists() and _private(path)):
            _compile(compiler, source, path, what, otherwise)
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise InputError(
            f"{what} cannot be kept in {path.parent} ({error.strerror or error}): set "
            f"SIMLIB_CACHE to a folder that can be written, or {otherwise}"
        ) from error


def _private(path: Path) -> bool:
    """Whether what is loaded from there was put there by this user, or by root."""
    found = path.lstat()
    others = stat.S_IWGRP | stat.S_IWOTH
    is_own = found.st_uid in (os.getuid(), 0)
    return is_own and not stat.S_ISLNK(found.st_mode) and not found.st_mode & others


def _compiler(what: str, otherwise: str) -> str:
    named = shlex.split(os.environ.get("CC", "")) or ["cc", "gcc", "clang"]
    found = next((path for name in named if (path := shutil.which(name))), None)
    if found is None:
        raise InputError(
            f"{what} are compiled on first use, and there is no C compiler here: install "
            f"gcc or clang, or {otherwise}"
        )
    return found


def _processor() -> str:
    """What -march=native may depend on, for caches that several machines share."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line for line in lines if line.startswith("flags")), "")


def _compile(compiler: str, source: Path, path: Path, what: str, otherwise: str) -> None:
    """Write `path` in one step: of two processes that compile at once either may win."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        made = Path(work) / path.name
        command = [compiler, *_FLAGS, str(source), "-o", str(made), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(
                f"{compiler} cannot compile the {what} ({done.stderr.strip()[-300:]}): "
                f"name another compiler in CC, or {otherwise}"
            )
        made.chmod(0o700)
        made.replace(path)
