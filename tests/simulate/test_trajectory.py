"""Losses on the way: the law at both ends, an accounting that is found again, curves kept small."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from simlib.cli import cli
from simlib.datasets import load_law, load_runs
from simlib.errors import InputError
from simlib.laws.optimum import cubic_progress
from simlib.runs.curves import TrainingCurve, load_curves, thin
from simlib.runs.table import RunRecord, RunTable, write_table
from simlib.simulate.trajectory import (
    ACCOUNTINGS,
    compare_accountings,
    curve_residuals,
    law_sparsity,
    trajectory,
)

LAW = load_law("gpt-plateau")
TOKENS = 4e6
shares = st.floats(0.01, 1)


@pytest.mark.parametrize("accounting", ACCOUNTINGS)
@settings(deadline=None)
@given(done=shares, S=st.floats(0, 0.95))
def test_sparsity_of_the_law_goes_from_dense_to_the_final_one(accounting, done, S):
    s = law_sparsity(done, S, accounting)
    assert -1e-12 <= s <= S + 1e-12
    assert law_sparsity(0.2, S, accounting) == 0
    assert law_sparsity(1.0, S, accounting) == pytest.approx(S)


@settings(deadline=None)
@given(done=shares)
def test_mean_accounting_has_the_mean_density_of_a_usual_run(done):
    so_far = quad(lambda t: float(cubic_progress()(t)), 0, done, points=[0.25, 0.75])[0] / done
    whole = quad(lambda t: float(cubic_progress()(t)), 0, 1, points=[0.25, 0.75])[0]
    assert whole == pytest.approx(0.625)
    assert law_sparsity(done, 0.8, "mean") * whole == pytest.approx(0.8 * so_far, abs=1e-6)


def test_a_trajectory_ends_at_the_laws_loss_and_a_dense_one_is_the_law():
    way = trajectory(LAW, 0.75, 3e4, TOKENS, gap=0.02)
    assert way.loss[-1] == pytest.approx(LAW.joint(0.75, 3e4, TOKENS))
    assert way.nonzero_params[[0, -1]] == pytest.approx([1.2e5, 3e4])
    assert np.all((way.low <= way.loss) & (way.loss <= way.high))
    assert way.running == pytest.approx(way.loss * np.exp(0.02))
    dense = trajectory(LAW, 0.0, 3e4, TOKENS)
    assert dense.loss == pytest.approx(LAW.joint(0, 3e4, dense.data_seen))


def simulated(accounting, gap):
    """Runs of four dense sizes whose curves follow the law exactly in one accounting."""
    records, curves = [], []
    for i, (dense, S) in enumerate([(d, s) for d in (2e4, 4e4, 8e4, 16e4) for s in (0.0, 0.75)]):
        N = round(dense * (1 - S))
        records.append(
            RunRecord(
                run_id=f"r{i}",
                nonzero_params=N,
                sparsity=S,
                data_seen=int(TOKENS),
                loss=2.0,
                prune_start=0.25,
                prune_end=0.75,
                schedule="cubic",
            )
        )
        done = np.linspace(0.01, 1, 60)
        s = law_sparsity(done, S, accounting)
        loss = LAW.joint(s, N / (1 - S) * (1 - s), done * TOKENS)
        high = done < 0.85
        curves.append(
            TrainingCurve(
                f"r{i}",
                list(done * TOKENS),
                list(loss * np.exp(gap * high)),
                list(s),
                list(np.where(high, 1.0, 0.5)),
            )
        )
    return RunTable(records), curves


@pytest.mark.parametrize("truth", ACCOUNTINGS)
def test_the_accounting_and_gap_behind_curves_are_found_and_hold_on_runs_kept_out(truth):
    runs, curves = simulated(truth, 0.03)
    best, other = compare_accountings(LAW, runs, curves)
    assert best.accounting == truth
    assert best.gap == pytest.approx(0.03)
    assert best.held_out_rms == pytest.approx(0, abs=1e-9)
    assert other.held_out_rms > 0.001
    kept_out = {m.record.nonzero_params / (1 - m.record.sparsity) for m in best.held_out}
    assert kept_out == {4e4, 16e4}


def test_thinned_curves_keep_totals_and_leave_out_what_is_not_finite():
    logged = np.arange(1.0, 101)
    curve = {
        "step": list(logged),
        "loss": [None, *logged[1:]],
        "sparsity": [0.0] * 100,
        "lr": [1e-3] * 100,
    }
    kept = thin("a", curve, 512, 10)
    assert np.array(kept.loss[1:]).mean() == pytest.approx(logged[10:].mean())
    assert kept.data_seen[-1] == pytest.approx(512 * 95.5)
    assert kept.loss[0] == pytest.approx(logged[1:10].mean())
    with pytest.raises(InputError, match="cannot be thinned"):
        thin("a", curve, 512, 1)


def test_shipped_curves_belong_to_runs_of_their_table_and_follow_its_schedule():
    file = load_curves("gpt-plateau")
    runs = {r.run_id: r for r in load_runs(file.table)}
    assert len({runs[c.run_id].sparsity.__round__(2) for c in file.curves}) >= 4
    for curve in file.curves:
        record = runs[curve.run_id]
        done = np.array(curve.data_seen) / record.data_seen
        assert 0 < done[0] < done[-1] <= 1
        said = law_sparsity(done, record.sparsity, "current")
        assert np.array(curve.sparsity) == pytest.approx(said, abs=0.06)


def test_the_command_keeps_the_chosen_runs_and_refuses_what_it_cannot_find(tmp_path):
    rows = [
        RunRecord(
            run_id=n,
            nonzero_params=6144,
            sparsity=0,
            data_seen=512 * 40,
            steps=40,
            loss=2.0,
            seed=s,
        )
        for n, s in (("a", 0), ("b", 1))
    ]
    write_table(tmp_path / "runs.csv", RunTable(rows))
    (tmp_path / "a").mkdir()
    side = {"curve": {n: [20.0, 40.0] for n in ("step", "loss", "sparsity", "lr")}}
    (tmp_path / "a" / "side.json").write_text(json.dumps(side))
    args = [
        "curves",
        str(tmp_path),
        "--table",
        str(tmp_path / "runs.csv"),
        "--save",
        str(tmp_path / "kept.json"),
        "--force",
    ]
    done = CliRunner().invoke(cli, [*args, "--only", "seed=0"])
    assert done.exit_code == 0, done.output
    (kept,) = load_curves(str(tmp_path / "kept.json")).curves
    assert (kept.run_id, kept.data_seen) == ("a", [20 * 512.0, 40 * 512.0])
    for more, said in (
        (["--only", "seed=1"], "no side file of run b"),
        (["--only", "seed=7"], "no run of"),
        (["--only", "colour=1"], "a column of the run table"),
    ):
        with pytest.raises(InputError, match=said):
            CliRunner().invoke(cli, [*args, *more], catch_exceptions=False)


def test_mistakes_are_refused():
    runs, curves = simulated("current", 0.0)
    with pytest.raises(InputError, match="unknown accounting"):
        law_sparsity(0.5, 0.5, "median")
    with pytest.raises(InputError, match="longer run"):
        trajectory(LAW, 0.5, 1e4, 1e5)
    with pytest.raises(InputError, match="has no run r0"):
        curve_residuals(LAW, RunTable(runs.records[1:]), curves, "current")
    odd = RunTable(r.model_copy(update={"prune_end": 0.5}) for r in runs)
    with pytest.raises(InputError, match="cubic ramp"):
        curve_residuals(LAW, odd, curves, "current")
    with pytest.raises(InputError, match="two of them"):
        compare_accountings(LAW, runs, curves[:1])
