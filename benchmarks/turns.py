"""Ours and the other in turn, so that a busy machine slows both alike; and what a profile says."""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from simlib.pages.benchfile import Case, Goal

Call = Callable[[], object]


def seconds(call: Call, clock: Callable[[], float] = time.process_time) -> float:
    """Time of one call."""
    began = clock()
    call()
    return clock() - began


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def compare(
    name: str,
    ours: Call,
    other: Call,
    against: str,
    *,
    rounds: int,
    goal: Goal | None = None,
    unit: str = "s",
    times: float = 1.0,
    other_times: float = 1.0,
    calls: int = 1,
    clock: Callable[[], float] = time.process_time,
    note: str = "",
) -> Case:
    """A case: both in turn, `rounds` times after a first turn that warms up.

    `times` and `other_times` turn seconds of `calls` calls into the case's unit, for a rival of
    which only a part is run.
    """
    pairs = []
    for turn in range(rounds + (rounds > 1)):
        first = times * seconds(lambda: [ours() for _ in range(calls)], clock)
        second = other_times * seconds(lambda: [other() for _ in range(calls)], clock)
        if turn or rounds == 1:
            pairs.append((first, second))
    return of_pairs(name, unit, pairs, against, goal=goal, note=note)


def of_pairs(
    name: str,
    unit: str,
    pairs: list[tuple[float, float]],
    against: str,
    *,
    goal: Goal | None,
    note: str = "",
) -> Case:
    """A case of (ours, other) in turn, one pair a round."""
    low, middle, high = quartiles([b / a for a, b in pairs])
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Case(name, unit, mine, against, theirs, middle, low, high, len(pairs), goal, note)


def alone(
    name: str,
    call: Call,
    *,
    rounds: int,
    goal: Goal | None = None,
    unit: str = "s",
    clock: Callable[[], float] = time.process_time,
    note: str = "",
) -> Case:
    """A case without a rival: the median time."""
    values = [seconds(call, clock) for _ in range(rounds)]
    return Case(name, unit, statistics.median(values), rounds=rounds, goal=goal, note=note)


def hottest(call: Call, count: int = 5) -> str:
    """The functions that take most of a call, with their shares of its time."""
    profile = cProfile.Profile()
    profile.enable()
    call()
    profile.disable()
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(entry[2] for entry in found.values())
    most = sorted(found.items(), key=lambda item: -item[1][2])[:count]
    return "; ".join(f"{_name(place)} {entry[2] / total:.0%}" for place, entry in most)


def _name(place: tuple[str, int, str]) -> str:
    file, _, function = place
    return function.strip("<>{}") if file == "~" else f"{Path(file).stem}.{function}"
