"""The names that torch does not promise are there and do what they are used for."""

import pytest
import torch
from torch import Tensor

from simlib.sparsify import compat

LOST = "torch {version} changed {name}, which {use}: mend simlib/sparsify/compat.py"


def lost(name: str, use: str) -> str:
    return LOST.format(version=torch.__version__, name=name, use=use)


@pytest.fixture
def tensors() -> list[Tensor]:
    return [torch.tensor([1.0, -2.0, 4.0]), torch.tensor([[3.0, 4.0]])]


def test_many_tensors_are_multiplied_at_once(tensors: list[Tensor]) -> None:
    said = lost("torch._foreach_mul_", "holds pruned weights at zero and clips gradients")
    compat.scale_(tensors, [torch.tensor([1.0, 0.0, 1.0]), torch.tensor([[0.0, 1.0]])])
    assert [t.tolist() for t in tensors] == [[1, 0, 4], [[0, 4]]], said
    compat.scale_(tensors, torch.tensor(0.5))
    assert [t.tolist() for t in tensors] == [[0.5, 0, 2], [[0, 2]]], said


def test_products_leave_their_factors_alone(tensors: list[Tensor]) -> None:
    said = lost("torch._foreach_mul", "leaves pruned weights out of the gradient norm")
    products = compat.scaled(tensors, [torch.zeros(3), torch.ones(1, 2)])
    assert [p.tolist() for p in products] == [[0, 0, 0], [[3, 4]]], said
    assert tensors[0].tolist() == [1, -2, 4], said


def test_norms_are_euclidean(tensors: list[Tensor]) -> None:
    said = lost("torch._foreach_norm", "measures gradients for clipping")
    assert [float(n) for n in compat.norms(tensors)] == [pytest.approx(21**0.5), 5], said


def test_averages_move_by_a_share_of_the_way(tensors: list[Tensor]) -> None:
    said = lost("torch._foreach_lerp_", "averages weights")
    compat.move_towards_(tensors, [torch.zeros(3), torch.full((1, 2), 7.0)], 0.25)
    assert [t.tolist() for t in tensors] == [[0.75, -1.5, 3], [[4, 4.75]]], said


def test_a_change_is_counted_also_through_a_view(tensors: list[Tensor]) -> None:
    said = lost("Tensor._version", "tells whether weights have changed since they were read")
    weight = tensors[0]
    before = compat.change_count(weight)
    assert compat.change_count(weight) == before, said
    weight.view(-1)[0] = 5.0
    assert compat.change_count(weight) > before, said


def test_onednn_multiplies_where_torch_is_built_with_it() -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch is built without oneDNN")
    product = compat.onednn_product()
    said = lost("torch.ops.mkldnn._linear_pointwise", "multiplies in linear layers on a CPU")
    assert product is not None, f"{said}; until then layers are only slower"
    x, y = torch.randn(5, 40), torch.randn(33, 40)
    torch.testing.assert_close(product(x, y), x @ y.T, msg=lambda text: f"{said}\n{text}")
    z = torch.randn(33, 7)  # transposed factors are what gradients need
    torch.testing.assert_close(product(y.T, z.T), y.T @ z, msg=lambda text: f"{said}\n{text}")
