"""The regime of a law starts where learning no longer speeds up, for all sizes together."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from simlib.analysis.regime import regime
from simlib.cli import cli
from simlib.errors import InputError
from simlib.laws.law import JointLaw
from simlib.runs.table import RunTable, read_table, write_table
from simlib.simulate.virtual import Noise, virtual_runs

LAW = JointLaw(a_S=1.75, b_S=1.0, c_S=6.98, b_N=0.25, a_D=9.78e4, b_D=0.35, c=0.805)
PLATEAU = 2.56  # nats, where every model stays for a while
SIZES, DATA = 6144 * 2.0 ** np.arange(4), 256_000 * 2.0 ** np.arange(6)


class Late:
    """A law that is hidden behind a plateau until some amount of data."""

    def __init__(self, until: float) -> None:
        self.until = until

    def __call__(self, S, N, D):
        hidden = np.exp(-((np.asarray(D) / self.until) ** 2))
        return hidden * PLATEAU + (1 - hidden) * LAW(S, N, D)


def table(law, seed: float = 0.003, data=DATA) -> RunTable:
    grid = np.meshgrid([0.0, 0.5, 0.75], SIZES, data)
    return virtual_runs(law, *(g.ravel() for g in grid), Noise(seed, 0.0), repeats=2)


def test_a_law_without_a_plateau_keeps_every_run():
    runs = table(LAW)
    found = regime(runs)
    assert found.start == DATA[0]
    assert len(found.holds(runs)) == len(runs)
    assert not any(step.rises for step in found.steps)


@pytest.mark.parametrize("until", [8e5, 1.6e6])
def test_a_plateau_is_cut_off_and_what_is_kept_falls_ever_slower(until):
    runs = table(Late(until))
    found = regime(runs)
    assert DATA[0] < found.start <= 4 * until
    kept = found.holds(runs)
    assert {r.data_seen for r in kept} == {d for d in DATA if d >= found.start}
    assert not any(step.rises for step in regime(kept).steps)


def test_the_cut_is_one_for_all_sizes():
    """One size that learns late is cut only with all others, or not at all."""
    late = [r for r in table(Late(8e5)) if r.nonzero_params == SIZES[-1]]
    others = [r for r in table(LAW) if r.nonzero_params < SIZES[-1]]
    mixed = RunTable([*others, *late])
    kept = regime(mixed).holds(mixed)
    least = {min(r.data_seen for r in kept if r.nonzero_params == N) for N in SIZES}
    assert len(least) == 1


def test_runs_that_never_leave_the_plateau_are_refused():
    with pytest.raises(InputError, match="still on a plateau"):
        regime(table(Late(8e6)))


def test_two_amounts_of_data_show_no_slope():
    with pytest.raises(InputError, match="three amounts of data"):
        regime(table(LAW, data=DATA[:2]))


def test_noise_alone_seldom_cuts():
    cut = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        runs = RunTable(
            r.model_copy(update={"loss": r.loss * np.exp(0.003 * rng.normal())})
            for r in table(LAW, seed=0.0)
        )
        cut += regime(runs).start > DATA[0]
    assert cut <= 4


def compared(tmp_path, *options):
    """What `simlib compare` says of runs behind a plateau, and the files that it read."""
    paths = [tmp_path / "runs.csv", tmp_path / "beyond.csv"]
    sizes = (SIZES, 16 * SIZES[:1])
    for path, N in zip(paths, sizes, strict=True):
        grid = np.meshgrid([0.0, 0.5, 0.75], N, DATA)
        drawn = virtual_runs(Late(8e5), *(g.ravel() for g in grid), Noise(0.003, 0.0))
        write_table(path, drawn)
    asked = ["compare", "--runs", str(paths[0]), "--held-out", str(paths[1]), "--form", "joint"]
    done = CliRunner().invoke(cli, [*asked, "--resamples", "0", "--json", *options])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), [read_table(path) for path in paths]


def test_forms_are_compared_within_the_regime_on_both_tables(tmp_path):
    found, (runs, beyond) = compared(tmp_path, "--regime")
    only = regime(runs)
    assert found["runs"] == len(only.holds(runs)) < len(runs)
    forecasts = found["assessments"][0]["forecasts"]
    assert len(forecasts) == len(only.holds(beyond)) < len(beyond)
    assert min(f["data_seen"] for f in forecasts) >= only.start * (1 - 1e-9)
    whole, _ = compared(tmp_path)
    assert whole["runs"] == len(runs)
    assert len(whole["assessments"][0]["forecasts"]) == len(beyond)


def test_a_held_out_table_with_no_run_in_the_regime_is_refused(tmp_path):
    _, (runs, _) = compared(tmp_path)
    short = RunTable(r for r in runs if r.data_seen == DATA[0])
    write_table(tmp_path / "short.csv", short)
    asked = ["compare", "--runs", str(tmp_path / "runs.csv"), "--regime", "--form", "joint"]
    done = CliRunner().invoke(cli, [*asked, "--held-out", str(tmp_path / "short.csv")])
    assert isinstance(done.exception, InputError)
    assert "in the regime" in str(done.exception)
