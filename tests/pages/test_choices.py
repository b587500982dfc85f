"""What a page says of a contrast follows from the runs, whichever way they went."""

import json
from dataclasses import replace

import numpy as np
import pytest

from simlib.analysis.contrasts import REFERENCE, Arm, Estimate, Pairs, match
from simlib.analysis.stability import SpreadRatio
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import JointLaw
from simlib.pages import choices
from simlib.runs.cells import seed_spread
from simlib.runs.table import RunRecord, RunTable

LAW = JointLaw(a_S=1.0, b_S=0.6, c_S=3.5, b_N=0.2, a_D=4e6, b_D=0.2, c=0.1)
FILE = FittedLaw("known", LAW, LAW.from_vector(np.tile(LAW.vector(), (50, 1))))
RIGL = Arm("unstructured", "rigl", "constant", 0.0, 0.75)


def pairs(change: float, scatter: float = 0.001, cells: float = 0.0, **more) -> Pairs:
    rng, rows = np.random.default_rng(0), []
    for i, N in enumerate((6144, 12288)):
        for seed in (0, 1):
            base = float(LAW(0.75, N, 5e5))
            by = change + scatter * rng.standard_normal() + cells * (-1) ** i
            for arm, loss in ((REFERENCE, base), (RIGL, base * np.exp(by))):
                rows.append(
                    RunRecord(
                        **{"family": "gpt", **more},
                        pattern=arm.pattern,
                        pruner=arm.pruner,
                        schedule=arm.schedule,
                        prune_start=arm.start,
                        prune_end=arm.end,
                        nonzero_params=N,
                        dense_params=4 * N,
                        sparsity=0.75,
                        data_seen=500_000,
                        seed=seed,
                        loss=loss,
                        flops=2e12 if arm == RIGL else 4e12,
                    )
                )
    return match(RunTable(rows), RIGL)


@pytest.mark.parametrize(
    ("change", "said"), [(0.05, "worse"), (-0.05, "better"), (0.0, "not told apart")]
)
def test_the_verdict_follows_the_runs(change: float, said: str) -> None:
    found = pairs(change)
    assert choices.verdict(found) == said
    assert choices.contrast_table([found], FILE).rows[0][-1] == said
    assert choices.named([found], said) == "RigL, constant 0–75%"
    assert choices.named([found], "elsewhere") == "none"


def test_cells_that_disagree_leave_no_verdict() -> None:
    disagreeing = pairs(0.02, scatter=0.0, cells=0.01)
    assert disagreeing.effect().sign == 1
    assert choices.verdict(disagreeing) == "not told apart"


def test_a_table_of_contrasts_is_ordered_and_counts_cost_and_pairs() -> None:
    table = choices.contrast_table([pairs(0.05), pairs(-0.05)], FILE)
    assert [row[-1] for row in table.rows] == ["better", "worse"]
    assert table.rows[0][1] == "4 (2 seeds)"
    assert table.rows[0][4] == "0.50 ×"
    by_family = choices.group_table([pairs(0.05)], {"gpt": "text", "vit": "images"})
    assert by_family.rows[0][1].startswith("+5.1%")
    assert by_family.rows[0][2] == "not trained"


def test_sizes_that_were_asked_for_alike_share_a_column() -> None:
    exact = pairs(0.01)
    built = [
        (first.model_copy(update={"nonzero_params": first.nonzero_params + 80 * first.seed}), other)
        for first, other in exact.runs
    ]
    table = choices.size_table([replace(exact, runs=tuple(built))], FILE)
    assert len(table.header) == len(table.rows[0]) == 5


def test_one_law_is_accepted_or_rejected_only_if_the_drift_is_known_to_be_small_or_large() -> None:
    small, steep = Estimate(0.01, (-0.01, 0.03), 8), Estimate(0.2, (0.1, 0.3), 8)
    across = Estimate(0.04, (0.02, 0.06), 8)
    assert [choices.says(drift) for drift in (small, steep, across)] == ["yes", "no", "undecided"]
    assert choices.trend_table([pairs(0.01)], FILE).rows[0][1:5] == ("undetermined",) * 4


def test_families_disagree_only_where_intervals_are_apart() -> None:
    text, images = pairs(0.05), pairs(0.01, family="vit")
    both = Pairs(text.reference, text.other, text.runs + images.runs)
    groups = {"gpt": "text", "vit": "images"}
    assert choices.disagreements([both], groups) == (
        "RigL, constant 0–75% (costs text more than images)"
    )
    assert choices.disagreements([text], groups) == "none"


