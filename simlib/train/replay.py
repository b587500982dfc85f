"""The gradients of a language model as one call: the kernels of an earlier step, once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from simlib.models.fused import Applied, Call, Program, chain
from simlib.models.gpt import GPT
from simlib.train.batches import Batch


class Replay:
    """The kernels of a model's forward pass and their backward passes, for batch after batch.

    They work on the memory of the pass that `kernels` is the chain of, which is kept for that, and
    on the weights where they lay: whoever moves weights makes a new replay. The results are those
    of autograd, to the bit. What autograd does between the kernels of a small model takes half as
    long as they do.
    """

    def __init__(self, kernels: Sequence[Applied]) -> None:
        first, last = _with_copy(kernels[0], "token"), _with_copy(kernels[-1], "target")
        kernels = [first, *kernels[1:-1], last]
        self._tokens, self._targets = first.tensors["token"], last.tensors["target"]
        self._losses = torch.empty(self._targets.shape)
        parameters = [p for kernel in kernels for p in kernel.parameters.values()]
        sizes = [p.numel() for p in parameters]
        self._sums = torch.zeros(sum(sizes))  # of gradients: the kernels add to what is there
        parts = zip(parameters, self._sums.split(sizes), strict=True)
        self._gradients = {p: part.view_as(p) for p, part in parts}
        backward = _backward(kernels, self._gradients)
        self._program = Program([*_forward(kernels, self._losses), *backward])

    def fits(self, batch: Batch) -> bool:
        """Whether a batch has the shape of the first."""
        examples, length = self._tokens.shape
        return batch[0].shape == (examples, length + 1)

    def __call__(self, batch: Batch) -> Tensor:
        """Set the gradients of a batch; its loss."""
        tokens, targets = GPT.split(batch[0])
        self._tokens.copy_(tokens)
        self._targets.copy_(targets)
        self._sums.zero_()
        self._program()
        for parameter, gradient in self._gradients.items():
            parameter.grad = gradient
        return self._losses.mean()


def _with_copy(kernel: Applied, name: str) -> Applied:
    """The same with a tensor of its own: what it was given may lie in the memory of the batches."""
    return kernel._replace(tensors=kernel.tensors | {name: kernel.tensors[name].clone()})


def _forward(kernels: Sequence[Applied], losses: Tensor) -> Iterator[Call]:
    results = [*(kernel.tensors["x"] for kernel in kernels[1:]), losses]
    for kernel, y in zip(kernels, results, strict=True):
        yield Call(kernel.kind, "forward", kernel.sizes, kernel.tensors | {"y": y})


def _backward(kernels: Sequence[Applied], gradients: Mapping[Tensor, Tensor]) -> Iterator[Call]:
    """From the mean of the losses; one tensor is the gradient of every x in turn."""
    last = kernels[-1].tensors
    g, to_x = torch.ones(len(last["target"])) / len(last["target"]), torch.empty_like(last["x"])
    for kernel in reversed(kernels):
        to = {f"to_{name}": gradients[p] for name, p in kernel.parameters.items()} | {"g": g}
        if "x" in kernel.tensors:
            to["to_x"] = to_x
        yield Call(kernel.kind, "backward", kernel.sizes, kernel.tensors | to)
        g = to_x


def recorded(model: nn.Module, loss: Tensor) -> Replay | None:
    """A replay of the forward pass that gave `loss`, before its backward pass; None if unable.

    It can be of a `GPT` whose pass is a chain of kernels: see `chain`.
    """
    kernels = chain(loss, list(model.parameters())) if isinstance(model, GPT) else []
    return Replay(kernels) if kernels else None
