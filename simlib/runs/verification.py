"""Recorded rows that were trained again: does a table say what its grid gives?"""

from __future__ import annotations

from dataclasses import dataclass

from simlib.catalog import Catalog

# On another kind of processor, or by other kernels, the last digits differ from the first step on,
# and a run then ends as far away as with another order of its sums: within what seeds differ by.
TOLERANCE = 0.01
SPREADS = 2.0  # standard deviations over seeds that are allowed where those of a table are wider


@dataclass(frozen=True)
class Repeat:
    """A row trained again: losses in nats, and whether the machine is of the kind that made it.

    `spread` is the relative standard deviation over the seeds of its setting, `usual` the median of
    those of its table, which a single false row does not move; None where there is one seed each.
    """

    table: str
    run_id: str
    run: str
    recorded: float
    again: float
    same_machine: bool
    spread: float | None
    usual: float | None

    @property
    def difference(self) -> float:
        """Relative to the recorded loss."""
        return self.again / self.recorded - 1

    @property
    def agrees(self) -> bool:
        """Equal to the bit on the same kind of machine, within `TOLERANCE` or spreads elsewhere."""
        if self.same_machine:
            return self.again == self.recorded
        return abs(self.difference) <= max(TOLERANCE, SPREADS * (self.usual or 0.0))


@dataclass(frozen=True)
class Verification:
    """Rows that were trained again, and how."""

    made: dict[str, str]
    tolerance: float
    repeats: tuple[Repeat, ...]


CATALOG = Catalog(Verification, "verification", "verification of rows")
