"""Scaling laws of sparse training: measure runs, fit the law, plan with intervals."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("simlib")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["fit_law", "load_law", "load_runs"]

# where each function lives: imported when it is first asked for, so that `import simlib` is quick;
# `fit_law` is not called `fit`, since `simlib.fit` is the package that it comes from
_PLACES = {"fit_law": ".fit", "load_law": ".datasets", "load_runs": ".datasets"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name], __name__), name)
