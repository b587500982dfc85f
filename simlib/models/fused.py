"""Whole sublayers of a transformer as one operation each, by the kernels of `fused.c`.

A small model spends most of its time between operations: at width 16 a step made of torch's own
takes several times what its arithmetic does. The results are those of `block.py` up to the order
of sums. Float32, one thread of a CPU. Shape suffixes as in `block.py`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.optim import AdamW

from simlib.models.compiled import compiled

LARGEST_WIDTH = 256  # as far as it was measured to pay: `python benchmarks/suite.py --only fused`
WRITTEN = ("x", "memory")  # gradients that a kernel writes; to those of weights and gains it adds


def _structure(numbers: str, addresses: str) -> type[ctypes.Structure]:
    """A C struct of 64-bit integers, then pointers."""
    fields: list[tuple[str, Any]] = [(name, ctypes.c_int64) for name in numbers.split()]
    fields += [(name, ctypes.c_void_p) for name in addresses.split()]
    return type("Arguments", (ctypes.Structure,), {"_fields_": fields})


# the structs of `fused.c`
_ARGUMENTS = {
    "mlp": _structure(
        "rows width hidden gated", "x gain up down slope active y g to_x to_gain to_up to_down"
    ),
    "attention": _structure(
        "batch length memory_length width heads causal",
        "x memory gain w_x w_memory gain_q gain_k w_out bias from_x from_memory chances mixed y g "
        "to_x to_memory to_gain to_w_x to_w_memory to_gain_q to_gain_k to_w_out to_bias",
    ),
    "head": _structure(
        "rows width classes", "x gain weight target odds totals y g to_x to_gain to_weight"
    ),
    "embedding": _structure("batch length width", "token table position y g to_table to_position"),
}


def mlp(x_BxLxW: Tensor, gain: Tensor, up: Tensor, down: Tensor, *, gated: bool) -> Tensor:
    """`x + down(gelu(up(norm(x))))`; if `gated`, half of `up` multiplies the GELU of the rest."""
    rows = x_BxLxW.shape[:-1].numel()
    sizes = {"rows": rows, "width": x_BxLxW.shape[-1], "hidden": down.shape[1], "gated": gated}
    kept = {"slope": (rows, up.shape[0]), "active": (rows, down.shape[1])}
    inputs = {"x": x_BxLxW, "gain": gain, "up": up, "down": down}
    return _apply("mlp", sizes, kept, x_BxLxW.shape, inputs)


def attention(
    x_BxLxW: Tensor,
    gain: Tensor,
    w_x: Tensor,
    w_out: Tensor,
    gains: tuple[Tensor | None, Tensor | None],
    *,
    heads: int,
    causal: bool = False,
    bias_HxLxM: Tensor | None = None,
    memory_BxMxW: Tensor | None = None,
    w_memory: Tensor | None = None,
) -> Tensor:
    """`x + out(attention(norm(x)))`, to itself or to a memory.

    `w_x` is (3 W, W), or (W, W) for the queries alone where `w_memory` (2 W, W) makes keys and
    values of the memory. `gains` are those of the norms of queries and keys, or None.
    """
    B, L, W = x_BxLxW.shape
    M = L if memory_BxMxW is None else memory_BxMxW.shape[1]
    sizes = {
        "batch": B,
        "length": L,
        "memory_length": M,
        "width": W,
        "heads": heads,
        "causal": causal,
    }
    kept = {
        "from_x": (B, L, w_x.shape[0]),
        "chances": (B, heads, L, M),
        "mixed": (B, L, W),
    }
    if memory_BxMxW is not None:
        kept["from_memory"] = (B, M, 2 * W)
    inputs = {
        "x": x_BxLxW,
        "memory": memory_BxMxW,
        "gain": gain,
        "w_x": w_x,
        "w_memory": w_memory,
        "gain_q": gains[0],
        "gain_k": gains[1],
        "w_out": w_out,
        "bias": bias_HxLxM,
    }
    return _apply("attention", sizes, kept, x_BxLxW.shape, inputs)


def losses(x_MxW: Tensor, gain: Tensor | None, weight: Tensor, target_M: Tensor) -> Tensor:
    """Cross-entropy (M,) of the output layer's softmax, after a norm where there is a gain."""
    sizes = {"rows": x_MxW.shape[0], "width": x_MxW.shape[1], "classes": weight.shape[0]}
    rows = x_MxW.shape[0]
    kept: dict[str, Shape] = {}
    if torch.is_grad_enabled():
        kept = {"odds": (rows, weight.shape[0]), "totals": (rows,)}
    inputs = {"x": x_MxW, "gain": gain, "weight": weight}
    return _apply("head", sizes, kept, target_M.shape, inputs, {"target": target_M})


