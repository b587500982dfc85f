"""Times of kernels: a rule that scatter does not fool, a cost that follows."""

import json

import pytest
from click.testing import CliRunner

from simlib.cli import cli
from simlib.errors import InputError
from simlib.runs.timings import TRAINING_ROWS, Timing
from simlib.simulate.kerneltimes import (
    CATALOG,
    TimingFile,
    load_timings,
    pays,
    step_speedup,
    step_speedups,
)
from simlib.simulate.speedup import parse_speedups


def timing(product, dense, sparse, spread=0.0, kernel="a", S=0.5):
    ratio = dense / sparse
    ends = (ratio - spread, ratio + spread)
    return Timing(kernel, product, 128, 512, S, dense, sparse, ratio, *ends, 5)


def test_a_kernel_inside_its_scatter_does_not_pay_and_the_step_stays_dense():
    faster = [timing(p, 1.0, 0.5) for p in ("forward", "to inputs", "to weights")]
    assert step_speedup(faster, 128, 0.5) == pytest.approx(2)
    scattered = [timing(p, 1.0, 0.9, spread=0.5) for p in ("forward", "to inputs", "to weights")]
    assert not any(pays(t) for t in scattered)
    assert step_speedup(scattered, 128, 0.5) == 1
    slower = [timing(p, 1.0, 4.0) for p in ("forward", "to inputs", "to weights")]
    assert step_speedup(slower, 128, 0.5) == 1


def test_a_joint_backward_kernel_stands_in_for_both_products_where_it_is_faster():
    one = [timing("forward", 1.0, 0.5), timing("to inputs", 1.0, 0.8), timing("to weights", 1, 2)]
    assert step_speedup(one, 128, 0.5) == pytest.approx(3 / (0.5 + 0.8 + 1))
    both = [*one, timing("backward", 2.0, 0.5, kernel="b")]
    assert step_speedup(both, 128, 0.5) == pytest.approx(3 / (0.5 + 0.5))


def test_noise_between_dense_measurements_is_no_gain():
    """Both backward products timed together came out shorter than their sum, and nothing pays."""
    slow = [timing(p, 1.0, 3.0) for p in ("forward", "to inputs", "to weights")]
    assert step_speedup([*slow, timing("backward", 1.5, 4.0, kernel="b")], 128, 0.5) == 1


def test_shipped_steps_gain_only_where_some_kernel_pays():
    rows = load_timings("cpu").timings
    at = [t for t in rows if t.rows == TRAINING_ROWS]
    for width, S in {(t.width, t.sparsity) for t in at}:
        some = [t.speedup for t in at if (t.width, t.sparsity) == (width, S) and pays(t)]
        assert 1 <= step_speedup(rows, width, S) <= max([1.0, *some])


def test_a_plan_takes_measured_speedups_by_file_and_width(tmp_path):
    path = tmp_path / "mine.json"
    rows = [
        timing(p, 1.0, 0.5, S=s)
        for p in ("forward", "to inputs", "to weights")
        for s in (0.5, 0.75)
    ]
    CATALOG.write(path, TimingFile({}, {}, rows))
    assert step_speedups(rows, 128) == ((0.5, 2.0), (0.75, 2.0))
    cost = parse_speedups(f"{path}@128")
    assert cost.speedup([0.25, 0.5, 0.8]) == pytest.approx([1.5, 2, 2])
    plan = ["plan", "--law", "t5-c4-refit", "--flops", "1e22", "--json"]
    sparse = [
        json.loads(CliRunner().invoke(cli, [*plan, *more]).stdout)["sparse"]["loss"]
        for more in ([], ["--speedup", f"{path}@128"])
    ]
    assert sparse[1] < sparse[0]


def test_mistakes_are_refused():
    for text, said in (
        ("nothing@128", "no set of kernel timings"),
        ("half", "sparsity:factor pairs"),
        ("cpu@7", "width 7 was not measured"),
    ):
        with pytest.raises(InputError, match=said):
            parse_speedups(text)
    with pytest.raises(InputError, match="no training step"):
        step_speedup([timing("forward", 1, 1)], 128, 0.5)
