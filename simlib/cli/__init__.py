"""The command line: one group whose commands are imported only when they are called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from simlib.errors import InputError

# name -> (object that holds the command, one line for the list of commands)
COMMANDS = {
    "fit": ("simlib.cli.fit:command", "Fit the joint law to a run table, with intervals."),
    "tables": ("simlib.cli.tables:command", "Tables that others published, and can be fitted."),
    "twins": ("simlib.cli.twins:command", "Forecast sparse models against dense twins."),
    "bits": ("simlib.cli.bits:command", "Forecast held-out models of few bits."),
    "audit": ("simlib.cli.audit:command", "Hold published fits to their own objective."),
    "forecast": ("simlib.cli.forecast:command", "Forecast the end of a training curve."),
    "compare": ("simlib.cli.compare:command", "Compare forms of a law on one run table."),
    "optimum": ("simlib.cli.optimum:command", "Optimal sparsity at a model size and a budget."),
    "optimum-grid": ("simlib.cli.optimumgrid:command", "Runs that test a predicted optimum."),
    "plan": ("simlib.cli.plan:command", "Spend a budget: dense, sparse or 2:4, how sure we are."),
    "predict": ("simlib.cli.predict:command", "Predict a grid's runs before they are trained."),
    "calibrate": ("simlib.cli.calibrate:command", "Forecast a table's larger runs, and score it."),
    "simulate": ("simlib.cli.simulate:command", "Draw a run table from a law, marked so."),
    "design": ("simlib.cli.design:command", "Recommend a grid of runs for a budget."),
    "regret": ("simlib.cli.regret:command", "What a choice of runs costs, against chance."),
    "train": ("simlib.cli.train:command", "Train one run and record it."),
    "sweep": ("simlib.cli.sweep:command", "Train a grid of runs, resumably."),
    "evidence": ("simlib.cli.evidence:command", "Train what the book's tables still lack."),
    "verify-rows": ("simlib.cli.verify:command", "Train recorded rows again and compare."),
    "carry": ("simlib.cli.carry:carry", "Pack a grid for a machine that has only PyTorch."),
    "collect": ("simlib.cli.carry:collect", "Add the runs that a carried grid left."),
    "claims": ("simlib.cli.claims:command", "Each claim, what decides it, and the verdict."),
    "curves": ("simlib.cli.curves:command", "Keep training curves of recorded runs in one file."),
    "reproduce": ("simlib.cli.reproduce:command", "Run the notebooks: has a finding changed?"),
    "notebook": ("simlib.cli.notebook:command", "Run a notebook of the book with parameters."),
}


class LazyGroup(click.Group):
    """A click group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Command names in the order of the workflow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command object, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, for words that can be names of files."""
        if strange := next((a for a in args if "\0" in a), None):
            raise InputError(f"{strange!r:.80} holds a NUL character: no name or number has one")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what neither it nor a reader foresaw of a user's values is said, too.

        Errors of the program itself stay what they are. Raises InputError.
        """
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            package = (error.name or "simlib").partition(".")[0]
            if package == "simlib":
                raise
            raise InputError(
                f"this needs the package {package}, which is not installed: in a checkout, "
                "`make env` installs all that there is, `pip install '.[train]'` what training "
                "needs, and `pip install '.[train,book]'` what the notebooks need"
            ) from error
        except BrokenPipeError:  # the reader of our output left: click ends quietly
            raise
        except MemoryError as error:
            raise InputError(f"there is not enough memory: ask for less ({error})") from error
        except RecursionError as error:
            raise InputError("a file is nested too deeply to be read: write it flat") from error
        except ArithmeticError as error:
            raise InputError(f"a number is too large, or too small, here: {error}") from error
        except ValueError as error:
            if type(error).__name__ != "LinAlgError":  # of numpy, which is not imported for this
                raise
            raise InputError(
                f"equations have no solution ({error}): give runs that differ in sparsity, size "
                "and data, each by itself"
            ) from error
        except OSError as error:
            place = "a file" if error.filename is None else f"{str(error.filename)!r:.200}"
            reason = error.strerror or error
            raise InputError(f"{place} cannot be read or written: {reason}") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup)
@click.version_option(package_name="simlib")
def cli() -> None:
    """Should this model be trained sparse, at what sparsity, size and data, and how sure are we?"""


def main() -> None:
    """Console entry point: a user's mistake ends in one sentence and exit code 2."""
    try:
        cli()
    except InputError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
