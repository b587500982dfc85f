"""The fit that the README shows runs as it stands, and arrays are fitted as tables are."""

import re
from pathlib import Path

import numpy as np
import pytest
from factories import grid, random_law

import simlib
from simlib.errors import InputError
from simlib.fit import DENSE, fit
from simlib.laws.law import DenseLaw

README = Path(simlib.__file__).parents[1] / "README.md"
QUICK = {"resamples": 0, "profile_resamples": 0, "starts": 5}


def test_the_four_lines_of_the_readme_run(capsys):
    (lines,) = re.findall(r"^    import simlib\n(?:    .*\n)+", README.read_text(), re.MULTILINE)
    assert lines.count("\n") == 4
    exec(re.sub("^    ", "", lines, flags=re.MULTILINE), {})  # the text is this repository's own
    said = capsys.readouterr().out
    assert said.startswith("law: ")
    assert all(f"\n{name} " in said for name in ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c"))


def test_arrays_are_fitted_as_a_table_is():
    rng = np.random.default_rng(0)
    runs = grid(random_law(rng), 0.01, rng)
    columns = runs.sparsity, runs.nonzero_params, runs.data_seen, runs.loss
    assert simlib.fit_law(*map(list, columns), **QUICK).law == fit(runs, **QUICK).law


def test_without_a_sparse_run_the_law_is_dense():
    N, D = (axis.ravel() for axis in np.meshgrid([1e6, 4e6, 16e6], [1e8, 1e9, 1e10]))
    truth = DenseLaw(406.4, 0.34, 410.7, 0.28, 1.69)
    found = simlib.fit_law(0 * N, N, D, truth(0, N, D), **QUICK)
    assert found.form == DENSE.name
    np.testing.assert_allclose(found.predict(0, N, D), truth(0, N, D), rtol=1e-6)


def test_what_is_asked_for_in_vain_is_named():
    with pytest.raises(InputError, match=r"'cubic'.*joint"):
        simlib.fit_law([0.0], [1e6], [1e8], [3.0], form="cubic")
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = simlib.no_such_thing
