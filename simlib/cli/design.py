"""`simlib design`: which runs pin a law down best for a budget, as a grid or of given rows."""

from __future__ import annotations

import json
from typing import Any

import click

from simlib.cli.options import json_option
from simlib.cli.simulate import numbers
from simlib.datasets import load_law, table_names
from simlib.datasets.adapter import adapter_names
from simlib.datasets.published import TABLE_NAMES
from simlib.datasets.source import find_source
from simlib.errors import InputError
from simlib.fit import FORMS
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.optimum import COSTS, cost_model
from simlib.runs.expression import Expression
from simlib.runs.foreign import TableReading
from simlib.runs.table import RunTable
from simlib.simulate.choice import PRICE, choose, prices
from simlib.simulate.design import (
    EXPONENTS,
    LEAST_PARAMS,
    QUANTITIES,
    Design,
    DesignGrid,
    evaluate,
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
  simlib design --law t5-c4-refit --sparsity 0,0.5,0.75 --nonzero-params 1e6,1e7,1e8 \\
      --data-seen 1e9,1e10,1e11     your own grid, beside the best of the same cost
  simlib design --law t5-c4-refit --candidates could.csv --on wanted.csv --flops 1e20
      the rows of could.csv that predict those of wanted.csv best; neither needs a loss
"""
SHOWN = 3


@click.command(epilog=EXAMPLES)
@click.option("--law", "law_name", required=True, help="What is believed beforehand: a law.")
@click.option(
    "--flops", type=float, help="Budget of all runs, FLOP.  [default: what your own grid costs]"
)
@click.option("--candidates", help="A table of runs that could be trained: choose among its rows.")
@click.option("--on", "other", help="Runs to predict well.  [default: pin coefficients down]")
@click.option("--price", default=PRICE, show_default=True, help="What a candidate costs.")
@click.option("--sparsity", help="A grid of your own to hold beside: its sparsities, by commas.")
@click.option("--nonzero-params", help="Its non-zero parameters, by commas.")
@click.option("--data-seen", help="Its tokens or images, by commas.")
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How often it does each run.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    help=f"What to pin down; repeat for more: {', '.join(QUANTITIES)}.  [default: the "
    "three exponents]",
)
@click.option("--noise", type=float, help="Deviation of log loss.  [default: the law's log-RMSE]")
@click.option("--most-runs", type=int, default=150, show_default=True, help="Most runs allowed.")
@click.option(
    "--least-params",
    type=float,
    help=f"Smallest size allowed.  [default: {LEAST_PARAMS:g}, or the law's own smallest "
    "run if smaller]",
)
@click.option(
    "--cost",
    type=click.Choice(list(COSTS)),
    default="dense",
    show_default=True,
    help="Whether training saves the multiplications with pruned weights.",
)
@json_option
def command(
    law_name: str,
    flops: float | None,
    candidates: str | None,
    other: str | None,
    price: str,
    sparsity: str | None,
    nonzero_params: str | None,
    data_seen: str | None,
    repeats: int,
    targets: tuple[str, ...],
    noise: float | None,
    most_runs: int,
    least_params: float | None,
    cost: str,
    as_json: bool,
) -> None:
    """Recommend a grid of runs: sparsities, sizes and amounts of data that cost a budget together.

    With --candidates, recommend rows of a table instead. A law is only as good a guide as its form:
    the book's page *Design against a benchmark* holds such choices against chance.

    Half-widths are those of a 90% interval on the log scale: 0.2 is about 20% either way. The
    best grid, and your own if you give one, are checked by drawing tables from the law and fitting
    them.
    """
    law_file = load_law(law_name)
    noise = residual_noise(law_file) if noise is None else noise
    if candidates:
        if sparsity or nonzero_params or data_seen or targets:
            raise InputError(
                "--candidates lists the runs to choose from: leave the options of a grid out"
            )
        _choose(law_file, candidates, other, budget_in_flops(flops), price, noise, as_json)
        return
    if other:
        raise InputError("--on names runs to predict from those that --candidates names: give both")
    law, wanted = law_file.joint, targets or EXPONENTS
    grid = _own_grid(sparsity, nonzero_params, data_seen, repeats)
    yours = None if grid is None else evaluate(law, grid, noise, wanted, cost_model(cost))
    flops = budget_in_flops(yours.flops if yours and flops is None else flops)
    best = recommend(
        law,
        flops,
        noise,
        targets=wanted,
        most_runs=most_runs,
        least_params=least_size(law_file) if least_params is None else least_params,
        cost=cost_model(cost),
    )
    quantities = {name: QUANTITIES[name] for name in wanted}
    drawn = simulated_widths(law, best[0].grid, noise, quantities=quantities)
    own = simulated_widths(law, yours.grid, noise, quantities=quantities) if yours else {}
    if as_json:
        found = {
            "noise": noise,
            "recommended": [_object(d) for d in best],
            "simulated_intervals": _ends(drawn),
        }
        mine = {**_object(yours), "simulated_intervals": _ends(own)} if yours else None
        click.echo(json.dumps({**found, "yours": mine}))
        return
    said = _lines(best[:SHOWN])
    said.append(f"intervals of fits to tables drawn on the best grid: {_ends_text(drawn)}")
    if yours:
        said += ["your own grid:", *_lines([yours])]
        said.append(f"intervals of fits to tables drawn on it: {_ends_text(own)}")
    click.echo("\n".join(said))


def _choose(
    law_file: FittedLaw,
    candidates: str,
    other: str | None,
    budget: float,
    price: str,
    noise: float,
    as_json: bool,
) -> None:
    """Print the rows to train."""
    runs = _without_loss(candidates)
    predict = _without_loss(other) if other else None
    costs, form = prices(runs, price), FORMS[law_file.form]
    rows = choose(runs, costs, budget, form, law_file.law, noise, predict=predict)
    chosen = [runs.records[row] for row in rows]
    if as_json:
        found = [
            {
                "row": row + 1,
                "sparsity": r.sparsity,
                "nonzero_params": r.nonzero_params,
                "data_seen": r.data_seen,
                "cost": float(costs[row]),
            }
            for row, r in zip(rows, chosen, strict=True)
        ]
        click.echo(
            json.dumps({"criterion": "V" if predict else "D", "budget": budget, "runs": found})
        )
        return
    spent = float(costs[rows].sum())
    lines = [
        f"{len(rows)} of {len(runs)} rows, {spent:.3g} of {budget:.3g}, "
        + ("which predict the other table best:" if predict else "which pin the law down best:")
    ]
    lines += [
        f"row {row + 1}: sparsity {r.sparsity:g}, non-zero parameters {r.nonzero_params:.3g}, "
        f"tokens or images {r.data_seen:.3g}"
        for row, r in zip(rows, chosen, strict=True)
    ]
    click.echo("\n".join(lines))


def _without_loss(table: str) -> RunTable:
    """The finished runs of a table; one that has no losses yet is read without them."""
    try:
        return find_source(table).runs
    except InputError:
        if table in (*TABLE_NAMES, *table_names(), *adapter_names()):
            raise
    return find_source(table, reading=TableReading({"loss": Expression("1")})).runs


def _own_grid(
    sparsity: str | None, sizes: str | None, data: str | None, repeats: int
) -> DesignGrid | None:
    given = {"sparsity": sparsity, "nonzero-params": sizes, "data-seen": data}
    missing = [name for name, text in given.items() if text is None]
    if len(missing) == len(given):
        return None
    if missing:
        raise InputError(
            f"a grid of your own needs --{missing[0]} too: give --{', --'.join(given)}"
        )
    axes = [tuple(map(float, numbers(name, text or ""))) for name, text in given.items()]
    return DesignGrid(axes[0], axes[1], axes[2], repeats)


def _ends(drawn: dict[str, tuple[float, float]]) -> dict[str, list[float]]:
    return {name: list(ends) for name, ends in drawn.items()}


def _ends_text(drawn: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"{n} {a:.4g} to {b:.4g}" for n, (a, b) in drawn.items())


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
