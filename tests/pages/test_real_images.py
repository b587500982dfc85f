"""Tables and charts of repeated photographs: series, what rose, and names of corpora."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.fit.repeated import RepeatedRuns, distinct_images, fit_repeated, runs_of
from simlib.laws.repeated import Repetition, WithRepeats
from simlib.laws.rivals import DensityPower
from simlib.pages import real_images
from simlib.pages.real_images import cost_table, live_table, risen, series_of, worth_table
from simlib.runs.table import RunRecord, RunTable

LAW = WithRepeats(DensityPower(6.0, 0.5, 0.25, 4000.0, 0.6, 0.7), Repetition(4.4, 1.0))
CELLS = np.array(
    list(itertools.product([0, 0.5, 0.75], [3e3, 2.5e4], [8e3, 24e3, 72e3], [4e3, 5e4]))
)
RUNS = RepeatedRuns(*CELLS.T[:3], LAW(*CELLS.T), CELLS.T[3])


def test_series_hold_the_runs_of_one_line_in_order():
    found = series_of(RUNS)
    assert len(found) == 12
    assert all((s.D == [8e3, 24e3, 72e3]).all() for s in found)
    assert sum(len(s.L) for s in found) == len(RUNS)
    assert not any(s.rises for s in found)
    assert not risen(RUNS).any()


def test_a_run_that_rose_is_found_and_no_other():
    row = int(np.argmax((RUNS.U == 4e3) & (RUNS.D == 72e3) & (RUNS.S == 0.75)))
    loss = RUNS.L.copy()
    loss[row] *= 2
    changed = replace(RUNS, L=loss)
    assert np.flatnonzero(risen(changed)).tolist() == [row]
    assert sum(s.rises for s in series_of(changed)) == 1
    assert len(changed.without(risen(changed))) == len(RUNS) - 1


def test_the_cost_of_repeats_is_the_difference_of_pairs():
    shown = cost_table(RUNS).rows
    for (S, pairs, text), level in zip(shown, (0.0, 0.5, 0.75), strict=True):
        sizes = np.array([3e3, 2.5e4])
        rise = LAW(level, sizes, 72e3, 4e3) - LAW(level, sizes, 72e3, 5e4)
        assert (S, pairs) == (f"{level:.0%}", "2")
        assert text.startswith(f"{rise.mean():+.3f} ({rise.min():+.3f}")


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("cifar10", 50_000),
        ("cifar10:images=4000", 4000),
        ("glyphs:classes=9,images=5e2", 500),
        ("cifar10:/some/images=/place", 50_000),
        ("cifar10:augment=light", 50_000),
    ],
)
def test_distinct_images_come_from_the_name(name, images):
    assert distinct_images(name, 50_000) == images


def test_a_run_table_gives_the_columns_and_leaves_diverged_runs_out():
    fields = {"nonzero_params": 100, "sparsity": 0.5, "loss": 2.0}
    rows = [
        RunRecord(**fields, data_seen=d, dataset=f"cifar10{x}", train_loss=1.5)
        for d in (100, 900)
        for x in ("", ":images=300")
    ]
    rows[1] = rows[1].model_copy(update={"nonzero_params": 400})
    lost = rows[0].model_copy(update={"diverged": True, "loss": float("nan")})
    runs = runs_of(RunTable([*rows, lost]), 50_000)
    assert len(runs) == 4
    assert runs.U.tolist() == [50_000, 300, 50_000, 300]
    shown = live_table(rows, 50_000).rows
    assert shown[3][:2] == ("300", "3.0")
    assert live_table(rows[:1], None).rows[0][:2] == ("no end", "none twice")
    with pytest.raises(InputError, match="no run sees its data more than once"):
        runs_of(RunTable(rows[:1]), 50_000)


def test_charts_and_worth_show_what_was_fitted():
    fit = fit_repeated(RUNS, starts=1, resamples=4)
    chart = real_images.worth(fit, 0.9).to_dict()
    values = [v for d in chart["datasets"].values() for v in d] if "datasets" in chart else None
    text = json.dumps(chart)
    assert "Wu et al." in text
    if values:
        own = [v for v in values if v["source"] == "these runs"]
        assert all(v["low"] <= v["worth"] * (1 + 1e-6) for v in own)
    assert "none of 6 series" in real_images.losses(RUNS).to_dict()["description"]
    row = worth_table({"all": fit}, (0.5,), 0.9).rows[0]
    assert row[1].startswith("6.60")
