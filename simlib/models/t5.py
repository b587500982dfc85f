"""An encoder-decoder language model over bytes, in the style of T5 1.1."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from simlib.models import fused
from simlib.models.block import TransformerBlock, initialise, norm
from simlib.models.linear import Linear
from simlib.runs.shape import Shape

BUCKETS, FARTHEST = 32, 128  # of relative positions (Raffel et al. 2020, section 2.1)


class RelativeBias(nn.Module):
    """What every head adds to its scores for each distance between two positions.

    Near distances have a bucket each, far ones share buckets that grow by a constant factor up to
    `FARTHEST`; with two sides, half of the buckets are for what comes after.
    """

    def __init__(self, heads: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.bias = nn.Embedding(BUCKETS, heads)

    @torch.no_grad()
    def slope(self) -> None:
        """Let head h fall by `2 * 2^-h` a bucket, h = 0 for the first, on both sides alike.

        As in Press et al. (2022, ALiBi) every head begins with a reach of its own, the first with
        the next few tokens; here the slopes are trained. In a flat bias no head can say where
        anything is before it has learned it.
        """
        sides = 1 if self.causal else 2
        distance_N = torch.arange(BUCKETS // sides).repeat(sides)
        steepness_H = 2 * 2.0 ** -torch.arange(self.bias.embedding_dim)
        self.bias.weight -= distance_N[:, None] * steepness_H

    def forward(self, length: int) -> Tensor:
        """Bias (H, length, length) of query by key; -inf on the future in a causal stack."""
        place_L = torch.arange(length, device=self.bias.weight.device)
        after_LxL = place_L[None, :] - place_L[:, None]
        bias_HxLxL = self.bias(self._bucket(after_LxL)).permute(2, 0, 1)
        if not self.causal:
            return bias_HxLxL
        return bias_HxLxL.masked_fill(after_LxL > 0, -math.inf)

    def _bucket(self, after_LxL: Tensor) -> Tensor:
        if self.causal:
            return _far_bucket(-after_LxL.clamp(max=0), BUCKETS)
        half = BUCKETS // 2
        return half * (after_LxL > 0) + _far_bucket(after_LxL.abs(), half)


def _far_bucket(distance: Tensor, buckets: int) -> Tensor:
    """Bucket of a distance >= 0: itself below half, on a logarithmic scale above."""
    exact = buckets // 2
    share = torch.log(distance.clamp(min=1) / exact) / math.log(FARTHEST / exact)
    far = exact + (share * (buckets - exact)).long()
    return torch.where(distance < exact, distance, far.clamp(max=buckets - 1))


class Stack(nn.Module):
    """Blocks with one relative bias for all of them, and a norm after the last."""

    def __init__(self, shape: Shape, *, decoder: bool, qk_norm: bool) -> None:
        super().__init__()
        self.position = RelativeBias(shape.heads, causal=decoder)
        # the bias carries the causal mask, so attention itself adds none
        self.blocks = nn.ModuleList(
            TransformerBlock(shape, causal=False, cross=decoder, gated=True, qk_norm=qk_norm)
            for _ in range(shape.depth)
        )
        self.norm = norm(shape.width)

    def forward(self, x_BxLxW: Tensor, memory_BxMxW: Tensor | None = None) -> Tensor:
        bias_HxLxL = self.position(x_BxLxW.shape[1])
        for block in self.blocks:
            x_BxLxW = block(x_BxLxW, bias_HxLxL, memory_BxMxW)
        return self.norm(x_BxLxW)


class T5(nn.Module):
    """Encoder and decoder of `depth` blocks each, one token embedding, an untied output layer.

    A batch is `(inputs, targets)`, int64 (B, M) and (B, L), as span corruption makes them: the
    highest token ends every target, and begins the decoder's input in place of it. Layer norms
    and scaled scores are those of the other families, where T5 has neither mean nor scale.
    `slopes`: heads begin with a preference for what is near, in both stacks.
    """

    fused = False  # see simlib.models.fused

    def __init__(
        self, shape: Shape, vocab_size: int, *, qk_norm: bool = True, slopes: bool = False
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, shape.width)
        self.encoder = Stack(shape, decoder=False, qk_norm=qk_norm)
        self.decoder = Stack(shape, decoder=True, qk_norm=qk_norm)
        self.head = Linear(shape.width, vocab_size)
        initialise(self, shape.depth)
        if slopes:
            self.encoder.position.slope()
            self.decoder.position.slope()

    def forward(self, inputs_BxM: Tensor, targets_BxL: Tensor) -> Tensor:
        """Logits (B, L, vocabulary) for each target, given the inputs and earlier targets."""
        return self.head(self._states(inputs_BxM, targets_BxL))

    def _states(self, inputs_BxM: Tensor, targets_BxL: Tensor) -> Tensor:
        """What the decoder's norm leaves (B, L, W)."""
        memory_BxMxW = self.encoder(self._embed(inputs_BxM))
        begun_BxL = functional.pad(targets_BxL[:, :-1], (1, 0), value=self.embed.num_embeddings - 1)
        states_BxLxW: Tensor = self.decoder(self._embed(begun_BxL), memory_BxMxW)
        return states_BxLxW

    def _embed(self, tokens_BxL: Tensor) -> Tensor:
        if self.fused:
            return fused.embedding(tokens_BxL, self.embed.weight)
        rows_BxLxW: Tensor = self.embed(tokens_BxL)
        return rows_BxLxW

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean cross-entropy, nats per target token, sentinels counted."""
        return self._cross_entropy(batch, "mean")

    def losses(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy of each example (B,), nats per target token."""
        return self._cross_entropy(batch, "none").view(batch[0].shape[0], -1).mean(1)

    def _cross_entropy(self, batch: tuple[Tensor, ...], reduction: str) -> Tensor:
        targets = batch[1].flatten()
        if self.fused:
            states_MxW = self._states(*batch).flatten(0, 1)
            losses_M = fused.losses(states_MxW, None, self.head.weight, targets)
            return losses_M.mean() if reduction == "mean" else losses_M
        logits = self(*batch).flatten(0, 1)
        return functional.cross_entropy(logits, targets, reduction=reduction)
