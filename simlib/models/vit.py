"""A vision transformer that classifies images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from simlib.errors import InputError
from simlib.models import fused
from simlib.models.block import TransformerBlock, initialise, norm
from simlib.models.linear import Linear
from simlib.runs.shape import Shape


class ViT(nn.Module):
    """Transformer over square patches with learned positions; the mean over them is classified.

    A batch is `(images, labels)`: uint8 (B, height, width, channels) and int64 (B,). The loss is
    the cross-entropy over all classes, however long their tail.
    """

    fused = False  # see simlib.models.fused

    def __init__(
        self,
        shape: Shape,
        patch: int,
        image_shape: tuple[int, int, int],
        num_classes: int,
        *,
        qk_norm: bool = True,
    ) -> None:
        super().__init__()
        height, width, channels = image_shape
        if height % patch or width % patch:
            raise InputError(f"patch {patch} does not divide images of {height} x {width} pixels")
        self.patch = patch
        self.patches = Linear(patch * patch * channels, shape.width)
        self.position = nn.Embedding(height * width // patch**2, shape.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(shape, causal=False, qk_norm=qk_norm) for _ in range(shape.depth)
        )
        self.norm = norm(shape.width)
        self.head = Linear(shape.width, num_classes)
        initialise(self, shape.depth)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes)."""
        return self.head(self._pooled(images))

    def _pooled(self, images: Tensor) -> Tensor:
        """The mean over positions of what the last norm leaves (B, W)."""
        x_BxLxW = self.patches(self._cut(images)) + self.position.weight
        for block in self.blocks:
            x_BxLxW = block(x_BxLxW)
        pooled_BxW: Tensor = self.norm(x_BxLxW).mean(1)
        return pooled_BxW

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean cross-entropy, nats per image."""
        if self.fused:
            return self.losses(batch).mean()
        return functional.cross_entropy(self(batch[0]), batch[1])

    def losses(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy of each image (B,), nats."""
        if self.fused:
            return fused.losses(self._pooled(batch[0]), None, self.head.weight, batch[1])
        return functional.cross_entropy(self(batch[0]), batch[1], reduction="none")

    def _cut(self, images: Tensor) -> Tensor:
        """Patches (B, L, patch * patch * channels) with values from -1 to 1."""
        B, height, width, channels = images.shape
        p = self.patch
        grid = images.view(B, height // p, p, width // p, p, channels).transpose(2, 3)
        return grid.reshape(B, -1, p * p * channels).to(torch.float32) / 127.5 - 1
