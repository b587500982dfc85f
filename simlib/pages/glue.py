"""Values that a page computes and its prose names, as `{glue:text}` does."""

from __future__ import annotations

from collections.abc import Mapping

from simlib.pages.words import signed


def glue_all(values: Mapping[str, object] | None = None, /, **more: object) -> None:
    """Put texts into the page by name, nothing shown: `glue_all(runs="12", level="90%")`.

    Names that are no words of Python come as a mapping.
    """
    from myst_nb import glue  # a page has it, the library need not

    for name, text in {**(values or {}), **more}.items():
        glue(name, signed(text) if isinstance(text, str) else text, display=False)
