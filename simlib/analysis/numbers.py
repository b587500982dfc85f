"""Numbers as text, written one way in every verdict, table and sentence."""

from __future__ import annotations

import math

from simlib.fit.profile import Interval

NOTHING = 1e-9  # smaller values are the solver's bound for an absent term, and read 0


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits; powers of ten beyond a million, 'open' for none."""
    if value is None:
        return "open"
    size = abs(value)
    if size < NOTHING or not math.isfinite(value):
        return f"{value:.0f}"
    if 1e-4 <= size < 1e6:
        decimals = max(digits - 1 - math.floor(math.log10(size)), 0)
        return f"{value:,.{decimals}f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def count(value: float, digits: int = 3) -> str:
    """How many parameters or tokens, in the words of the axes of charts: 350, 14.2K, 7B, 1.5T.

    From ten thousand trillions on it is a power of ten.
    """
    if value >= 1e16 * (1 - 0.5 * 10**-digits):
        return number(value, digits)
    unit, name = next(
        ((u, n) for u, n in _UNITS if value >= u * (1 - 0.5 * 10**-digits)), (1.0, "")
    )
    size = value / unit
    # beyond the largest unit thousands are separated; `g` would write a power of ten
    return f"{size:,.0f}{name}" if size >= 10**digits - 0.5 else f"{size:.{digits}g}{name}"


def percent(value: float, digits: int = 0) -> str:
    """A share in percent."""
    return f"{value:.{digits}%}"


def sparsity_text(sparsity: float) -> str:
    """A sparsity that was chosen, without digits that say nothing: 50%, 87.5%."""
    return f"{100 * sparsity:.3g}%"


def percent_with_interval(value: float, interval: Interval, digits: int = 1) -> str:
    """`1.2% (0.8% to 1.6%)`; an end that does not exist reads 'open'."""
    low, high = ("open" if end is None else percent(end, digits) for end in interval)
    return f"{percent(value, digits)} ({low} to {high})"


def with_interval(value: float, interval: Interval | None, digits: int = 3) -> str:
    """`value (low to high)`; an end that does not exist reads 'open'."""
    if interval is None:
        return number(value, digits)
    low, high = (
        "open" if end is None or not math.isfinite(end) else number(end, digits) for end in interval
    )
    return f"{number(value, digits)} ({low} to {high})"
