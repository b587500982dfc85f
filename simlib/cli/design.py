"""`simlib design`: which grid of runs pins a law down best for a budget."""

from __future__ import annotations

import json
from typing import Any

import click

from simlib.cli.options import json_option
from simlib.datasets import load_law
from simlib.optimum import COSTS, cost_model
from simlib.simulate.design import (
    EXPONENTS,
    LEAST_PARAMS,
    QUANTITIES,
    Design,
    least_size,
    recommend,
    simulated_widths,
)
from simlib.simulate.forecast import residual_noise
from simlib.simulate.limits import budget_in_flops

EXAMPLES = """
\b
Examples:
  simlib design --law t5-c4-refit --flops 1e19
  simlib design --law t5-c4-refit --flops 1e18 --target b_D --most-runs 60 --json
"""
SHOWN = 3


@click.command(epilog=EXAMPLES)
@click.option("--law", "law_name", required=True, help="What is believed beforehand: a law.")
@click.option("--flops", type=float, required=True, help="Budget of all runs together, FLOP.")
@click.option("--target", "targets", multiple=True,
              help=f"What to pin down; repeat for more: {', '.join(QUANTITIES)}.  [default: the "
                   "three exponents]")  # fmt: skip
@click.option("--noise", type=float, help="Deviation of log loss.  [default: the law's log-RMSE]")
@click.option("--most-runs", type=int, default=150, show_default=True, help="Most runs allowed.")
@click.option("--least-params", type=float,
              help=f"Smallest size allowed.  [default: {LEAST_PARAMS:g}, or the law's own smallest "
                   "run if smaller]")  # fmt: skip
@click.option("--cost", type=click.Choice(list(COSTS)), default="dense", show_default=True,
              help="Whether training saves the multiplications with pruned weights.")  # fmt: skip
@json_option
def command(
    law_name: str, flops: float, targets: tuple[str, ...], noise: float | None, most_runs: int,
    least_params: float | None, cost: str, as_json: bool,
) -> None:  # fmt: skip
    """Recommend a grid of runs: sparsities, sizes and amounts of data that cost a budget together.

    Half-widths are those of a 90 % interval on the log scale: 0.2 is about 20 % either way. The
    best grid is checked by drawing tables from the law and fitting them.
    """
    law_file = load_law(law_name)
    noise = residual_noise(law_file) if noise is None else noise
    flops = budget_in_flops(flops)
    law, wanted = law_file.joint, targets or EXPONENTS
    best = recommend(law, flops, noise, targets=wanted, most_runs=most_runs,
                     least_params=least_size(law_file) if least_params is None else least_params,
                     cost=cost_model(cost))  # fmt: skip
    drawn = simulated_widths(
        law, best[0].grid, noise, quantities={name: QUANTITIES[name] for name in wanted}
    )
    if as_json:
        checked = {name: list(ends) for name, ends in drawn.items()}
        click.echo(json.dumps({"noise": noise, "recommended": [_object(d) for d in best],
                               "simulated_intervals": checked}))  # fmt: skip
        return
    checked_text = ", ".join(f"{n} {a:.4g} to {b:.4g}" for n, (a, b) in drawn.items())
    click.echo("\n".join(_lines(best[:SHOWN])))
    click.echo(f"intervals of fits to tables drawn on the best grid: {checked_text}")


def _object(design: Design) -> dict[str, Any]:
    grid = design.grid
    return {
        "runs": len(grid),
        "flops": design.flops,
        "sparsity": list(grid.sparsities),
        "nonzero_params": [float(v) for v in grid.sizes],
        "data_seen": [float(v) for v in grid.data],
        "half_widths": design.widths,
    }


def _lines(designs: list[Design]) -> list[str]:
    lines = []
    for rank, design in enumerate(designs, start=1):
        grid = design.grid
        widths = ", ".join(f"{name} ±{width:.1%}" for name, width in design.widths.items())
        lines += [
            f"{rank}. {len(grid)} runs, {design.flops:.3g} FLOP: {widths}",
            "   sparsity " + ", ".join(f"{v:g}" for v in grid.sparsities),
            "   non-zero parameters " + ", ".join(f"{v:.3g}" for v in grid.sizes),
            "   tokens or images " + ", ".join(f"{v:.3g}" for v in grid.data),
        ]
    return lines
