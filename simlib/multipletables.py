"""Tables and sentences of the page on pruning trained models."""

from __future__ import annotations

import math
from collections.abc import Sequence

from simlib.datamultiple import PUBLISHED, Multiple
from simlib.fit.profile import Interval
from simlib.tables import Table, number, percent


def multiple_table(found: Sequence[Multiple]) -> Table:
    """Data multiples with their intervals, one row a setting, beside the paper's."""
    header = (
        "non-zero parameters", "sparsity", "data pruned over", "runs", "loss",
        "better than from scratch by", "from scratch needs, times the data", "the paper's",
    )  # fmt: skip
    return Table(header, [_multiple_row(m) for m in found])


def _multiple_row(found: Multiple) -> tuple[str, ...]:
    gain = "not measured"
    if found.gain is not None:
        low, high = (0.0 if end is None else end for end in found.gain_interval)
        gain = f"{percent(found.gain, 1)} ({percent(low, 1)} to {percent(high, 1)})"
    published = published_multiple(found)
    return (
        f"{found.nonzero_params:,}", percent(found.sparsity, 1), f"{found.data_seen:,}",
        str(found.seeds), number(found.loss, 4), gain, multiple_text(found),
        "" if published is None else number(published),
    )  # fmt: skip


def multiple_text(found: Multiple) -> str:
    """`4.4 (3.6 to 5.3)`, or the bound where the multiple lies beyond what was measured."""
    low, high = (None if end is None else number(end, 2) for end in found.ends)
    if found.value is None:
        side = "more" if found.above else "less"
        return f"{side} than {number(found.bound, 2)}{_beyond(low, high)}"
    return f"{number(found.value, 2)}{_beyond(low, high)}"


def _beyond(low: str | None, high: str | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" ({low} or more)"
    return f" ({high} or less)" if low is None else f" ({low} to {high})"


def published_multiple(found: Multiple) -> float | None:
    """The paper's multiple at this sparsity, if it states one."""
    near = [value for S, value in PUBLISHED.items() if abs(S - found.sparsity) < 0.005]
    return near[0] if near else None


def agrees(found: Multiple) -> bool | None:
    """Whether the interval holds the paper's multiple; None where the paper states none."""
    published = published_multiple(found)
    if published is None:
        return None
    low, high = found.ends
    return (low is None or low <= published) and (high is None or published <= high)


def break_even_table(found: Sequence[Multiple]) -> Table:
    """How many models must be pruned from one trained model until that costs less in all."""
    header = (
        "non-zero parameters", "sparsity", "data pruned over", "trained on, times that",
        "break even, sparse cost", "break even, dense cost",
    )  # fmt: skip
    rows = [
        (
            f"{m.nonzero_params:,}", percent(m.sparsity, 1), f"{m.data_seen:,}",
            number(m.start_data / m.data_seen, 2), *(break_even_text(m, c) for c in COSTS),
        )
        for m in found
    ]  # fmt: skip
    return Table(header, rows)


COSTS = ("sparse", "dense")


def break_even_text(found: Multiple, cost: str) -> str:
    """Models at break even with the interval, or its bound."""
    value, ends = found.break_even(found.matched, cost), found.break_even_ends(cost)
    low, high = (None if end is None else _models(end) for end in ends)
    if value is not None:
        return f"{_models(value)}{_beyond(low, high)}"
    if not found.above:
        return "never seen"
    return f"less than {_models(found.break_even(found.measured[1], cost) or math.inf)}"


def _models(value: float) -> str:
    return "no number" if math.isinf(value) else number(value, 2)


def pays_when_charged(found: Multiple, cost: str) -> int:
    """1 if pruning is cheaper for a single model that pays for all training, surely; -1 if
    surely not; 0 if neither is sure."""
    low, high = found.break_even_ends(cost)
    if high is not None and high < 1:
        return 1
    return -1 if low is not None and low > 1 else 0


def range_text(ends: Interval, digits: int = 2) -> str:
    """`3.4 to 5.6`; an end that does not exist reads open."""
    low, high = ends
    return f"{number(low, digits)} to {number(high, digits)}"
