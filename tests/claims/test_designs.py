"""The power of a rule is that on the runs which are trained: a design is its grid, cell by cell."""

from collections import Counter
from pathlib import Path

import pytest

from simlib.claims.designs import held_out_rows, language_rows
from simlib.sweep.grid import read_grid

UNDERWAY = Path(__file__).parents[2] / "notebooks" / "grids" / "underway"


@pytest.mark.parametrize(
    ("grid", "rows"), [("gpt-laptop", language_rows), ("gpt-heldout", held_out_rows)]
)
def test_a_design_has_the_cells_of_its_grid(grid, rows):
    configs = read_grid(UNDERWAY / f"{grid}.yaml").configs
    trained = Counter((c.sparsity, c.nonzero_params, c.data_seen, c.seed) for c in configs)
    assert trained == Counter((r.sparsity, r.nonzero_params, r.data_seen, r.seed) for r in rows())
