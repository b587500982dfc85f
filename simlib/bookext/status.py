"""The two tables of the status page: the machine and the installed versions."""

import html
import os
import platform
from collections.abc import Iterable
from importlib.metadata import distributions, version
from pathlib import Path


class Table:
    """Rows of text under a header, shown by a notebook as a table."""

    def __init__(self, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        self.header = header
        self.rows = list(rows)

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        def line(cells: tuple[str, ...], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        head = f"<thead>{line(self.header, 'th')}</thead>"
        table = f'<table class="table">{head}<tbody>{body}</tbody></table>'
        return {"text/html": table, "text/plain": "\n".join("\t".join(r) for r in self.rows)}


def _processor() -> str:
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
        ("Processor", _processor()),
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
