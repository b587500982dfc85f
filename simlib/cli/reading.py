"""Options that say how a table in its owner's words is read, for every command that reads one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from simlib.runs.foreign import Pick, TableReading, parse_columns, parse_names

OPTIONS = (
    click.option(
        "--columns",
        help="What each field is, in your columns: loss=nll*ln2,sparsity=1-dense/total,...",
    ),
    click.option("--where", help="Keep these rows: \"router=='S-Base' and loss>0\"."),
    click.option("--last-per", help="Keep the row with most data of each, such as: run."),
    click.option("--best-per", help="Keep the row of least loss of each, such as: N,D,S."),
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator that adds the options and hands them to the command as one `reading`."""

    @functools.wraps(command)
    def with_reading(
        *arguments: Any,
        columns: str | None,
        where: str | None,
        last_per: str | None,
        best_per: str | None,
        **options: Any,
    ) -> Any:
        pick = Pick(where or "", parse_names(last_per), parse_names(best_per))
        reading = TableReading(parse_columns(columns) if columns else {}, pick)
        return command(*arguments, reading=reading, **options)

    for option in reversed(OPTIONS):
        with_reading = option(with_reading)
    return with_reading
