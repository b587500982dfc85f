"""`simlib train`: one run from the command line."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from simlib.cli.options import given, json_option, options_of
from simlib.config import RunConfig
from simlib.runs import RunRecord

EXAMPLES = """
\b
Examples:
  simlib train --sparsity 0.75 --data-seen 2000000
  simlib train --nonzero-params 55296 --steps 4000 --pattern 2:4 --sparsity 0.5
  simlib train --sparsity 0.75 --data-seen 2000000 --dry-run --json
"""


@click.command(epilog=EXAMPLES)
@options_of(RunConfig)
@click.option("--out", default="runs", show_default=True, help="Folder of the run table.")
@click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Time between checkpoints.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and at what cost.")
@json_option
def command(
    out: str, checkpoint_seconds: float, dry_run: bool, as_json: bool, **fields: Any
) -> None:
    """Train one run and append it to OUT/runs.csv.

    A run that is recorded there already is not trained again; one that was interrupted goes on
    from its last checkpoint.

    Exit code 0: recorded; 1: recorded as diverged; 2: the request is wrong; 130: interrupted.
    """
    config = RunConfig(**given(fields))
    if dry_run:
        _show_plan(config, out, as_json)
        return
    try:
        record = _train(config, out, checkpoint_seconds)
    except KeyboardInterrupt:
        click.echo("interrupted: the same command continues from the last checkpoint", err=True)
        sys.exit(130)
    if as_json:
        click.echo(record.model_dump_json())
    else:
        click.echo(_sentence(record, out))
    sys.exit(1 if record.diverged else 0)


def _train(config: RunConfig, out: str, checkpoint_seconds: float) -> RunRecord:
    from pathlib import Path

    from simlib.sweep.run import check
    from simlib.train import Folder, TerminalProgress, train_run

    check([config], Folder(Path(out)))
    with TerminalProgress([config]) as progress:
        return train_run(config, out, progress=progress, checkpoint_seconds=checkpoint_seconds)


def _show_plan(config: RunConfig, out: str, as_json: bool) -> None:
    from simlib.sweep.plan import plan

    planned = plan([config], out)
    if as_json:
        click.echo(json.dumps(planned.as_dict()))
    else:
        click.echo(planned.text())


def _sentence(record: RunRecord, out: str) -> str:
    kind = f"{record.sparsity:.4g} sparse" if record.sparsity else "dense"
    size = f"{record.nonzero_params:,} non-zero weights, {kind}"
    if record.diverged:
        return f"run {record.run_id} ({size}) diverged: lower --lr; recorded in {out}/runs.csv"
    error = f" ± {record.loss_stderr:.4f}" if record.loss_stderr is not None else ""
    return (
        f"run {record.run_id} ({size}): validation loss {record.loss:.4f}{error} nats after "
        f"{record.data_seen:,} of data in {record.seconds or 0:.0f} s; recorded in {out}/runs.csv"
    )
