"""When masks change and how sparse they are then, in optimizer steps.

A schedule is a shape without a height: the final sparsity belongs to each tensor and is
passed in, so one schedule serves tensors of different targets.
"""

from dataclasses import dataclass
from typing import ClassVar

from simlib.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """Mask updates every `interval` steps from `start` to `end`, the last one exactly at `end`.

    Steps count optimizer steps done, so 0 is before training and 1 after the first step.

    Raises:
        InputError: a negative start, an end before the start, an interval below 1 or longer
            than the time between start and end.
    """

    start: int
    end: int
    interval: int = 100

    name: ClassVar[str]

    def __post_init__(self) -> None:
        if self.start < 0:
            raise InputError(f"Pruning cannot start at step {self.start}: use 0 or later.")
        if self.end < self.start:
            raise InputError(
                f"Pruning ends at step {self.end}, before it starts at {self.start}: swap them."
            )
        if self.interval < 1:
            raise InputError(
                f"A mask update every {self.interval} steps is impossible: use 1 or more."
            )
        if self.start < self.end < self.start + self.interval:
            raise InputError(
                f"The {self.end - self.start} steps from {self.start} to {self.end} are fewer "
                f"than one pruning update every {self.interval} steps: lower the interval."
            )

    def sparsity_at(self, t: int, final: float) -> float:
        """Sparsity after `t` steps for a tensor that ends at `final` (fractions).

        Between two updates the masks keep the value of the earlier one.
        """
        raise NotImplementedError

    def due(self, t: int) -> bool:
        """Whether masks change after step `t`."""
        if not self.start <= t <= self.end:
            return False
        return t == self.end or (t - self.start) % self.interval == 0

    def updates(self) -> list[int]:
        """Every step after which masks change, ascending; the last one is `end`."""
        return [t for t in [*range(self.start, self.end, self.interval), self.end] if self.due(t)]

    def progress(self, t: int) -> float:
        """Share of the way from start to end, between 0 and 1."""
        if t >= self.end:
            return 1.0
        return max(0.0, (t - self.start) / (self.end - self.start))


class _Ramp(Schedule):
    """A schedule that begins dense, so that nothing is due at its start."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.end == self.start:
            raise InputError(
                f"A {self.name} ramp needs steps between start and end, both are {self.start}: "
                "move the end or use the one-shot schedule."
            )

    def due(self, t: int) -> bool:
        return t > self.start and super().due(t)


class Cubic(_Ramp):
    """`S(t) = S (1 - (1 - u)^3)`, `u` the share of the ramp done: Zhu & Gupta 2017, eq. 1."""

    name = "cubic"

    def sparsity_at(self, t: int, final: float) -> float:
        if t >= self.end:
            return final
        return final * (1 - (1 - self.progress(t)) ** 3)


class GeometricDensity(_Ramp):
    """Density falls by the same factor at every update, `1 - S(t) = (1 - S)^u`: Jin et al. 2025."""

    name = "geometric"

    def sparsity_at(self, t: int, final: float) -> float:
        if t >= self.end:
            return final
        return float(1 - (1 - final) ** self.progress(t))


class Constant(Schedule):
    """The final sparsity from `start` on; later updates move the mask without changing its size.

    With `start=0` the first mask is made before training.
    """

    name = "constant"

    def sparsity_at(self, t: int, final: float) -> float:
        return final if t >= self.start else 0.0


class OneShot(Constant):
    """One mask, made after step `start` and kept: `OneShot(500)`."""

    name = "oneshot"

    def __init__(self, start: int) -> None:
        super().__init__(start, start, 1)


SCHEDULES: dict[str, type[Schedule]] = {
    kind.name: kind for kind in (Cubic, GeometricDensity, Constant, OneShot)
}


def make_schedule(name: str, start: int, end: int, interval: int = 100) -> Schedule:
    """The schedule called `name`: cubic, geometric, constant or oneshot.

    A one-shot schedule has a start only: its end and interval are ignored.

    Raises:
        InputError: an unknown name, or numbers that the schedule refuses.
    """
    if name not in SCHEDULES:
        raise InputError(f"There is no schedule '{name}': use one of {', '.join(SCHEDULES)}.")
    kind = SCHEDULES[name]
    if issubclass(kind, OneShot):
        return kind(start)
    return kind(start, end, interval)
