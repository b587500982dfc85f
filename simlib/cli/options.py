"""Command-line options: those that many commands share, and those made from a pydantic model."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

MOST_SEED = 2**63 - 1  # as a run table keeps it
MOST_RESAMPLES = MOST_STARTS = 100_000  # of a fit, which keeps them all in memory

Command = TypeVar("Command", bound=Callable[..., Any])


class WholeNumber(click.ParamType):
    """An integer, also in the notation of large numbers: 2000000, 2_000_000 or 2e6."""

    name = "integer"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """The number, or click's error for what is none."""
        try:
            return int(value)
        except ValueError:
            pass
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not number.is_integer():
            self.fail(f"{value!r} is not a whole number", param, ctx)
        return int(number)


_NUMBERS: dict[Any, click.ParamType] = {int: WholeNumber(), float: click.FLOAT}


class Level(click.FloatRange):
    """A number inside (0, 1); NaN passes every range of click's."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The level, or click's error for what is none."""
        level: float = super().convert(value, param, ctx)
        if math.isnan(level):
            self.fail(f"{value!r} is not a number between 0 and 1", param, ctx)
        return level


level_option = click.option(
    "--level",
    type=Level(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Level of the intervals.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, MOST_SEED), default=0, show_default=True
)
workers_option = click.option(
    "--workers", type=click.IntRange(1, 1024), help="Processes.  [default: one a core]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
delta_option = click.option(
    "--delta", type=float, help="Huber delta [default: the table's own, else 0.001]."
)
log_option = click.option(
    "--log/--raw", "log", default=None, help="Residuals of log loss, or of the loss."
)


def options_of(model: type[BaseModel]) -> Callable[[Command], Command]:
    """Decorator that adds an option for every field, in the order of the model.

    Values that were not given arrive as None, so the model's own defaults hold.
    """

    def decorate(command: Command) -> Command:
        for name, field in reversed(model.model_fields.items()):
            command = _option(name, field)(command)
        return command

    return decorate


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The options that were typed."""
    return {name: value for name, value in values.items() if value is not None}


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    shown = "" if field.default in (None, "") else f"  [default: {field.default}]"
    text = field.description or ""
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=_type(field.annotation),
        default=None,
        help=f"{text[:1].upper()}{text[1:]}{shown}",
    )


def _type(annotation: Any) -> click.ParamType:
    kinds = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        return click.Choice([str(k) for k in kinds])
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        annotation = next(k for k in kinds if k is not type(None))
    return _NUMBERS.get(annotation, click.STRING)


regime_option = click.option(
    "--regime",
    "cut",
    is_flag=True,
    help="Fit only the data from where learning no longer speeds up.",
)
curves_option = click.option(
    "--curves",
    "whole",
    is_flag=True,
    help="Draw the runs of a sparsity and size together: they err together.",
)
