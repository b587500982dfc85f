"""The planner's commands as a user meets them: keys for machines, sentences for mistakes."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from simlib.analysis.calibration import load_score
from simlib.cli import COMMANDS, cli
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.simulate.hardware import Cluster, accelerator

PLAN = ("plan", "--law", "t5-c4-refit")
CHOICE = {"sparsity", "nonzero_params", "data_seen", "loss", "interval", "gpu_hours"}


def run(*args):
    done = CliRunner().invoke(cli, [str(a) for a in args], catch_exceptions=True)
    if isinstance(done.exception, InputError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_plan_prints_the_keys_that_a_machine_needs():
    found = json.loads(
        run(
            *PLAN,
            "--flops",
            1e23,
            "--cost",
            "sparse",
            "--hardware",
            "h100",
            "--gpus",
            1024,
            "--serve-tokens",
            1e13,
            "--json",
        )
    )
    for kind in ("dense", "sparse", "2_4"):
        choice = found[kind]
        assert set(choice) >= CHOICE
        low, high = choice["interval"]
        assert low < choice["loss"] < high
        assert choice["train_flops"] + choice["serve_flops"] == pytest.approx(1e23)
        assert choice["gpu_hours"] == pytest.approx(
            Cluster(accelerator("h100")).device_hours(choice["train_flops"])
        )
        assert found["extrapolation"][kind]["far"] is True
    assert found["dense"]["sparsity"] == 0
    assert 0 <= found["probability_sparse_wins"] <= 1
    assert all(isinstance(said, str) for said in found["warnings"])


def test_budgets_in_other_units_give_the_same_plan():
    cluster = Cluster(accelerator("a100"))
    hours = 1e21 / cluster.flops_per_device_hour
    device = ("--hardware", "a100", "--price", 2.0, "--json")
    plans = [
        json.loads(run(*PLAN, *budget, *device))
        for budget in (("--flops", 1e21), ("--gpu-hours", hours), ("--money", 2 * hours))
    ]
    for plan in plans[1:]:
        assert plan["sparse"]["loss"] == pytest.approx(plans[0]["sparse"]["loss"], rel=1e-12)


def test_ceilings_reach_the_plan_and_without_hardware_hours_are_null():
    found = json.loads(
        run(*PLAN, "--flops", 1e22, "--memory", 1.0, "--max-sparsity", 0.7, "--json")
    )
    for kind in ("dense", "sparse"):
        assert found[kind]["inference_bytes"] <= 1e9 * (1 + 1e-9)
        assert found[kind]["gpu_hours"] is None
    assert found["sparse"]["sparsity"] <= 0.7


@pytest.mark.slow
def test_a_target_loss_gives_the_least_budgets():
    found = json.loads(run(*PLAN, "--target-loss", 1.4, "--json"))
    assert found["sparse"]["loss"] == pytest.approx(1.4, rel=1e-9)
    assert found["least_flops"]["sparse"]["flops"] <= found["least_flops"]["dense"]["flops"]


def test_a_front_lists_what_smaller_sizes_reach_up_to_the_plan_itself():
    found = json.loads(run(*PLAN, "--flops", 1e22, "--memory", 8, "--front", "--json"))
    for kind, points in found["front"].items():
        plan, sizes = found[kind], [p["nonzero_params"] for p in points]
        assert sizes == sorted(sizes)
        assert points[-1]["loss"] == pytest.approx(plan["loss"], rel=1e-9)
        assert sizes[-1] == pytest.approx(plan["nonzero_params"], rel=1e-4)
        assert all(p["loss"] > plan["loss"] for p in points[:-1])
    assert "front" not in json.loads(run(*PLAN, "--flops", 1e22, "--json"))
    assert run(*PLAN, "--flops", 1e22, "--front").count("sparse front: ") > 5


def test_the_text_names_the_three_runs_and_every_warning():
    said = run(*PLAN, "--flops", 1e23, "--hardware", "tpu-v5p", "--price", 3)
    assert re.search(r"dense +sparse +2:4", said)
    assert said.count("warning: ") >= 3
    assert "energy" not in said  # no power is published for this device


def test_a_simulated_table_is_fitted_and_named_as_simulated(tmp_path):
    out = tmp_path / "virtual.csv"
    made = json.loads(
        run(
            "simulate",
            "--law",
            "t5-c4-refit",
            "--sparsity",
            "0,0.5,0.75",
            "--nonzero-params",
            "1e6,1e7,1e8",
            "--data-seen",
            "1e9,1e10,1e11",
            "--misfit",
            0.001,
            "--out",
            out,
            "--json",
        )
    )
    assert (made["runs"], made["simulated"]) == (27, True)
    found = json.loads(run("fit", "--runs", out, "--resamples", 0, "--json"))
    assert any("27 of 27 runs are simulated, not measured" in w for w in found["warnings"])
    law = load_law("t5-c4-refit").joint
    assert found["coefficients"]["b_N"] == pytest.approx(float(law.b_N), rel=0.05)


@pytest.mark.slow
def test_design_recommends_grids_that_cost_the_budget():
    found = json.loads(
        run(
            "design",
            "--law",
            "t5-c4-refit",
            "--flops",
            1e19,
            "--target",
            "b_D",
            "--most-runs",
            48,
            "--json",
        )
    )
    best = found["recommended"][0]
    assert best["flops"] == pytest.approx(1e19)
    assert best["runs"] <= 48
    low, high = found["simulated_intervals"]["b_D"]
    assert 0.5 * np.log(high / low) == pytest.approx(best["half_widths"]["b_D"], rel=0.4)


@pytest.mark.slow
def test_design_holds_a_grid_of_the_readers_own_beside_the_best_of_its_cost():
    own = (
        "--sparsity",
        "0,0.5,0.75,0.875",
        "--nonzero-params",
        "1e6,1e7,1e8",
        "--data-seen",
        "1e9,1e10,1e11",
    )
    law = ("design", "--law", "t5-c4-refit", "--target", "b_D", "--most-runs", 36)
    found = json.loads(run(*law, *own, "--json"))
    yours, best = found["yours"], found["recommended"][0]
    assert yours["runs"] == 36
    assert best["flops"] == pytest.approx(yours["flops"])
    assert best["half_widths"]["b_D"] < yours["half_widths"]["b_D"]
    low, high = yours["simulated_intervals"]["b_D"]
    assert 0.5 * np.log(high / low) == pytest.approx(yours["half_widths"]["b_D"], rel=0.4)
    assert "your own grid:" in run(*law, *own, "--flops", 1e20)


def test_fit_reads_a_strangers_columns(tmp_path, released):
    """The authors' T5 file as if it were anyone's: its own names, sizes as a scale, steps."""
    columns = f"nonzero_params=n*1e6,data_seen=steps*{128 * 512},sparsity=sparsity,loss=val-loss"
    rows = (released / "t5-data.csv").read_text().strip().splitlines()
    header = rows[0].split(",")
    at = {name: header.index(name) for name in ("scale", "sparsity", "steps", "val-loss")}
    cells = [row.split(",") for row in rows[1:]]
    size = [float(c[at["scale"]]) * (1 - float(c[at["sparsity"]])) * 169.869312 for c in cells]
    path = tmp_path / "stranger.csv"
    path.write_text(
        "n,sparsity,steps,val-loss\n"
        + "\n".join(
            f"{n},{c[at['sparsity']]},{c[at['steps']]},{c[at['val-loss']]}"
            for n, c in zip(size, cells, strict=True)
        )
    )
    found = json.loads(run("fit", "--runs", path, "--columns", columns, "--resamples", 0, "--json"))
    refit = load_law("t5-c4-refit")
    assert found["coefficients"]["b_N"] == pytest.approx(float(refit.joint.b_N), rel=1e-3)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((*PLAN, "--flops", "-1e20"), "positive and finite, got -1e.20 FLOP"),
        ((*PLAN, "--gpu-hours", "1e23", "--hardware", "h100"), "1e.23 GPU-hours is not plausible"),
        ((*PLAN, "--gpu-hours", "1e3"), "name an accelerator"),
        ((*PLAN, "--flops", "1e21", "--hardware", "h1000"), "unknown accelerator 'h1000'"),
        ((*PLAN, "--flops", "1e21", "--target-loss", "2"), "not both"),
        ((*PLAN,), "got none"),
        ((*PLAN, "--flops", "1e21", "--latency", "1"), "name an accelerator"),
        ((*PLAN, "--flops", "1e21", "--max-params", "10"), "no model meets"),
        ((*PLAN, "--flops", "1e21", "--gpus", "8"), "--gpus 8 says nothing without --hardware"),
        ((*PLAN, "--flops", "1e21", "--memory", "1e-9"), "no model meets a memory of 1 bytes"),
        ((*PLAN, "--flops", "1e21", "--latency", "1e-9", "--hardware", "h100"), "another unit"),
        ((*PLAN, "--flops", "1e21", "--front", "--nonzero-params", "1e9"), "give one of them"),
        ((*PLAN, "--flops", "1e21", "--noise", "-1"), "noise of log loss must be at least 0"),
        ((*PLAN, "--flops", "1e21", "--widen", "0"), "positive factor, got 0"),
        ((*PLAN, "--target-loss", "0.1"), "no dense budget reaches"),
        (("plan", "--law", "t5-c4", "--flops", "1e21"), "has no ensemble"),
        (("design", "--law", "t5-c4-refit", "--flops", "1e19", "--target", "x"), "unknown target"),
        (("design", "--law", "t5-c4-refit", "--sparsity", "0,0.5"), "--nonzero-params too"),
        (("design", "--law", "t5-c4-refit"), "got none"),
        (
            (
                "design",
                "--law",
                "t5-c4-refit",
                "--sparsity",
                "0,0.5",
                "--nonzero-params",
                "1e6,1e7",
                "--data-seen",
                "1e9,1e10",
                "--target",
                "x",
            ),
            "unknown target 'x'",
        ),
        (
            (
                "simulate",
                "--law",
                "t5-c4-refit",
                "--sparsity",
                "half",
                "--nonzero-params",
                "1e6",
                "--data-seen",
                "1e9",
                "--out",
                "x.csv",
            ),
            "--sparsity takes numbers",
        ),
    ],
)
def test_mistakes_are_one_sentence(args, said):
    with pytest.raises(InputError, match=said) as error:
        run(*args)
    assert "\n" not in str(error.value)


def test_the_commands_are_listed():
    assert {"plan", "simulate", "design"} <= set(COMMANDS)


def test_calibrate_scores_the_larger_runs_and_its_file_is_read_back(tmp_path):
    out, saved = tmp_path / "virtual.csv", tmp_path / "score.json"
    run(
        "simulate",
        "--law",
        "vit-jft-refit",
        "--sparsity",
        "0,0.5,0.75",
        "--nonzero-params",
        "1e6,3e6,1e7,3e7",
        "--data-seen",
        "1e8,3e8,1e9,3e9",
        "--out",
        out,
    )
    found = json.loads(
        run("calibrate", "--runs", out, "--resamples", 60, "--save", saved, "--json")
    )
    assert (found["fitted_runs"], found["predicted_runs"]) == (24, 24)
    assert 0 <= found["coverage"] <= 1
    assert found["widen"] >= 1
    assert vars(load_score(str(saved)).score) == found
    saved.write_text("{}")
    load_score.cache_clear()
    with pytest.raises(InputError, match="not a score"):
        load_score(str(saved))
    with pytest.raises(InputError, match=r"shipped are: .*t5-c4, .*vit-jft"):
        load_score("nothing")


@pytest.mark.parametrize(("table", "runs"), [("t5-c4", 24), ("vit-jft", 56)])
def test_shipped_scores_say_that_intervals_of_smaller_runs_are_too_narrow(table, runs):
    score = load_score(table).score
    assert (score.fitted_runs, score.predicted_runs) == (runs, runs)
    assert score.coverage < 0.6 < score.level
    assert score.widen > 1.5


@pytest.mark.parametrize(
    ("law", "table", "flops"),
    [
        ("t5-c4-refit", "t5-c4", 1e21),
        ("gpt-laptop", "gpt-laptop", 1e12),
        ("vit-laptop", "vit-laptop", 1e11),
    ],
)
def test_intervals_are_stretched_as_the_tables_calibration_demands(law, table, flops):
    demanded = load_score(table).score.widen
    spans = {}
    for widen in ((), ("--widen", 1)):
        found = json.loads(run("plan", "--law", law, "--flops", flops, *widen, "--json"))
        low, high = found["dense"]["interval"]
        spans[found["widen"]] = np.log(high / low)
        assert any("are widened" in said for said in found["warnings"]) == (found["widen"] > 1)
        assert any("refits' own" in said for said in found["warnings"]) == (found["widen"] == 1)
    assert spans[demanded] == pytest.approx(demanded * spans[1.0])


@pytest.mark.slow
def test_planning_needs_no_torch():
    code = (
        "import sys, simlib.cli.plan, simlib.cli.design, simlib.cli.calibrate, "
        "simlib.cli.simulate, simlib.pages.simulator; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
