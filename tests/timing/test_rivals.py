"""Kernels that are timed against each other compute the same products."""

import numpy as np
import pytest
import torch

from simlib.errors import InputError
from simlib.runs.timings import PRODUCTS
from simlib.timing.rivals import KERNELS, Operands, dense_products, kernels_here, time_shape


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


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(InputError, match="multiples of 16"):
        time_shape(20, 1, 0.5, 1)
    with pytest.raises(InputError, match="device 'tpu'"):
        kernels_here("tpu")