def test_dense_runs_are_compared_at_each_sparsity() -> None:
    dense = RunRecord(family="gpt", nonzero_params=6144, sparsity=0, data_seen=1, seed=0, loss=2.0)
    gmp = {"pruner": "gmp", "schedule": "cubic", "prune_start": 0.25, "prune_end": 0.75}
    half = dense.model_copy(update={**gmp, "sparsity": 0.5, "loss": 1.9})
    most = dense.model_copy(update={**gmp, "sparsity": 0.875, "loss": 2.2})
    rows = choices.dense_table(RunTable([dense, most, half])).rows
    assert [(row[1], row[3][:5]) for row in rows] == [("50%", "-5.0%"), ("87.5%", "+10.0")]


def test_diverged_runs_are_listed_with_what_they_were() -> None:
    lost = RunRecord(
        family="gpt",
        nonzero_params=6144,
        sparsity=0.75,
        data_seen=1,
        lr=0.02,
        seed=3,
        loss=float("nan"),
        diverged=True,
    )
    fine = lost.model_copy(update={"diverged": False, "loss": 2.0})
    rows = choices.diverged_table({"a": RunTable([lost, fine]), "b": RunTable([fine])}).rows
    assert rows[0][:3] == ("a", "2", "1")
    assert "75% sparse, rate 0.0200, seed 3" in rows[0][3]
    assert rows[1] == ("b", "1", "0", "none")


def test_charts_carry_every_pair_and_are_described() -> None:
    found = [pairs(0.05), pairs(-0.02)]
    by_size = choices.worth_by_size(found, LAW)
    for chart in (choices.effects(found), by_size):
        spec = json.dumps(chart.to_dict())
        assert "RigL, constant" in spec
        assert len(chart.to_dict()["description"].split()) > 20
    data = by_size.to_dict()["layer"][1]["data"]["values"]
    assert len(data) == 8


def test_spikes_are_measured_against_the_median_after_the_start() -> None:
    side = {
        "config": {"sparsity": 0.75},
        "curve": {"step": list(range(20)), "grad_norm": [9.0] * 5 + [1.0] * 14 + [3.0]},
    }
    assert choices.spikes(side) == (3.0, 1)
    assert "9" in choices.gradient_norms([side]).to_dict()["description"]
    kept = choices.kept_by_tensor({"up": 0.4, "down": 0.1}, 0.25).to_dict()["description"]
    assert "up keeps most, 40%; down least, 10%" in kept


def test_spread_over_seeds_is_written_with_its_interval() -> None:
    records = [r for pair in pairs(0.0, scatter=0.01).runs for r in pair]
    rows = choices.spread_table({"all": seed_spread(RunTable(records))}).rows
    assert rows[0][:3] == ("all", "4", "4")


def test_ignoring_the_masks_is_held_against_the_same_way_with_the_same_optimizer() -> None:
    rows = [
        run.model_copy(
            update={
                "optimizer": optimizer,
                "mask_optimizer": aware,
                "loss": run.loss * (1 if aware else factor),
            }
        )
        for optimizer, factor in (("adafactor", 1.05), ("adamw", 0.95))
        for aware in (True, False)
        for _, run in pairs(0.0).runs
    ]
    found = choices.awareness_table(RunTable(rows)).rows
    assert [(row[0], row[-1]) for row in found] == [("Adafactor", "worse"), ("AdamW", "better")]
    assert all(row[1].startswith("RigL") for row in found)
    assert choices.awareness_table(RunTable(r for r in rows if r.mask_optimizer)).rows == []


def test_groups_may_be_lengths_of_training() -> None:
    short, long = pairs(-0.05), pairs(0.05)
    more = tuple(tuple(r.model_copy(update={"data_seen": 10**6}) for r in p) for p in long.runs)
    both = Pairs(short.reference, short.other, short.runs + more)
    columns = {500_000: "short", 10**6: "long", 10**7: "longer"}
    ((_, first, then, never),) = choices.group_table([both], columns, "data_seen").rows
    assert first.startswith("-")
    assert then.startswith("+")
    assert never == "not trained"


@pytest.mark.parametrize(
    ("interval", "said"),
    [((1.2, 3.0), "more widely"), ((0.3, 0.8), "less widely"), ((0.5, 1.5), "not told apart")],
)
def test_the_spread_over_seeds_is_said_as_its_interval_lies(interval, said):
    assert said in choices.spread_said(SpreadRatio(1.0, interval, 9, 9, 3, 5, 0))
