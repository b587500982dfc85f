"""A decoder-only language model over bytes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from simlib.models import fused
from simlib.models.block import TransformerBlock, initialise, norm
from simlib.models.linear import Linear
from simlib.runs.shape import Shape


class GPT(nn.Module):
    """Causal transformer with learned positions and an untied output layer.

    A batch is `(tokens,)`, int64 (B, seq_len + 1): position i predicts token i + 1.
    """

    fused = False  # see simlib.models.fused

    def __init__(
        self, shape: Shape, vocab_size: int, seq_len: int, *, qk_norm: bool = True
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, shape.width)
        self.position = nn.Embedding(seq_len, shape.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(shape, causal=True, qk_norm=qk_norm) for _ in range(shape.depth)
        )
        self.norm = norm(shape.width)
        self.head = Linear(shape.width, vocab_size)
        initialise(self, shape.depth)

    def forward(self, tokens_BxL: Tensor) -> Tensor:
        """Logits (B, L, vocabulary) for the token after each position."""
        return self.head(self.norm(self._states(tokens_BxL)))

    def _states(self, tokens_BxL: Tensor) -> Tensor:
        """What the last block leaves (B, L, W)."""
        if self.fused:
            x_BxLxW = fused.embedding(tokens_BxL, self.embed.weight, self.position.weight)
        else:
            x_BxLxW = self.embed(tokens_BxL) + self.position.weight[: tokens_BxL.shape[1]]
        for block in self.blocks:
            x_BxLxW = block(x_BxLxW)
        return x_BxLxW

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean cross-entropy, nats per token."""
        return self._cross_entropy(batch[0], "mean")

    def losses(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy of each sequence (B,), nats per token."""
        return self._cross_entropy(batch[0], "none").view(batch[0].shape[0], -1).mean(1)

    @staticmethod
    def split(tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What a model reads of a batch's tokens, (B, L), and what it is to predict, (B L,)."""
        return tokens[:, :-1], tokens[:, 1:].flatten()

    def _cross_entropy(self, tokens: Tensor, reduction: str) -> Tensor:
        inputs_BxL, targets = self.split(tokens)
        if self.fused:
            states_MxW = self._states(inputs_BxL).flatten(0, 1)
            losses_M = fused.losses(states_MxW, self.norm.weight, self.head.weight, targets)
            return losses_M.mean() if reduction == "mean" else losses_M
        logits = self(inputs_BxL).flatten(0, 1)
        return functional.cross_entropy(logits, targets, reduction=reduction)

    @torch.no_grad()
    def sample(
        self, prompt: bytes, length: int, *, temperature: float = 0.8, seed: int = 0
    ) -> bytes:
        """`prompt` (at least one byte) and `length` bytes that continue it."""
        device = self.head.weight.device
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.tensor([list(prompt)], device=device)
        for _ in range(length):
            logits = self(tokens[:, -self.position.num_embeddings :])[0, -1].float().cpu()
            chances = torch.softmax(logits / temperature, 0)
            drawn = torch.multinomial(chances, 1, generator=generator)
            tokens = torch.cat([tokens, drawn.view(1, 1).to(device)], 1)
        return bytes(tokens[0].tolist())
