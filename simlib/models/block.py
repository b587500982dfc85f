"""The one transformer block: pre-norm attention and MLP, without biases.

Shape suffixes: B batch, L positions (M of the memory in cross-attention), W width, H heads,
K head size, F hidden size of the MLP.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from simlib.models import fused
from simlib.models.linear import Linear
from simlib.runs.shape import Shape


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection (q, k and v are one matrix)."""

    def __init__(self, shape: Shape, causal: bool, qk_norm: bool) -> None:
        super().__init__()
        self.heads, self.causal = shape.heads, causal
        self.qkv = Linear(shape.width, 3 * shape.width)
        self.out = Linear(shape.width, shape.width)
        self.norm_q, self.norm_k = _head_norms(shape, qk_norm)

    def forward(self, x_BxLxW: Tensor, bias_HxLxL: Tensor | None = None) -> Tensor:
        B, L, W = x_BxLxW.shape
        split = self.qkv(x_BxLxW).view(B, L, 3, self.heads, W // self.heads)
        q_BxHxLxK, k_BxHxLxK, v_BxHxLxK = split.permute(2, 0, 3, 1, 4).unbind(0)
        q_BxHxLxK, k_BxHxLxK = self.norm_q(q_BxHxLxK), self.norm_k(k_BxHxLxK)
        return self.out(_attend(q_BxHxLxK, k_BxHxLxK, v_BxHxLxK, bias_HxLxL, self.causal))


class CrossAttention(nn.Module):
    """Attention of a decoder to the encoder's outputs; k and v are one matrix."""

    def __init__(self, shape: Shape, qk_norm: bool) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q = Linear(shape.width, shape.width)
        self.kv = Linear(shape.width, 2 * shape.width)
        self.out = Linear(shape.width, shape.width)
        self.norm_q, self.norm_k = _head_norms(shape, qk_norm)

    def forward(self, x_BxLxW: Tensor, memory_BxMxW: Tensor) -> Tensor:
        B, L, W = x_BxLxW.shape
        K = W // self.heads
        q_BxHxLxK = self.q(x_BxLxW).view(B, L, self.heads, K).transpose(1, 2)
        split = self.kv(memory_BxMxW).view(B, memory_BxMxW.shape[1], 2, self.heads, K)
        k_BxHxMxK, v_BxHxMxK = split.permute(2, 0, 3, 1, 4).unbind(0)
        q_BxHxLxK, k_BxHxMxK = self.norm_q(q_BxHxLxK), self.norm_k(k_BxHxMxK)
        return self.out(_attend(q_BxHxLxK, k_BxHxMxK, v_BxHxMxK, None, False))


def _gain(module: nn.Module) -> Tensor | None:
    """The gain of a norm; None where there is no norm in its place."""
    return module.weight if isinstance(module, nn.LayerNorm) else None


def _head_norms(shape: Shape, qk_norm: bool) -> tuple[nn.Module, nn.Module]:
    """Norms of queries and keys over the head size, or nothing in their place.

    Scores of normed queries and keys are bounded, so that attention cannot saturate at high
    learning rates (Dehghani et al. 2023, section 2; Wortsman et al. 2024, section 3.1).
    """
    if not qk_norm:
        return nn.Identity(), nn.Identity()
    head_size = shape.width // shape.heads
    return norm(head_size), norm(head_size)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool) -> Tensor:
    """Mixed values (B, L, W) of queries, keys and values (B, H, L or M, K)."""
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        mixed_BxHxLxK = _attend_by_products(q, k, v, bias, causal)
    else:
        mixed_BxHxLxK = functional.scaled_dot_product_attention(q, k, v, bias, is_causal=causal)
    return mixed_BxHxLxK.transpose(1, 2).flatten(2)


def _attend_by_products(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool
) -> Tensor:
    """The same as two matrix products: on a CPU in bfloat16 several times as fast as the fused
    kernel (torch 2.13; `benchmarks/kernels.py`).
    """
    scores_BxHxLxM = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if causal:
        future_LxM = scores_BxHxLxM.new_full(scores_BxHxLxM.shape[-2:], -math.inf).triu_(1)
        scores_BxHxLxM = scores_BxHxLxM + future_LxM
    if bias is not None:
        scores_BxHxLxM = scores_BxHxLxM + bias.to(scores_BxHxLxM.dtype)
    return torch.softmax(scores_BxHxLxM, -1) @ v


