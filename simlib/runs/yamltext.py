"""YAML as a grid file has it: `2:4` is a pattern there, and what aliases stand for has an end."""

from __future__ import annotations

from typing import Any

import yaml

from simlib.errors import InputError

MOST_VALUES = 1_000_000  # in one text, each alias counted as all that it stands for


class _Loader(yaml.SafeLoader):
    """YAML's plain values without its numbers of base 60, to which 2:4 would be 124."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0] and ":" in value:
            return self.DEFAULT_SCALAR_TAG
        return super().resolve(kind, value, implicit)


def parse_yaml(text: str) -> Any:
    """The plain values that a YAML text holds.

    Raises InputError, a sentence without the name of the file, for what is no YAML, is nested too
    deeply, or would fill the memory through its aliases.
    """
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        if _values(root, {}) > MOST_VALUES:
            raise InputError(
                f"its aliases stand for more than {MOST_VALUES:,} values: write out what is meant"
            )
        return loader.construct_document(root)
    except InputError:
        raise
    except RecursionError as error:
        raise InputError("it is nested too deeply to be a list of runs") from error
    except Exception as error:  # what a parser raises has no common base: dates alone add one more
        raise InputError(" ".join(str(error).split())) from error
    finally:
        if loader is not None:
            loader.dispose()


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, its aliases written out; those without end count so."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # what is met again on the way down holds itself
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(n,) for n in node.value]
        known[id(node)] = 1 + sum(_values(part, known) for pair in pairs for part in pair)
    return known[id(node)]
