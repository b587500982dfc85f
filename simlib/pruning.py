"""How pruning is named in grids, tables and commands: patterns and pruners, without torch."""

from __future__ import annotations

import re

from simlib.errors import InputError

# pruners of this library, and the schedule that each is meant for: those of a constant one hold
# their sparsity from the first mask on, as their papers do. `simlib.sparsify.PRUNERS` does them.
USUAL_SCHEDULES = {
    "gmp": "cubic",
    "acdc": "constant",
    "rigl": "constant",
    "set": "constant",
    "random_static": "constant",
    "random_gradual": "cubic",
    "from_checkpoint": "cubic",
}
_PLACE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_place(pruner: str) -> bool:
    """Whether a pruner is named by its place, `module:Class`, and so is somebody's own."""
    return _PLACE.fullmatch(pruner) is not None


def check_pruner(name: str) -> None:
    """Raise InputError unless `name` is one of this library's pruners or a place."""
    if name not in USUAL_SCHEDULES and not is_place(name):
        raise InputError(
            f"pruner {name!r} is unknown: use one of {', '.join(USUAL_SCHEDULES)}, or name a "
            "class of your own by its place, module:Class"
        )


def usual_schedule(pruner: str) -> str:
    """The schedule that a pruner is meant for; cubic for one that is named by its place."""
    return USUAL_SCHEDULES.get(pruner, "cubic")


def parse_pattern(text: str) -> tuple[str, int, int]:
    """The kind of a pattern and its two numbers: ("n:m", 2, 4), ("block", 4, 4); else zeros.

    Raises InputError for what is none of unstructured, global, n:m with 0 < n < m, blockBxB.
    """
    if text in ("unstructured", "global"):
        return text, 0, 0
    if found := re.fullmatch(r"(\d+):(\d+)", text):
        n, m = int(found[1]), int(found[2])
        if not 0 < n < m:
            raise InputError(f"pattern {text!r} keeps {n} of {m}: n:m needs 0 < n < m, such as 2:4")
        return "n:m", n, m
    if found := re.fullmatch(r"block([1-9]\d*)x([1-9]\d*)", text):
        return "block", int(found[1]), int(found[2])
    raise InputError(
        f"pattern {text!r} is unknown: use unstructured, global, n:m such as 2:4, or "
        "a block such as block4x4"
    )