def embedding(tokens_BxL: Tensor, table: Tensor, position: Tensor | None = None) -> Tensor:
    """Rows of the table (B, L, W) and, where there are positions (L or more, W), those too."""
    B, L = tokens_BxL.shape
    sizes = {"batch": B, "length": L, "width": table.shape[1]}
    inputs = {"table": table, "position": position}
    return _apply("embedding", sizes, {}, (B, L, table.shape[1]), inputs, {"token": tokens_BxL})


Shape = tuple[int, ...]


def _apply(
    kind: str,
    sizes: Mapping[str, int],
    kept: Mapping[str, Shape],
    result: Shape,
    inputs: Mapping[str, Tensor | None],
    constants: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Apply a kernel to differentiable `inputs`; `kept` are shapes of what its backward reads."""
    names, values = tuple(inputs), [v if v is None else v.contiguous() for v in inputs.values()]
    fixed = {name: value.contiguous() for name, value in (constants or {}).items()}
    y: Tensor = _Kernel.apply(kind, sizes, kept, result, fixed, names, *values)
    return y


class _Kernel(Function):
    """Any of the kernels."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: str,
        sizes: Mapping[str, int],
        kept: Mapping[str, Shape],
        result: Shape,
        constants: dict[str, Tensor],
        names: tuple[str, ...],
        *values: Tensor | None,
    ) -> Tensor:
        given = dict(zip(names, values, strict=True))
        like = next(v for v in values if v is not None)
        rooms = {name: like.new_empty(shape) for name, shape in kept.items()}
        y = like.new_empty(result)
        Call(kind, "forward", sizes, {**given, **constants, **rooms, "y": y})()
        ctx.kind, ctx.sizes, ctx.names = kind, sizes, names
        ctx.also = (*constants, *rooms)
        ctx.save_for_backward(*values, *constants.values(), *rooms.values())
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tensors = dict(zip((*ctx.names, *ctx.also), ctx.saved_tensors, strict=True))
        to = {name: _room(name, tensors[name]) for name in ctx.names}
        tensors |= {f"to_{name}": room for name, room in to.items()}
        tensors["g"] = gradients[0].contiguous()
        Call(ctx.kind, "backward", ctx.sizes, tensors)()
        return (*(None,) * 6, *to.values())


def _room(name: str, value: Tensor | None) -> Tensor | None:
    """Memory for the gradient of an input."""
    if value is None:
        return None
    return torch.empty_like(value) if name in WRITTEN else torch.zeros_like(value)


class Applied(NamedTuple):
    """A kernel of a forward pass, with all that its backward pass reads.

    `parameters` are those of its `tensors` that are trained, by the same names.
    """

    kind: str
    sizes: Mapping[str, int]
    tensors: dict[str, Tensor]
    parameters: dict[str, Tensor]


def chain(loss: Tensor, parameters: Collection[Tensor]) -> list[Applied]:
    """The kernels of a forward pass in their order, where they are all there is in it.

    That is so if `loss` is the mean of what the last one returns, each takes as x what the one
    before it returned, and whatever else they differentiate by are the parameters, each once. Of
    any other forward pass the list is empty. To be asked before the backward pass.
    """
    found: list[Applied] = []
    left, mean = set(parameters), loss.grad_fn
    if mean is None or mean.name() != "MeanBackward0":
        return []
    node: Any = mean.next_functions[0][0]
    while node is not None:
        while node.name() == "ViewBackward0":  # the same numbers under another shape
            node = node.next_functions[0][0]
        if node.name() != "_KernelBackward":
            return []
        saved = zip((*node.names, *node.also), node.saved_tensors, strict=True)
        tensors = {name: tensor for name, tensor in saved if tensor is not None}
        given = [name for name in node.names if name in tensors]
        sources = dict(zip(given, (source for source, _ in node.next_functions), strict=True))
        before = sources.pop("x", None)
        own: Any = {name: getattr(source, "variable", None) for name, source in sources.items()}
        if not left.issuperset(own.values()):
            return []
        left.difference_update(own.values())
        found.insert(0, Applied(node.kind, node.sizes, tensors, own))
        node = before
    return [] if left or "x" in found[0].tensors else found


class Call(NamedTuple):
    """A kernel, "forward" or "backward", and contiguous tensors for it."""

    kind: str
    direction: str
    sizes: Mapping[str, int]
    tensors: Mapping[str, Tensor | None]

    def prepared(self) -> tuple[Any, ctypes.Structure]:
        """The function and its arguments, which hold while the tensors live."""
        addresses = {name: t.data_ptr() for name, t in self.tensors.items() if t is not None}
        function = getattr(compiled("fused"), f"{self.kind}_{self.direction}")
        return function, _ARGUMENTS[self.kind](**self.sizes, **addresses)

    def __call__(self) -> None:
        """Make this call. Raises MemoryError if there is none for scratch space."""
        function, arguments = self.prepared()
        if function(ctypes.byref(arguments)):
            raise MemoryError(f"no memory for the scratch space of the {self.kind} kernel")


