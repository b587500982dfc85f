"""`simlib optimum-grid`: runs at a predicted optimum and about it, and the prediction."""

from __future__ import annotations

from pathlib import Path

import click

from simlib.analysis.optimumgrid import CATALOG, Point, PredictedOptima, grid_text, predict_point
from simlib.cli.options import level_option
from simlib.cli.output import force_option, free, saved, shipping
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.files import replace_file
from simlib.laws.optimum import COSTS

MOST_SPREAD = 1e4  # of densities about one optimum
EXAMPLES = """
\b
Examples:
  simlib optimum-grid --law gpt-laptop --point 6144:1e11:sparse
  simlib optimum-grid --law gpt-laptop --point 6144:4e10:dense --point 6144:1e11:sparse \\
      --write-grid mine.yaml
"""


@click.command(epilog=EXAMPLES)
@click.option("--law", "law_name", required=True, help="A shipped law, or the path of a law file.")
@click.option(
    "--point",
    "points",
    multiple=True,
    required=True,
    help="Non-zero parameters, FLOP and cost model as N:C:COST; repeatable.",
)
@click.option(
    "--like",
    type=click.Path(path_type=Path),
    default="notebooks/grids/gpt-laptop.yaml",
    show_default=True,
    help="A grid file whose base the runs share.",
)
@click.option(
    "--count",
    type=click.IntRange(3, 1000),
    default=5,
    show_default=True,
    help="Sparsities a point.",
)
@click.option(
    "--spread",
    type=click.FloatRange(1, MOST_SPREAD, min_open=True),
    default=4.0,
    show_default=True,
    help="Factor between the largest and the smallest density.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Runs of each setting.",
)
@level_option
@click.option("--write-grid", type=click.Path(path_type=Path), help="Write the grid file there.")
@force_option
@click.option(
    "--save",
    help="Write the predicted optima: a path ending in .json.  "
    "[default: GRID-optima.json beside the grid, where that is written]",
)
def command(
    law_name: str,
    points: tuple[str, ...],
    like: Path,
    count: int,
    spread: float,
    seeds: int,
    level: float,
    write_grid: Path | None,
    force: bool,
    save: str | None,
) -> None:
    """Predict the best sparsity at sizes and costs, and write the grid that puts it to the test.

    Every run of a point has the same non-zero parameters and training cost; what more sparsity
    buys in size it pays in data. Commit both files before the runs begin.
    """
    from simlib.runs.yamltext import parse_yaml

    path = _optima_path(write_grid, save, force)
    if write_grid:
        free(write_grid, force)
    law_file = load_law(law_name)
    try:
        base = parse_yaml(like.read_text(encoding="utf-8"))["base"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{like} cannot be read as a grid file with a base: {error}") from error
    found = [
        predict_point(law_file, base, *_read(text), count=count, spread=spread, level=level)
        for text in points
    ]
    for point in found:
        click.echo(_line(point, level))
    if path:
        made = {"law": law_name, "points": " ".join(points)} | law_file.made
        CATALOG.write(path, PredictedOptima(path.stem, made, level, tuple(found)))
    if write_grid:
        options = f"--like {like} --count {count} --spread {spread:g} --seeds {seeds}"
        about = _about(law_name, points, options, write_grid)
        text = grid_text(about, base, found, range(seeds))
        replace_file(write_grid, text.encode(), "grid file")


def _optima_path(write_grid: Path | None, save: str | None, force: bool) -> Path | None:
    """Where the predicted optima go: what was asked for, else beside the grid."""
    if save:
        return saved(save, CATALOG.folder, force)
    if write_grid is None:
        return None
    if shipping():
        return CATALOG.path(write_grid.stem)
    return free(write_grid.with_name(f"{write_grid.stem}-optima.json"), force)


def _read(text: str) -> tuple[int, float, str]:
    try:
        size, flops, cost = text.split(":")
        nonzero_params, budget = int(float(size)), float(flops)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"point {text!r} is not of the form N:C:COST, such as 6144:1e11:sparse"
        ) from error
    if cost not in COSTS:
        raise InputError(f"point {text!r}: choose the cost model among {', '.join(COSTS)}")
    return nonzero_params, budget, cost


def _line(point: Point, level: float) -> str:
    runs = ", ".join(f"{S:.3f} on {D:,}" for S, D in zip(point.sparsities, point.data, strict=True))
    return (
        f"{point.nonzero_params:,} non-zero, {point.flops:.3g} FLOP, {point.cost} cost: optimum "
        f"{point.optimum:.3f} ({level:.0%} interval {point.low:.3f} to {point.high:.3f}); runs "
        f"at {runs}"
    )


def _about(law_name: str, points: tuple[str, ...], options: str, path: Path) -> str:
    asked = " ".join(f"--point {p}" for p in points)
    return (
        "Is the sparsity that the law calls optimal the best one?\n\n"
        f"Runs at the optimum that {law_name} predicts and about it, all of one point with equal\n"
        "non-zero parameters and equal training cost. The prediction was committed before them.\n\n"
        f"Made by: simlib optimum-grid --law {law_name} {asked} {options} --write-grid {path}\n"
        f"Run it: simlib sweep {path} --out runs/laptop --table simlib/datasets/{path.stem}.csv"
    )
