"""A table of runs as a stranger would bring it: other names, other units, no more than needed."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simlib.datasets.published import available, released_runs
from simlib.files import replace_file
from simlib.laws.law import PUBLISHED
from simlib.runs.table import RunTable
from simlib.simulate.virtual import Noise, virtual_runs

COLUMNS = (
    "nonzero_params=n_millions*1e6,sparsity=pruned_percent*0.01,data_seen=tokens,loss=val_loss"
)


class Example(NamedTuple):
    """A file, how its columns are called, and what it holds."""

    path: Path
    columns: str
    what: str


def stranger_table(folder: Path) -> Example:
    """The authors' T5 runs under a stranger's names, or simulated ones, see `simulated_runs`.

    The simulated ones are for where the released files are not at hand.
    """
    if available("t5"):
        runs, what = released_runs("t5"), "the authors' 48 released T5 runs"
    else:
        runs, what = simulated_runs(), "48 runs simulated from the published T5 law"
    path = folder / "stranger.csv"
    replace_file(path, stranger_text(runs).encode(), "table")
    return Example(path, COLUMNS, what)


def simulated_runs() -> RunTable:
    """Runs drawn from the published T5 law on the grid of its own runs, noise 0.7% of the loss."""
    S, N, D = np.meshgrid(
        [0.0, 0.5, 0.75, 0.875], 1327104 * 4.0 ** np.arange(4), 16.384e9 * 2.0 ** np.arange(3)
    )
    return virtual_runs(PUBLISHED["t5-c4"], S, N, D, Noise(0.0, 0.007), name="t5-c4")


def stranger_text(runs: RunTable) -> str:
    """A CSV file whose columns `COLUMNS` names."""
    columns = (runs.nonzero_params / 1e6, 100 * runs.sparsity, runs.data_seen, runs.loss)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["n_millions", "pruned_percent", "tokens", "val_loss", "dataset"])
    writer.writerows(zip(*(c.tolist() for c in columns), runs.column("dataset"), strict=True))
    return text.getvalue()