class _Prepared(ctypes.Structure):
    """A call, as `play` in `fused.c` sees it."""

    _fields_ = [("function", ctypes.c_void_p), ("arguments", ctypes.c_void_p)]


class Program:
    """Calls that are made together, in order and each time on the same memory."""

    def __init__(self, calls: Sequence[Call]) -> None:
        prepared = [call.prepared() for call in calls]
        self._calls = (_Prepared * len(calls))(
            *(_Prepared(ctypes.cast(f, ctypes.c_void_p), ctypes.addressof(a)) for f, a in prepared)
        )
        self._used = calls, prepared

    def __call__(self) -> None:
        """Make them all. Raises MemoryError if there is none for scratch space."""
        if compiled("fused").play(ctypes.c_int64(len(self._calls)), self._calls):
            raise MemoryError("no memory for the scratch space of a training step")


def fuse(model: nn.Module, fused: bool = True) -> None:
    """Let the models and blocks of this package use these operations from now on, or not."""
    for module in model.modules():
        if hasattr(module, "fused"):
            setattr(module, "fused", fused)  # noqa: B010  a flag of the class, not a submodule


class _Trained(ctypes.Structure):
    """A parameter, as `adamw` in `fused.c` sees it."""

    _fields_ = [
        ("size", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("value", "gradient", "first", "second", "keep")),
        ("decay", ctypes.c_float),
    ]


class _Step(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_int64),
        ("hold", ctypes.c_int64),
        ("tensors", ctypes.POINTER(_Trained)),
        *(
            (name, ctypes.c_float)
            for name in (
                *("rate", "beta1", "beta2", "correction1", "correction2", "eps", "limit"),
                "norm",
            )
        ),
    ]


class AdamWUpdate:
    """Clipping, the update and the masks of an AdamW optimizer in one pass over its parameters.

    The optimizer keeps its state, in the tensors that its own `step` uses; `store` brings their
    count of steps up to date, and then either may go on from the other. Every parameter must have
    a gradient.

    keep: by parameter, 1 where a weight is trained and 0 where it and its moments are held at
    zero; its gradient is then left out of the norm. `limit`: largest joint norm, 0 for none.
    """

    def __init__(self, optimizer: AdamW, keep: Mapping[nn.Parameter, Tensor], limit: float) -> None:
        self.optimizer = optimizer
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        _begin(optimizer, self.parameters)
        self.steps = int(optimizer.state[self.parameters[0]]["step"])
        self.tensors = (_Trained * len(self.parameters))()
        decays = [g["weight_decay"] for g in optimizer.param_groups for _ in g["params"]]
        for place, parameter, decay in zip(self.tensors, self.parameters, decays, strict=True):
            state, mask = optimizer.state[parameter], keep.get(parameter)
            place.size, place.value = parameter.numel(), parameter.data_ptr()
            place.first, place.second = state["exp_avg"].data_ptr(), state["exp_avg_sq"].data_ptr()
            place.keep = None if mask is None else mask.data_ptr()
            place.decay = decay
        self.step = _Step(count=len(self.parameters), tensors=self.tensors, limit=limit)

    def __call__(self, hold: bool = True) -> float:
        """Update every parameter; the norm of the gradients before clipping.

        Without `hold`, weights that are not kept are updated like others: a change of masks that
        follows at once sets them.
        """
        self.steps += 1
        group, step = self.optimizer.param_groups[0], self.step
        step.hold = hold
        for place, parameter in zip(self.tensors, self.parameters, strict=True):
            place.gradient = parameter.grad.data_ptr()
        step.rate, step.eps, (step.beta1, step.beta2) = group["lr"], group["eps"], group["betas"]
        step.correction1 = 1 - group["betas"][0] ** self.steps
        step.correction2 = 1 - group["betas"][1] ** self.steps
        compiled("fused").adamw(ctypes.byref(step))
        return float(step.norm)

    def store(self) -> None:
        """Write the count of steps into the optimizer's state."""
        for parameter in self.parameters:
            self.optimizer.state[parameter]["step"].fill_(self.steps)


def _begin(optimizer: AdamW, parameters: Sequence[Tensor]) -> None:
    """Give a new optimizer its zeros."""
    for parameter in parameters:
        if not optimizer.state[parameter]:
            zeros = {n: torch.zeros_like(parameter) for n in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {"step": torch.zeros(()), **zeros}
