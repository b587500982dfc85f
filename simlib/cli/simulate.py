"""`simlib simulate`: a run table drawn from a law, marked as simulated in every row."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np

from simlib.cli.options import json_option, seed_option
from simlib.cli.output import force_option, free
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import Array
from simlib.runs.table import write_table
from simlib.simulate.virtual import Noise, usual_noise, virtual_runs

EXAMPLES = """
\b
Examples:
  simlib simulate --law t5-c4-refit --sparsity 0,0.5,0.75 --nonzero-params 1e6,1e7,1e8 \\
      --data-seen 1e9,1e10,1e11 --out virtual.csv
  simlib fit --runs virtual.csv     fits it, and says that the runs are simulated
"""


@click.command(epilog=EXAMPLES)
@click.option("--law", "law_name", required=True, help="A shipped law, or the path of a law file.")
@click.option("--sparsity", required=True, help="Sparsities, separated by commas.")
@click.option("--nonzero-params", required=True, help="Non-zero parameters, by commas.")
@click.option("--data-seen", required=True, help="Tokens or images, by commas.")
@click.option("--repeats", type=int, default=1, show_default=True, help="Runs of each setting.")
@click.option(
    "--seed-noise", type=float, help="Deviation of log loss between repeats of a setting."
)
@click.option("--misfit", type=float, help="A setting's deviation of log loss from the law.")
@seed_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The run table (.csv) to write.",
)
@force_option
@json_option
def command(
    law_name: str,
    sparsity: str,
    nonzero_params: str,
    data_seen: str,
    repeats: int,
    seed_noise: float | None,
    misfit: float | None,
    seed: int,
    out: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Draw a table of runs from a law with noise: every combination of the values given.

    Without --seed-noise and --misfit both are those of the runs behind the law, estimated from
    their repeats and their scatter about it.
    """
    free(out, force)
    law_file = load_law(law_name)
    noise = _noise(law_file, seed_noise, misfit)
    axes = np.meshgrid(
        numbers("sparsity", sparsity),
        numbers("nonzero-params", nonzero_params),
        numbers("data-seen", data_seen),
        indexing="ij",
        copy=False,
    )
    runs = virtual_runs(law_file.law, *axes, noise, name=law_file.name, repeats=repeats, seed=seed)
    write_table(out, runs)
    found = {
        "out": str(out),
        "runs": len(runs),
        "law": law_file.name,
        "simulated": True,
        "seed_noise": noise.seed,
        "misfit": noise.misfit,
        "seed": seed,
    }
    said = (
        f"wrote {len(runs)} simulated runs of {law_file.name} to {out}, with noise of log loss "
        f"{noise.seed or 0:.2%} between repeats and {noise.misfit:.2%} between settings"
    )
    click.echo(json.dumps(found) if as_json else said)


def _noise(law_file: FittedLaw, seed: float | None, misfit: float | None) -> Noise:
    if seed is not None and misfit is not None:
        return Noise(seed, misfit)
    usual = usual_noise(law_file)
    return Noise(usual.seed if seed is None else seed, usual.misfit if misfit is None else misfit)


def numbers(name: str, text: str) -> Array:
    """Numbers separated by commas. Raises InputError naming the option and the text."""
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError as error:
        raise InputError(f"--{name} takes numbers separated by commas, got {text!r}") from error
