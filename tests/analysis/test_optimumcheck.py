"""A predicted optimum becomes a grid of equal size and cost; runs there show where it lies."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from simlib.analysis.optimumcheck import check_optimum
from simlib.analysis.optimumgrid import Point, entries, load_optima, predict_point
from simlib.cli import cli
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import JointLaw
from simlib.laws.optimum import cost_model, optimal_sparsity
from simlib.pages.optimum_check import inside, summary_table, verdict
from simlib.runs.table import RunRecord, RunTable
from simlib.sweep import expand, read_grid

BASE = {"family": "gpt", "corpus": "python", "batch": 8, "seq_len": 64}
# sparsity is worth much and data are plenty, so that the optimum lies well inside
LAW = JointLaw(a_S=40.0, b_S=0.9, c_S=20.0, b_N=0.4, a_D=2e6, b_D=0.6, c=0.8)
FILE = FittedLaw("known", LAW, LAW.from_vector(np.tile(LAW.vector(), (20, 1))))
N, FLOPS = 12_288, 1e12


def point(cost: str = "sparse", **changes: float) -> Point:
    return predict_point(FILE, BASE, N, FLOPS, cost, **changes)  # type: ignore[arg-type]


def runs(at: Point, noise: float = 0.0, law: JointLaw = LAW, seeds: int = 3) -> RunTable:
    rng = np.random.default_rng(0)
    offsets = 0.02 * rng.standard_normal(seeds)
    return RunTable(
        RunRecord(
            run_id=f"{S:.3f}-{i}",
            family="gpt",
            nonzero_params=N,
            sparsity=S,
            data_seen=D,
            seed=i,
            pruner="gmp" if S else "none",
            loss=float(law(S, N, D) * np.exp(offsets[i] + noise * rng.standard_normal())),
        )
        for S, D in zip(at.sparsities, at.data, strict=True)
        for i in range(seeds)
    )


@pytest.mark.parametrize("cost", ["dense", "sparse"])
def test_runs_of_a_point_have_equal_size_and_cost_and_hold_the_optimum(cost: str) -> None:
    at = point(cost)
    assert at.optimum == pytest.approx(float(optimal_sparsity(LAW, N, FLOPS, cost)))
    assert min(abs(S - at.optimum) for S in at.sparsities) < 0.03
    for config in expand(BASE, entries([at], [0, 1])):
        built = config.shape.dense_params * (1 - config.sparsity)
        assert built == pytest.approx(N, abs=1)
        spent = cost_model(cost).flops(config.sparsity, N, config.total_steps * 512)
        assert float(spent) == pytest.approx(FLOPS, rel=2e-3)
    assert len(at.sparsities) == 5


def test_where_dense_is_best_the_runs_reach_down_from_it() -> None:
    poor = FittedLaw("poor", JointLaw(1.0, 0.6, 3.5, 0.2, 4e6, 0.2, 0.15), FILE.ensemble)
    at = predict_point(poor, BASE, N, 1e11, "dense")
    assert at.optimum == 0
    assert at.sparsities[0] == 0
    assert at.sparsities[-1] == pytest.approx(0.75, abs=0.02)


def test_what_cannot_be_a_point_is_refused() -> None:
    with pytest.raises(InputError, match="spread above 1"):
        point(spread=1.0)
    with pytest.raises(InputError, match="different sparsities"):
        point(spread=1.05, count=40)


def test_the_optimum_of_a_known_law_is_found() -> None:
    at = point()
    found = check_optimum(runs(at, noise=0.001), at)
    assert found.best == pytest.approx(at.optimum, abs=0.07)
    assert found.regret < 0.005
    # seeds differ by far more than this; offsets take that out
    assert found.noise < 0.005
    regrets = [arm.regret for arm in found.arms]
    assert min(regrets) == regrets[2]
    assert min(regrets[0], regrets[-1]) > 0.01


def test_a_wrong_prediction_is_told() -> None:
    at = point(spread=8.0)
    worth_little = JointLaw(*(LAW.vector() * [0.2, 1, 2, 1, 1, 1, 1]))
    found = check_optimum(runs(at, 0.001, worth_little), at)
    assert not found.holds
    assert found.best < at.optimum
    assert verdict(found).startswith("too high")
    assert found.regret_ends[0] > 0
    assert len(summary_table([found]).rows) == 1


def test_an_optimum_at_the_sparsest_runs_is_open() -> None:
    at = point()
    worth_much = JointLaw(*(LAW.vector() * [20, 1, 1, 1, 1, 1, 1]))
    found = check_optimum(runs(at, 0.001, worth_much), at)
    assert found.interval[1] is None


def test_forecasts_are_counted_by_run() -> None:
    at = point()
    measured = runs(at)
    check = check_optimum(measured, at)
    said = {r.run_id: (r.loss, r.loss - 0.1, r.loss + 0.1) for r in measured.records[1:]}
    first = measured.records[1].run_id
    said[first] = (1.0, 0.9, 1.1)
    assert inside([check], said) == "13 of 14"


def test_too_few_runs_are_refused() -> None:
    at = point()
    whole = runs(at)
    with pytest.raises(InputError, match="train the grid"):
        check_optimum(RunTable(whole.records[3:]), at)
    three = point(count=3)
    with pytest.raises(InputError, match="no optimum"):
        check_optimum(runs(three, seeds=1), three)


def test_the_command_writes_a_grid_that_reads_back(tmp_path: Path) -> None:
    like = tmp_path / "like.yaml"
    like.write_text("# x\nbase: {family: gpt, batch: 8, seq_len: 64}\n")
    grid, saved = tmp_path / "mine.yaml", tmp_path / "mine.json"
    command = [
        "optimum-grid",
        "--law",
        "gpt-laptop",
        "--point",
        "12288:1e11:sparse",
        "--like",
        str(like),
        "--write-grid",
        str(grid),
        "--save",
        str(saved),
        "--force",
    ]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert "optimum" in result.output
    (at,) = load_optima(str(saved)).points
    configs = read_grid(grid).configs
    assert len(configs) == 15
    assert {c.total_steps * 512 for c in configs} == set(at.data)
    for wrong in ("12288:1e11", "12288:1e11:free", "x:1e11:dense"):
        command[4] = wrong
        with pytest.raises(InputError, match="point"):
            CliRunner().invoke(cli, command, catch_exceptions=False)
