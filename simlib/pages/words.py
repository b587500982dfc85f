"""Words of sentences that are computed: capitals, lists, counted nouns, minus signs."""

from __future__ import annotations

import re
from collections.abc import Iterable

_COEFFICIENT = re.compile(r"[A-Za-z]_\w|[a-zA-Z](?=$|,)")  # such as b_D or c, whose case is theirs
_MINUS = re.compile(r"(?<![\w.)\]/−–-])-(?=\.?\d)")


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
    """`text` with a minus sign, as charts draw it, for every hyphen that stands for one."""
    return _MINUS.sub("−", text)
