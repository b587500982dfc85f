"""A language model and its training loop as a short script writes them: the rival of our steps.

A decoder-only model as most people write it first (fused query, key and value,
scaled_dot_product_attention, AdamW, gradient clipping), of the same shape and batch as ours.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

from simlib.runs.config import RunConfig

BATCH, SEQ_LEN = 8, 128


class PlainBlock(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)
        self.fc1 = nn.Linear(width, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        B, L, W = x.shape
        q, k, v = self.qkv(self.ln1(x)).split(W, dim=2)
        q, k, v = (y.view(B, L, self.heads, W // self.heads).transpose(1, 2) for y in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).contiguous().view(B, L, W))
        return x + self.fc2(functional.gelu(self.fc1(self.ln2(x))))


class PlainGPT(nn.Module):
    """Embeddings, blocks, norm, untied output."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        shape = config.shape
        self.tok, self.pos = nn.Embedding(256, shape.width), nn.Embedding(SEQ_LEN, shape.width)
        blocks = (PlainBlock(shape.width, shape.heads, shape.hidden) for _ in range(shape.depth))
        self.blocks = nn.ModuleList(blocks)
        self.ln, self.head = (
            nn.LayerNorm(shape.width, bias=False),
            nn.Linear(shape.width, 256, bias=False),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.tok(x) + self.pos(torch.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return functional.cross_entropy(self.head(self.ln(h)).view(-1, 256), y.view(-1))


class PlainLoop:
    """One run as a short training script does it."""

    def __init__(self, config: RunConfig, data: np.ndarray, sparsity: float = 0.0) -> None:
        self.config, self.data, self.sparsity = config, data, sparsity
        self.model = PlainGPT(config)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.99))
        self.bfloat16 = config.precision == "bfloat16"
        self.masks: dict[nn.Parameter, Tensor] = {}
        self.t = 0

    def batch(self) -> tuple[Tensor, Tensor]:
        places = torch.randint(len(self.data) - SEQ_LEN - 1, (BATCH,)).tolist()
        rows = [self.data[i : i + SEQ_LEN + 1].astype(np.int64) for i in places]
        tokens = torch.stack([torch.from_numpy(row) for row in rows])
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (self.t + 1) / 100)
        autocast = torch.autocast("cpu", torch.bfloat16) if self.bfloat16 else nullcontext()
        with autocast:
            loss = self.model(*self.batch())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.t += 1
        if self.sparsity:
            self._prune()

    def _prune(self) -> None:
        total, every = self.config.total_steps, self.config.mask_interval
        start, end = total // 4, 3 * total // 4
        if start < self.t <= end and (self.t - start) % every == 0:
            level = self.sparsity * (1 - (1 - (self.t - start) / (end - start)) ** 3)
            for block in self.model.blocks:
                for p in block.parameters():
                    if p.dim() == 2:
                        count = max(1, round(level * p.numel()))
                        cut = p.detach().abs().flatten().kthvalue(count).values
                        self.masks[p] = (p.detach().abs() > cut).float()
        with torch.no_grad():
            for p, mask in self.masks.items():
                p.mul_(mask)

    def prune_with_torch(self, sparsity: float) -> None:
        """Masks of `torch.nn.utils.prune` on every matrix of the blocks."""
        for module in self.model.blocks.modules():
            if isinstance(module, nn.Linear):
                prune.l1_unstructured(module, "weight", amount=sparsity)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.99))


def config_of(width: int, sparsity: float = 0.0, **changes: object) -> RunConfig:
    """A gpt of this width, depth 2, at any sparsity."""
    size = round(24 * width**2 * (1 - sparsity))
    fields = {"nonzero_params": size, "sparsity": sparsity, "batch": BATCH, "seq_len": SEQ_LEN}
    # the plain loop prunes its blocks alone
    return RunConfig(**({"steps": 4000, "embeddings": "dense"} | fields | changes))
