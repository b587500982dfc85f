"""What a grid's table holds of it, and which grids of the book are not whole."""

import pytest

from simlib.claims.designs import planned
from simlib.pages.grids import grids_with_tables, progress, trained, unfinished_table
from simlib.runs.table import RunTable, write_table
from simlib.sweep.grid import read_grid

GRID = """# Two sizes.
base: {corpus: python, batch: 32, data_seen: 4096000}
runs:
  - {nonzero_params: [6144, 24576], sparsity: 0}
"""


@pytest.fixture
def underway(tmp_path):
    folder = tmp_path / "underway"
    folder.mkdir()
    grid = folder / "two.yaml"
    grid.write_text(GRID)
    return grid


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 of the 2 runs of its grid; the others are still to be trained"),
        (1, "1 of the 2 runs of its grid; the others are still to be trained"),
        (2, "all 2 runs of its grid"),
    ],
)
def test_what_is_trained_is_counted_by_the_identity_of_runs(underway, count, said):
    configs, table = read_grid(underway).configs, underway.with_suffix(".csv")
    if count:
        other = planned(configs[0]).model_copy(update={"run_id": "another"})
        write_table(table, RunTable([*map(planned, configs[:count]), other]))
    assert trained(configs, table) == count
    assert progress(configs, table) == said
    found = unfinished_table({"two": (configs, table)})
    assert (found and found.rows) == (None if count == 2 else [("two", str(count), "2")])


def test_a_grid_underway_has_the_table_beside_it(underway):
    assert (underway, underway.with_suffix(".csv")) in grids_with_tables(underway.parents[1])
