"""`simlib optimum`: the sparsity that a law recommends at a model size and a training budget."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from simlib.cli.options import json_option, level_option
from simlib.datasets import load_law
from simlib.laws.optimum import COSTS
from simlib.simulate.best import BestSparsity, best_sparsity

EXAMPLES = """
\b
Examples:
  simlib optimum --law t5-c4-refit --nonzero-params 1e9 --flops 1e22
  simlib optimum --law t5-c4 --nonzero-params 1e9 --flops 1e22 --cost sparse --json
"""


@click.command(epilog=EXAMPLES)
@click.option("--law", "law_name", required=True, help="A shipped law, or the path of a law file.")
@click.option("--nonzero-params", type=float, required=True, help="Non-zero parameters N.")
@click.option("--flops", type=float, required=True, help="Training cost C in FLOP.")
@click.option(
    "--cost",
    type=click.Choice(list(COSTS)),
    default="dense",
    show_default=True,
    help="Whether training saves the multiplications with pruned weights.",
)
@level_option
@json_option
def command(
    law_name: str, nonzero_params: float, flops: float, cost: str, level: float, as_json: bool
) -> None:
    """The sparsity that minimises the loss at N non-zero parameters and a training cost in FLOP."""
    found = best_sparsity(load_law(law_name), nonzero_params, flops, cost, level)
    known = {name: value for name, value in asdict(found).items() if value is not None}
    click.echo(json.dumps(known) if as_json else _text(found))


def _text(found: BestSparsity) -> str:
    interval = "this law has no ensemble, so no interval"
    if found.interval:
        low, high = found.interval
        interval = f"{found.level:.0%} interval {low:.3f} to {high:.3f}"
    return (
        f"optimal sparsity {found.sparsity:.3f} ({interval})\n"
        f"law {found.law}, {found.cost} training cost, "
        f"{found.chinchilla_multiple:.3g} times the dense compute optimum\n"
        f"dense parameters under the mask {found.dense_params:.4g}, "
        f"data {found.data_seen:.4g}, predicted loss {found.loss:.4f}\n"
        f"as good as a dense model of {found.dense_equivalent:.4g} parameters on the same data"
    )
