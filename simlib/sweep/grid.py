"""Grid files: a recipe in YAML, and the runs it stands for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simlib.errors import InputError
from simlib.runs.config import PRUNING_FIELDS, RunConfig
from simlib.runs.yamltext import parse_yaml
from simlib.train.pack import refuse_twins

KEYS = ("base", "runs")
LENGTHS = {"data_seen", "steps"}  # a run has one of them
MOST_RUNS = 20_000  # of one grid


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

        # Two sizes, dense and 75% sparse, to see which learns more from 2M bytes.
        base: {corpus: python, data_seen: 2000000}
        runs:
          - {nonzero_params: [13824, 27648], sparsity: [0, 0.75], seed: [0, 1]}

    A run that prunes a trained model says how that model differs from itself, and the grid lists
    the model's run too. It is the dense run of the same shape and the same other fields, here one
    that saw 2M bytes:

          - {nonzero_params: 13824, sparsity: 0.5, pruner: from_checkpoint, data_seen: 500000,
             start: {data_seen: 2000000}}
          - {nonzero_params: 27648, sparsity: 0, data_seen: 2000000}

    A pruner of your own is named by its place, `pruner: my_pruners:Saliency`, a subclass of
    `simlib.sparsify.Pruner` in a module that every process can import, on a cluster on every node.
    Its schedule is cubic unless the run names another. The place is its name in the run table and
    in the run_id, so another version of it deserves another name. Such a run cannot be carried to
    a bare machine.

    Raises InputError for a file that cannot be read, lacks its comment, has a run that cannot
    work, or has one run twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = parse_yaml(text)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a grid file: {error}") from error
    about = _header(text)
    if not about:
        raise InputError(f"{path} must begin with a comment: what it trains, why, at what cost")
    if not isinstance(content, dict) or set(content) - set(KEYS) or not content.get("runs"):
        raise InputError(f"{path} must hold 'runs', a list of mappings, and may hold 'base'")
    return Grid(path.stem, about, _configs(path, content))


def expand(base: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> list[RunConfig]:
    """All combinations of every entry's values, over the fields of `base`.

    A mapping as `start` stands for the dense run of the same shape; see `read_grid`.

    Raises InputError for values that cannot work, two equal runs, and a dense run to start from
    that is not among the runs.
    """
    count = sum(math.prod(len(_listed(v)) for v in entry.values()) for entry in entries)
    if count > MOST_RUNS:
        raise InputError(
            f"{count:,} combinations of values are more than the {MOST_RUNS:,} runs that a grid "
            "may have: give fewer values, or several grids"
        )
    cells = [
        {**base, **dict(zip(entry, values, strict=True))}
        for entry in entries
        for values in itertools.product(*map(_listed, entry.values()))
    ]
    starts = [_dense_start(cell) for cell in cells]
    configs = [_config(cell, start) for cell, start in zip(cells, starts, strict=True)]
    refuse_twins(configs)
    _refuse_unlisted(starts, configs)
    return configs


def enlarge(configs: Sequence[RunConfig], size: int, data: int, **changes: Any) -> list[RunConfig]:
    """The same runs with `size` times the weights and `data` times the data, otherwise as before.

    `changes` are fields that all take, such as the device. Runs that start from another of them
    start from its enlarged version. Raises InputError for what cannot be built.
    """
    by_id = {c.run_id: c for c in configs}

    def enlarged(config: RunConfig) -> RunConfig:
        fields = config.model_dump(exclude_defaults=True) | changes
        fields["nonzero_params"] = size * config.nonzero_params
        fields |= {name: data * fields[name] for name in LENGTHS & set(fields)}
        if config.start in by_id:
            fields["start"] = enlarged(by_id[config.start]).run_id
        return RunConfig(**fields)

    return [enlarged(c) for c in configs]


def _config(cell: Mapping[str, Any], start: RunConfig | None) -> RunConfig:
    return RunConfig(**cell) if start is None else RunConfig(**{**cell, "start": start.run_id})


def _dense_start(cell: Mapping[str, Any]) -> RunConfig | None:
    """The dense run that a mapping as `start` stands for: this cell's shape, all weights kept."""
    changes = cell.get("start")
    if not isinstance(changes, Mapping):
        return None
    if strange := [k for k in changes if not isinstance(k, str)]:
        raise InputError(f"start has no field {strange[0]!r:.40}: fields are words")
    own = {"start", "sparsity", "nonzero_params", "embeddings", *PRUNING_FIELDS}
    if LENGTHS & set(changes):
        own |= LENGTHS
    kept = {name: value for name, value in cell.items() if name not in own}
    sparse = RunConfig(**{**cell, "start": "a dense run"})
    dense = RunConfig(**{**kept, "nonzero_params": sparse.shape.dense_params, **changes})
    if dense.sparsity or dense.shape != sparse.shape:
        raise InputError(
            f"start {dict(changes)} is not a dense run of the shape that sparsity "
            f"{sparse.sparsity:g} at nonzero_params {sparse.nonzero_params} needs: name neither "
            "sparsity nor size in start, or choose another nonzero_params"
        )
    return dense


def _refuse_unlisted(starts: Sequence[RunConfig | None], configs: Sequence[RunConfig]) -> None:
    listed = {c.run_id for c in configs}
    for dense in starts:
        if dense and dense.run_id not in listed:
            raise InputError(
                f"the grid does not list the dense run {dense.run_id} that a run starts from: "
                f"add {{nonzero_params: {dense.nonzero_params}, sparsity: 0, seed: {dense.seed}, "
                f"steps: {dense.total_steps}}} to its runs"
            )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _configs(path: Path, content: dict[str, Any]) -> tuple[RunConfig, ...]:
    base, entries = content.get("base") or {}, content["runs"]
    listed = isinstance(entries, list) and all(isinstance(e, dict) for e in entries)
    if not isinstance(base, dict) or not listed:
        raise InputError(f"{path}: 'base' must be a mapping and 'runs' a list of mappings")
    if strange := [k for e in (base, *entries) for k in e if not isinstance(k, str)]:
        raise InputError(f"{path}: a run has no field {strange[0]!r:.40}: fields are words")
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
    try:
        return bool(getattr(config, name) == parse_yaml(wanted))
    except InputError as error:
        raise InputError(
            f"--only {condition!r:.80} cannot be read as field=value: {error}"
        ) from error
