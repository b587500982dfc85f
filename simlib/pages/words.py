"""Words of sentences that are computed: capitals, lists, counted nouns, minus signs."""

from __future__ import annotations

import re
from collections.abc import Iterable

_COEFFICIENT = re.compile(r"[A-Za-z]_\w|[a-zA-Z](?=$|,)")  # such as b_D or c, whose case is theirs
_MINUS = re.compile(r"(?<![\w.)\]/−–-])-(?=\.?\d)")
_ZERO = re.compile(r"(?<![\w.)\]/−–-])[+-](?=0(?:\.0+)?(?![\d.,:]))")


def sentence(text: str) -> str:
    """`text` with a capital first letter, unless it begins with the name of a coefficient."""
    return text if _COEFFICIENT.match(text) else text[:1].upper() + text[1:]


def listed(names: Iterable[str], none: str = "none") -> str:
    """`a`, `a and b`, `a, b and c`; `none` where there is nothing to list."""
    first = list(names)
    last = first.pop() if first else none
    return f"{', '.join(first)} and {last}" if first else last


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 run`, `2 runs`, `1,000 runs`; `plural` where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def signed(text: str) -> str:
    """`text` with minus signs, as charts draw them, for hyphens, and no sign before a zero."""
    return _MINUS.sub("−", _ZERO.sub("", text))


def out_of(part: int, whole: int, noun: str, plural: str = "") -> str:
    """`none of 3 pairs`, `2 of 3 pairs`, `all 3 pairs`, `the only pair`, `no pair`."""
    if whole == 0:
        return f"no {noun}"
    if part == whole:
        return f"the only {noun}" if whole == 1 else f"all {counted(whole, noun, plural)}"
    none = "none" if whole > 1 else "0"
    return f"{f'{part:,}' if part else none} of {counted(whole, noun, plural)}"


def some(count: int, one: str, many: str) -> str:
    """A count with its verb: `none lies`, `1 lies`, `3 lie`."""
    return f"{f'{count:,}' if count else 'none'} {one if count < 2 else many}"
