"""`simlib train`: one run from the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Literal

import click

from simlib.cli.options import given, json_option, options_of
from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord

EXAMPLES = """
\b
Examples:
  simlib train --sparsity 0.75 --data-seen 2000000
  simlib train --nonzero-params 55296 --steps 4000 --pattern 2:4 --sparsity 0.5
  simlib train --sparsity 0.75 --data-seen 2000000 --dry-run --json
  torchrun --standalone --nproc-per-node 2 --no-python simlib train --steps 200 --parallel fsdp
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
@click.option(
    "--parallel",
    type=click.Choice(["ddp", "fsdp"]),
    help="Share the run among the processes of torchrun, as copies or as shards of the model.",
)
@json_option
def command(
    out: str,
    checkpoint_seconds: float,
    dry_run: bool,
    parallel: Literal["ddp", "fsdp"] | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Train one run and append it to OUT/runs.csv.

    A run that is recorded there already is not trained again; one that was interrupted goes on
    from its last checkpoint, with --parallel or without it.

    Exit code 0: recorded; 1: recorded as diverged; 2: the request is wrong; 130: interrupted.
    """
    with _one_voice(parallel):
        _refuse_copies(parallel)
        config = RunConfig(**given(fields))
        if dry_run:
            _show_plan(config, out, as_json)
            return
        try:
            record = _train(config, out, checkpoint_seconds, parallel)
        except KeyboardInterrupt:
            click.echo("interrupted: the same command continues from the last checkpoint", err=True)
            sys.exit(130)
        if as_json:
            click.echo(record.model_dump_json())
        else:
            click.echo(_sentence(record, out))
            _say_kernels(config, out)
        sys.exit(1 if record.diverged else 0)


@contextmanager
def _one_voice(parallel: str | None) -> Iterator[None]:
    """Of the processes that torchrun started only the first says what all have to say.

    Why nothing can be done is said by one process a machine, as another may lack something.
    """
    launched = "TORCHELASTIC_RUN_ID" in os.environ
    if not (launched or parallel) or os.environ.get("RANK", "0") == "0":
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            yield
        except InputError:
            if os.environ.get("LOCAL_RANK") == "0":
                raise
            sys.exit(2)


def _refuse_copies(parallel: str | None) -> None:
    """Raise InputError if torchrun started processes that would each train the whole run."""
    size = os.environ.get("WORLD_SIZE", "1")
    if parallel is None and "TORCHELASTIC_RUN_ID" in os.environ and size != "1":
        raise InputError(
            f"torchrun started {size} processes, and nothing says how they share the run: add "
            "--parallel fsdp, or ddp if the model fits on one device"
        )


def _train(
    config: RunConfig, out: str, checkpoint_seconds: float, parallel: Literal["ddp", "fsdp"] | None
) -> RunRecord:
    from simlib.sweep.run import check
    from simlib.train import Folder, TerminalProgress, train_run

    if parallel:
        return _train_together(config, out, checkpoint_seconds, parallel)
    check([config], Folder(Path(out)))
    with TerminalProgress([config]) as progress:
        return train_run(config, out, progress=progress, checkpoint_seconds=checkpoint_seconds)


def _train_together(
    config: RunConfig, out: str, checkpoint_seconds: float, parallel: Literal["ddp", "fsdp"]
) -> RunRecord:
    from simlib.sweep.run import check
    from simlib.train import Folder, TerminalProgress
    from simlib.train.parallel import train_parallel
    from simlib.train.processes import join

    with join(parallel, config.device) as processes:
        processes.check(config)
        processes.agree(lambda: check([config], Folder(Path(out))) if processes.first else [])
        with TerminalProgress([config]) as progress:
            return train_parallel(
                config, out, processes, progress=progress, checkpoint_seconds=checkpoint_seconds
            )


def _show_plan(config: RunConfig, out: str, as_json: bool) -> None:
    from simlib.sweep.plan import plan

    planned = plan([config], out)
    if as_json:
        click.echo(json.dumps(planned.as_dict()))
    else:
        click.echo(planned.text())


def _say_kernels(config: RunConfig, out: str) -> None:
    """What was decided for every shape of layer, where it was to be decided."""
    from simlib.train import read_side
    from simlib.train.kernels import unable

    if config.kernels == "masks" or not config.sparsity:
        return
    made = read_side(out, config.run_id)["kernels"]
    for s in made:
        kernel = "sparse kernels" if s["sparse"] else "masks"
        measured = f", {s['speedup']:.2f} times as fast" if s["speedup"] else ""
        click.echo(f"{len(s['layers'])} layers {s['inputs']} to {s['outputs']}: {kernel}{measured}")
    if not made:
        reason = unable(config) or "no step followed the last change of the masks"
        click.echo(f"masks throughout: {reason}")


def _sentence(record: RunRecord, out: str) -> str:
    kind = f"{record.sparsity:.4g} sparse" if record.sparsity else "dense"
    size = f"{record.nonzero_params:,} non-zero weights, {kind}"
    if record.diverged:
        return f"run {record.run_id} ({size}) diverged: lower --lr; recorded in {out}/runs.csv"
    error = f" ± {record.loss_stderr:.4f}" if record.loss_stderr is not None else ""
    averaged = "".join(
        f", {loss:.4f} with {what}"
        for what, loss in (
            ("the exponential average of the weights", record.loss_ema),
            ("their mean over the cooldown", record.loss_mean),
        )
        if loss is not None
    )
    return (
        f"run {record.run_id} ({size}): validation loss {record.loss:.4f}{error} nats{averaged} "
        f"after {record.data_seen:,} of data in {record.seconds or 0:.0f} s; "
        f"recorded in {out}/runs.csv"
    )
