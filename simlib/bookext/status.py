"""The two tables of the status page: the machine and the installed versions."""

import os
import platform
from importlib.metadata import distributions, version
from pathlib import Path

from simlib.pages.tables import Table


def processor() -> str:
    """Model name of the processor as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.partition(":")[2].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system can say which cores a process may use
        return os.cpu_count() or 1


def _memory() -> str:
    import psutil  # type: ignore[import-untyped]

    return f"{psutil.virtual_memory().total / 2**30:.0f} GiB"


def machine() -> Table:
    """Processor, cores, memory, system and Python."""
    rows = [
        ("Processor", processor()),
        ("Cores", str(_usable_cores())),
        ("Memory", _memory()),
        ("System", f"{platform.system()} {platform.machine()}"),
        ("Python", platform.python_version()),
        ("simlib", version("simlib")),
    ]
    return Table(("What", "Value"), rows)


def versions() -> Table:
    """Every installed package, by name."""
    found = {d.metadata["Name"].lower(): d.version for d in distributions() if d.metadata["Name"]}
    return Table(("Package", "Version"), sorted(found.items()))
