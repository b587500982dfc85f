"""Tables of the pages on planning, design and the reader's own runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from simlib.analysis.numbers import number, percent, with_interval
from simlib.laws.lawfile import LawFile
from simlib.pages.tables import Table
from simlib.simulate.calibration import Score
from simlib.simulate.design import Design
from simlib.simulate.measure import Measurement
from simlib.simulate.plan import Choice, Plan


def plan_table(plan: Plan) -> Table:
    """Dense, sparse, 2:4 and, with a checkpoint, pruned run of one plan, side by side."""
    return choices_table(plan.choices)


def choices_table(choices: Sequence[Choice]) -> Table:
    """Runs side by side, one column each."""
    rows = [
        ("sparsity", *(_sparsity(c) for c in choices)),
        ("non-zero parameters", *(number(c.nonzero_params) for c in choices)),
        ("parameters under the mask", *(number(c.dense_params) for c in choices)),
        ("tokens or images", *(number(c.data_seen) for c in choices)),
        ("predicted loss", *(with_interval(c.loss, c.interval, 4) for c in choices)),
        ("training FLOP", *(number(c.train_flops) for c in choices)),
        ("serving FLOP", *(number(c.serve_flops) for c in choices)),
        ("stored weights, GB", *(number(c.inference_bytes / 1e9) for c in choices)),
        ("memory to train, GB", *(number(c.training_bytes / 1e9) for c in choices)),
    ]
    if any(c.effective_data != c.data_seen for c in choices):
        rows.insert(4, ("which count as", *(number(c.effective_data) for c in choices)))
    if choices[0].gpu_hours is not None:
        rows += [
            ("device-hours of training", *(number(c.gpu_hours) for c in choices)),
            ("days, restarts included", *(number(c.days) for c in choices)),
        ]
    if choices[0].energy is not None:
        energy = (number((c.energy or 0.0) / 1e3) for c in choices)
        rows.append(("energy of training, MWh", *energy))
    return Table(("", *(c.kind for c in choices)), rows)


def _sparsity(choice: Choice) -> str:
    text = percent(choice.sparsity)
    if choice.sparsity_interval is None:
        return text
    low, high = (percent(end) for end in choice.sparsity_interval)
    return f"{text} ({low} to {high})"


def story_table(plans: Mapping[str, Plan]) -> Table:
    """Several budgets or sizes, one row each: what is best and how sure that is."""
    header = (
        "", "sparsity", "non-zero parameters", "data", "loss, sparse", "loss, dense",
        "sparse wins in", "beyond the fitted compute",
    )  # fmt: skip
    rows = [
        (
            name, _sparsity(p.sparse), number(p.sparse.nonzero_params), number(p.sparse.data_seen),
            with_interval(p.sparse.loss, p.sparse.interval, 4),
            with_interval(p.dense.loss, p.dense.interval, 4),
            percent(p.probability_sparse_wins), number(float(p.sparse.distance.compute)) + " ×",
        )
        for name, p in plans.items()
    ]  # fmt: skip
    return Table(header, rows)


def measurement_table(found: Sequence[Measurement]) -> Table:
    """The most telling runs, each after those before it."""
    header = (
        "sparsity", "non-zero parameters", "data", "FLOP", "explains, with those above",
        "chance that the sign turns",
    )  # fmt: skip
    rows = [
        (percent(m.sparsity, 1), number(m.nonzero_params), number(m.data_seen), number(m.flops),
         percent(m.explains), percent(m.changes_the_answer, 1))
        for m in found
    ]  # fmt: skip
    return Table(header, rows or [("no run tells anything", *[""] * (len(header) - 1))])


def calibration_table(found: Mapping[str, Score]) -> Table:
    """Forecasts of runs kept out of the fit: coverage, bias and what they demand."""
    header = ("", "runs fitted", "runs predicted", "inside the interval", "bias", "rmse",
              "stretch needed")  # fmt: skip
    rows = [
        (
            name, str(c.fitted_runs), str(c.predicted_runs),
            f"{percent(c.coverage)} of {percent(c.level)}",
            f"{c.bias:+.1%}", percent(c.rmse, 1), number(c.widen, 2) + " ×",
        )
        for name, c in found.items()
    ]  # fmt: skip
    return Table(header, rows)


def design_table(designs: Sequence[Design]) -> Table:
    """Recommended grids with the half-widths to expect."""
    targets = list(designs[0].widths)
    header = ("runs", "sparsities", "sizes", "data", *(f"{t} ±" for t in targets))
    rows = [
        (
            str(len(d.grid)), _ends(d.grid.sparsities, percent), _ends(d.grid.sizes, number),
            _ends(d.grid.data, number), *(percent(d.widths[t], 1) for t in targets),
        )
        for d in designs
    ]  # fmt: skip
    return Table(header, rows)


def _ends(values: Sequence[float], text: object) -> str:
    assert callable(text)
    return f"{len(values)}: {text(min(values))} to {text(max(values))}"


def identified_table(law_file: LawFile) -> Table:
    """Each coefficient of a fitted law with both intervals and a verdict."""
    kinds = ("intervals", "profile_intervals")
    rows = []

    def verdict(name: str) -> str:
        return "not identified" if name in law_file.unidentified else "identified"

    for name in law_file.law.names():
        value = float(np.asarray(getattr(law_file.law, name)))
        cells = []
        for kind in kinds:
            ends = law_file.record.get(kind, {}).get(name)
            cells.append("" if ends is None else f"{number(ends[0])} to {number(ends[1])}")
        rows.append((name, number(value), *cells, verdict(name)))
    return Table(("coefficient", "estimate", "resampled runs", "profile", "verdict"), rows)


def sentences(said: Sequence[str], none: str = "nothing to warn of") -> Table:
    """Warnings as a table of one column."""
    return Table(("warning",), [(s,) for s in said] or [(none,)])