class Mlp(nn.Module):
    """Two layers with a GELU between."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = Linear(shape.width, shape.hidden)
        self.down = Linear(shape.hidden, shape.width)

    def forward(self, x_BxLxW: Tensor) -> Tensor:
        return self.down(functional.gelu(self.up(x_BxLxW)))


class GatedMlp(nn.Module):
    """The GELU of one half of the hidden units gates the other (Shazeer 2020, T5 1.1)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = Linear(shape.width, 2 * shape.hidden)
        self.down = Linear(shape.hidden, shape.width)

    def forward(self, x_BxLxW: Tensor) -> Tensor:
        gate_BxLxF, value_BxLxF = self.up(x_BxLxW).chunk(2, dim=-1)
        return self.down(functional.gelu(gate_BxLxF) * value_BxLxF)


class TransformerBlock(nn.Module):
    """Attention, cross-attention if asked for, MLP; each after a norm, each added to its input.

    With `fused` each of them is one operation: see `simlib.models.fused`.
    """

    fused = False

    def __init__(
        self,
        shape: Shape,
        *,
        causal: bool,
        cross: bool = False,
        gated: bool = False,
        qk_norm: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = norm(shape.width)
        self.attention = Attention(shape, causal, qk_norm)
        self.norm_cross = norm(shape.width) if cross else None
        self.cross = CrossAttention(shape, qk_norm) if cross else None
        self.norm2 = norm(shape.width)
        self.mlp = GatedMlp(shape) if gated else Mlp(shape)

    def forward(
        self, x_BxLxW: Tensor, bias_HxLxL: Tensor | None = None, memory_BxMxW: Tensor | None = None
    ) -> Tensor:
        if self.fused:
            return self._forward_fused(x_BxLxW, bias_HxLxL, memory_BxMxW)
        x_BxLxW = x_BxLxW + self.attention(self.norm1(x_BxLxW), bias_HxLxL)
        if self.cross is not None and self.norm_cross is not None:
            x_BxLxW = x_BxLxW + self.cross(self.norm_cross(x_BxLxW), memory_BxMxW)
        return x_BxLxW + self.mlp(self.norm2(x_BxLxW))

    def _forward_fused(
        self, x_BxLxW: Tensor, bias_HxLxL: Tensor | None, memory_BxMxW: Tensor | None
    ) -> Tensor:
        own, cross, mlp = self.attention, self.cross, self.mlp
        x_BxLxW = fused.attention(
            x_BxLxW,
            self.norm1.weight,
            own.qkv.weight,
            own.out.weight,
            (_gain(own.norm_q), _gain(own.norm_k)),
            heads=own.heads,
            causal=own.causal,
            bias_HxLxM=bias_HxLxL,
        )
        if cross is not None and self.norm_cross is not None:
            x_BxLxW = fused.attention(
                x_BxLxW,
                self.norm_cross.weight,
                cross.q.weight,
                cross.out.weight,
                (_gain(cross.norm_q), _gain(cross.norm_k)),
                heads=cross.heads,
                memory_BxMxW=memory_BxMxW,
                w_memory=cross.kv.weight,
            )
        gated = isinstance(mlp, GatedMlp)
        return fused.mlp(x_BxLxW, self.norm2.weight, mlp.up.weight, mlp.down.weight, gated=gated)


def norm(width: int) -> nn.LayerNorm:
    """Layer norm with a gain and no bias."""
    return nn.LayerNorm(width, bias=False)


@torch.no_grad()
def initialise(model: nn.Module, depth: int) -> None:
    """Draw the weights of every linear layer and embedding from torch's generator.

    Matrices have standard deviation 1/sqrt(inputs), so that signals keep their size at every
    width; those that write to the residual stream are smaller by sqrt(2 depth) (Radford et al.
    2019). Positions and the output layer have 0.02 (GPT-2), token embeddings 0.1: at widths up
    to 100 the smaller value cost 0.04 to 0.09 nats after 2,000 steps, and 1.0 cost more.
    """
    for name, module in model.named_modules():
        if not isinstance(module, nn.Embedding | nn.Linear):
            continue
        if name.endswith(("position", "bias", "head")):
            std = 0.02
        elif isinstance(module, nn.Embedding):
            std = 0.1
        else:
            writes = name.endswith((".out", ".down"))
            std = 1 / math.sqrt(module.in_features * (2 * depth if writes else 1))
        nn.init.normal_(module.weight, std=std)
