"""The gradients of a language model as one call: the kernels of an earlier step, once more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from simlib.models.fused import Applied, Call, Program, chain
from simlib.models.gpt import GPT
from simlib.train.feed import Batch


class Replay:
    """The kernels of a model's forward pass and their backward passes, for batch after batch.

    They work on the memory of the pass that `kernels` is the chain of, and on the weights where
    they lay: whoever moves weights makes a new replay. The results are those of autograd, to the
    bit; but between kernels of a small model autograd takes as long as they do.
    """

    def __init__(self, kernels: Sequence[Applied]) -> None:
        parameters = [p for kernel in kernels for p in kernel.parameters.values()]
        sizes = [p.numel() for p in parameters]
        self._sums = torch.zeros(sum(sizes))  # of gradients: the kernels add to what is there
        parts = zip(parameters, self._sums.split(sizes), strict=True)
        self._gradients = {p: part.view_as(p) for p, part in parts}
        tensors = [dict(kernel.tensors) for kernel in kernels]
        for place, name in ((0, "token"), (-1, "target")):  # they may lie in the feed's own memory
            tensors[place][name] = tensors[place][name].clone()
        self._tokens, self._targets = tensors[0]["token"], tensors[-1]["target"]
        self._losses = torch.empty(self._targets.shape)
        results = [*(own["x"] for own in tensors[1:]), self._losses]
        # one tensor is the gradient of every x in turn
        g, to_x = torch.ones_like(self._losses) / len(self._losses), torch.empty_like(results[0])
        calls = [
            Call(kernel.kind, "forward", kernel.sizes, own | {"y": y})
            for kernel, own, y in zip(kernels, tensors, results, strict=True)
        ]
        for kernel, own in zip(reversed(kernels), reversed(tensors), strict=True):
            to = {f"to_{name}": self._gradients[p] for name, p in kernel.parameters.items()}
            if "x" in own:
                to["to_x"] = to_x
            calls.append(Call(kernel.kind, "backward", kernel.sizes, own | to | {"g": g}))
            g = to_x
        self._program = Program(calls)

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


def recorded(model: nn.Module, loss: Tensor) -> Replay | None:
    """A replay of the forward pass that gave `loss`, before its backward pass; None if unable.

    It can be of a `GPT` whose pass is a chain of kernels: see `chain`.
    """
    kernels = chain(loss, list(model.parameters())) if isinstance(model, GPT) else []
    return Replay(kernels) if kernels else None
