"""Measured kernels: right products, a rule that scatter does not fool, a cost that follows."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from simlib.cli import cli
from simlib.errors import InputError
from simlib.models.sparsekernels import KERNELS, Operands, dense_products, kernels_here, time_shape
from simlib.runs.timings import PRODUCTS, TRAINING_ROWS, Timing
from simlib.simulate.kerneltimes import (
    SHELF,
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


def array(found):
    if isinstance(found, torch.Tensor):
        return found.to_dense().numpy() if found.layout != torch.strided else found.numpy()
    return np.asarray(found)


@pytest.mark.parametrize("kernel", ["torch CSR", "scipy CSR"])
def test_sparse_products_are_the_dense_ones_where_weights_remain(kernel):
    o = Operands(32, 48, 0.75, "cpu")
    assert (o.weight_OxI == 0).float().mean() == pytest.approx(0.75)
    mask = (o.weight_OxI != 0).numpy()
    with torch.no_grad():
        dense = dense_products(o)
        for product, action in KERNELS[kernel](o).items():
            expected = array(dense[product]["mm"]()) * (mask if product == "to weights" else 1)
            assert array(action()) == pytest.approx(expected, abs=1e-3)


def test_both_dense_rivals_compute_the_same():
    with torch.no_grad():
        for product, rivals in dense_products(Operands(32, 48, 0.5, "cpu")).items():
            mm, layer = rivals["mm"](), rivals["layer"]()
            pairs = zip(mm, layer, strict=True) if product == "backward" else [(mm, layer)]
            for one, other in pairs:
                turned = other.t() if one.shape != other.shape else other
                assert one.numpy() == pytest.approx(turned.numpy(), abs=1e-3)


def test_a_measurement_has_every_product_once_and_leaves_the_threads_alone():
    before = torch.get_num_threads()
    found = time_shape(32, 512, 0.75, 2, kernels=["torch CSR", "scipy CSR"])
    assert torch.get_num_threads() == before
    pairs = [(t.kernel, t.product) for t in found]
    assert len(set(pairs)) == len(pairs) == 5
    assert {t.product for t in time_shape(32, 1, 0.75, 2, kernels=["torch CSR"])} == {"forward"}
    assert all(t.low <= t.speedup <= t.high and t.product in PRODUCTS for t in found)


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
    SHELF.write(path, TimingFile({}, {}, rows))
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
    with pytest.raises(InputError, match="multiples of 16"):
        time_shape(20, 1, 0.5, 1)
    with pytest.raises(InputError, match="device 'tpu'"):
        kernels_here("tpu")
