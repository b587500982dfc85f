"""What the tables of sparse kernels say where nothing, or little, was measured."""

from dataclasses import replace

from simlib.pages import hardware
from simlib.runs.timings import StepTiming
from simlib.simulate.kerneltimes import load_timings

STEP = StepTiming("gpt", 64, 2, 0.75, 512, 10.0, 5.0, 2.0, 1.9, 2.1, 5, 7, 1e-7)


def test_words_follow_the_quartiles() -> None:
    slow = replace(STEP, speedup=0.8, low=0.7, high=0.9)
    scattered = replace(STEP, speedup=1.4, low=0.9)
    said = hardware.gains([STEP, slow, scattered])
    assert said.startswith("1 of 3")
    assert "2.0 times" in said
    assert hardware.gains([]) == "none was measured"


def test_where_nothing_was_switched_the_table_says_masks() -> None:
    (row,) = hardware.switches_table([]).rows
    assert row[-1] == "masks"


def test_shipped_whole_models_computed_the_same() -> None:
    shipped = load_timings("cpu")
    assert shipped.steps
    assert shipped.serving
    assert max(s.loss_gap for s in shipped.steps) < 1e-4
    assert max(s.logit_gap for s in shipped.serving) < 1e-4
