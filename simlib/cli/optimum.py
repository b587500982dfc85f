"""`simlib optimum`: the sparsity that a law recommends at a model size and a training budget."""

from __future__ import annotations

import json
from typing import Any

import click

from simlib.cli.options import json_option, level_option
from simlib.datasets import load_law
from simlib.laws.lawfile import LawFile
from simlib.laws.optimum import COSTS, chinchilla_flops, cost_model, optimal_sparsity

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
    found = recommend(load_law(law_name), nonzero_params, flops, cost, level)
    click.echo(json.dumps(found) if as_json else _text(found))


def recommend(
    law_file: LawFile, nonzero_params: float, flops: float, cost: str, level: float
) -> dict[str, Any]:
    """Optimal sparsity with what follows from it: dense size, data, loss and its distance."""
    law = law_file.joint
    S = float(optimal_sparsity(law, nonzero_params, flops, cost))
    D = float(cost_model(cost).data_seen(S, nonzero_params, flops))
    found: dict[str, Any] = {
        "law": law_file.name,
        "cost": cost,
        "nonzero_params": nonzero_params,
        "flops": flops,
        "sparsity": S,
        "dense_params": nonzero_params / (1 - S),
        "data_seen": D,
        "loss": float(law(S, nonzero_params, D)),
        "dense_equivalent": float(law.multiplier(S)) * nonzero_params,
        "chinchilla_multiple": flops / float(chinchilla_flops(law, nonzero_params)),
    }
    if law_file.ensemble is not None:
        low, high = law_file.interval(
            lambda member: optimal_sparsity(member, nonzero_params, flops, cost), level=level
        )
        found |= {"interval": [float(low), float(high)], "level": level}
    return found


def _text(found: dict[str, Any]) -> str:
    interval = "this law has no ensemble, so no interval"
    if "interval" in found:
        low, high = found["interval"]
        interval = f"{found['level']:.0%} interval {low:.3f} to {high:.3f}"
    return (
        f"optimal sparsity {found['sparsity']:.3f} ({interval})\n"
        f"law {found['law']}, {found['cost']} training cost, "
        f"{found['chinchilla_multiple']:.3g} times the dense compute optimum\n"
        f"dense parameters under the mask {found['dense_params']:.4g}, "
        f"data {found['data_seen']:.4g}, predicted loss {found['loss']:.4f}\n"
        f"as good as a dense model of {found['dense_equivalent']:.4g} parameters on the same data"
    )
