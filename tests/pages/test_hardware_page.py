"""What the tables of sparse kernels say where nothing, or little, was measured."""

from dataclasses import replace

import pytest

from simlib.pages import hardware
from simlib.runs.timings import TRAINING_ROWS, ServingTiming, StepTiming, Timing
from simlib.simulate.kerneltimes import load_timings

SERVED = ServingTiming("t5", 64, 2, 0.5, 16, 1000.0, 3000.0, 3.0, 2.5, 3.5, 5, 0.0)
STEP = StepTiming("gpt", 64, 2, 0.75, 512, 10.0, 5.0, 2.0, 1.9, 2.1, 5, 7, 1e-7)


def test_words_follow_the_quartiles() -> None:
    slow = replace(STEP, speedup=0.8, low=0.7, high=0.9)
    scattered = replace(STEP, speedup=1.4, low=0.9)
    said = hardware.gains([STEP, slow, scattered])
    assert said.startswith("1 of 3")
    assert "2.0 times" in said
    assert hardware.gains([]) == "none, since none was measured"


def test_where_nothing_was_switched_the_table_says_masks() -> None:
    (row,) = hardware.switches_table([]).rows
    assert row[-1] == "masks"


def test_shipped_whole_models_computed_the_same() -> None:
    shipped = load_timings("cpu")
    assert shipped.steps
    assert shipped.serving
    assert max(s.loss_gap for s in shipped.steps) < 1e-4
    assert max(s.logit_gap for s in shipped.serving) < 1e-4


def timing(
    product: str, speedup: float, width: int = 128, sparsity: float = 0.5, kernel: str = "a", **more
) -> Timing:
    """A product with quartiles close about its speed-up."""
    ends = (speedup * 0.99, speedup * 1.01)
    rows = more.get("rows", TRAINING_ROWS)
    return Timing(kernel, product, width, rows, sparsity, speedup, 1.0, speedup, *ends, 5)


def step(speedup: float, **more: object) -> list[Timing]:
    """All products of a training step, equally faster."""
    return [timing(p, speedup, **more) for p in ("forward", "to inputs", "to weights")]


def test_axes_are_those_of_training_steps() -> None:
    rows = [*step(2.0, width=256), *step(2.0, sparsity=0.75), timing("forward", 2.0, 512, rows=1)]
    assert hardware.widths(rows) == [128, 256]
    assert hardware.levels(rows) == [0.5, 0.75]


def test_products_stand_by_kernel_with_a_gap_where_nothing_was_measured() -> None:
    rows = [*step(2.0), timing("forward", 3.0, sparsity=0.75), *step(9.0, width=256)]
    table = hardware.products_table(rows, 128)
    assert table.rows[0] == ("a", "forward", "2.0 × (2.0 to 2.0)", "3.0 × (3.0 to 3.0)")
    assert [row[-1] for row in table.rows[1:]] == ["", ""]


def test_what_the_requirements_do_not_install_counts_for_all_kernels_alone() -> None:
    rows = [*step(2.0), *step(4.0, kernel=hardware.EXTRA[0])]
    assert hardware.installed_only(rows) == rows[:3]
    assert [row[1:] for row in hardware.steps_table(rows).rows] == [
        ("installed", "2.00 ×"),
        ("all", "4.00 ×"),
    ]


def test_a_whole_run_gains_less_than_its_last_step() -> None:
    rows = step(2.0)
    gain = hardware.run_speedup(rows, 128, 0.5)
    assert 1 < gain < 2
    assert hardware.run_speedup(step(0.5), 128, 0.5) == pytest.approx(1)
    ((width, cell),) = hardware.runs_table(rows).rows
    assert width == "128"
    assert float(cell.removesuffix(" ×")) == pytest.approx(gain, abs=0.005)


def test_serving_names_the_fastest_kernel_of_each_shape() -> None:
    few = [timing("forward", s, kernel=k, rows=1) for k, s in (("slow", 1.0), ("fast", 2.0))]
    table = hardware.serving_table([*few, *step(9.0)])
    (row,) = table.rows
    assert row[:2] == ("1", "128")
    assert row[2].endswith(" fast")


def test_whole_models_say_how_far_answers_lie_apart() -> None:
    (row,) = hardware.whole_steps_table([STEP]).rows
    assert row[-1] == "1e-7"
    (row,) = hardware.whole_models_table([SERVED]).rows
    assert row[4:6] == ("1,000", "3,000")
    assert row[-1] == "not at all"


def test_a_level_pays_where_its_quartiles_lie_above_one() -> None:
    rows = [*step(0.9), *step(1.5, sparsity=0.75), *step(2.0, sparsity=0.875)]
    assert hardware.least_paying(rows, 128) == 0.75
    assert hardware.least_paying(rows, 256) is None


def test_the_chart_of_forward_products_counts_those_that_pay() -> None:
    rows = [*step(0.9), *step(1.5, sparsity=0.75)]
    chart = hardware.break_even(rows).to_dict()
    assert "1 of the 2 points" in " ".join(chart["description"].split())
