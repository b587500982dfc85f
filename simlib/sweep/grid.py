"""Grid files: a recipe in YAML, and the runs it stands for."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from simlib.config import RunConfig
from simlib.errors import InputError
from simlib.train.pack import refuse_twins

KEYS = ("base", "runs")


@dataclass(frozen=True)
class Grid:
    """The runs of a grid file; `about` is the comment that the file begins with."""

    name: str
    about: str
    configs: tuple[RunConfig, ...]

    def only(self, conditions: Sequence[str]) -> Grid:
        """The runs that meet every condition, `field=value` or the beginning of a run_id.

        Raises InputError for an unknown field and if no run is left.
        """
        kept = [c for c in self.configs if all(_meets(c, text) for text in conditions)]
        if not kept:
            raise InputError(f"no run of {self.name} meets {' and '.join(conditions)}")
        return Grid(self.name, self.about, tuple(kept))


def read_grid(path: str | Path) -> Grid:
    """Read a grid file.

    It begins with a comment (what, why, what it costs, what it reached, the command). `base`
    holds fields of RunConfig that all runs share; `runs` is a list of mappings from field to a
    value or a list of values, each standing for all combinations:

        # Two sizes, dense and 75 % sparse, to see which learns more from 2M bytes.
        base: {corpus: python, data_seen: 2000000}
        runs:
          - {nonzero_params: [13824, 27648], sparsity: [0, 0.75], seed: [0, 1]}

    Raises InputError for a file that cannot be read, lacks its comment, has a run that cannot
    work, or has one run twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a grid file: {reason}") from error
    about = _header(text)
    if not about:
        raise InputError(f"{path} must begin with a comment: what it trains, why, at what cost")
    if not isinstance(content, dict) or set(content) - set(KEYS) or not content.get("runs"):
        raise InputError(f"{path} must hold 'runs', a list of mappings, and may hold 'base'")
    return Grid(path.stem, about, _configs(path, content))


def expand(base: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> list[RunConfig]:
    """All combinations of every entry's values, over the fields of `base`.

    Raises InputError for values that cannot work and for two equal runs.
    """
    configs = [
        RunConfig(**{**base, **dict(zip(entry, values, strict=True))})
        for entry in entries
        for values in itertools.product(*map(_listed, entry.values()))
    ]
    refuse_twins(configs)
    return configs


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _configs(path: Path, content: dict[str, Any]) -> tuple[RunConfig, ...]:
    base, entries = content.get("base") or {}, content["runs"]
    if not isinstance(base, dict) or not all(isinstance(e, dict) for e in entries):
        raise InputError(f"{path}: 'base' must be a mapping and 'runs' a list of mappings")
    try:
        return tuple(expand(base, entries))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _header(text: str) -> str:
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return "\n".join(line.lstrip("#").strip() for line in lines).strip()


def _meets(config: RunConfig, condition: str) -> bool:
    name, equals, wanted = condition.partition("=")
    if not equals:
        return config.run_id.startswith(condition)
    if name not in RunConfig.model_fields:
        raise InputError(f"a run has no field {name!r} to choose by")
    return bool(getattr(config, name) == yaml.safe_load(wanted))
