"""Scaling laws of sparse training: measure runs, fit the law, plan with intervals."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("simlib")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
