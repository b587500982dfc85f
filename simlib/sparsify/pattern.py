"""Where zeros may lie: which units compete for a place, and among whom.

A unit is what is kept or pruned as a whole: an entry, or a block of entries. Tensors follow the
layout of `nn.Linear` and convolutions: (outputs, inputs, ...).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.pruning import parse_pattern
from simlib.sparsify.select import OUT, nonzero_target, top_k, top_n_of_m


@dataclass(frozen=True)
class Pattern:
    """Any entry may be zero, each tensor meets its own target: "unstructured"."""

    @staticmethod
    def parse(text: str) -> "Pattern":
        """The pattern written as "unstructured", "global", "2:4" or "block4x4".

        Raises:
            InputError: anything else, n:m without 0 < n < m, or an empty block.
        """
        kind, first, second = parse_pattern(text)
        if kind == "n:m":
            return NM(first, second)
        if kind == "block":
            return Block(first, second)
        return Global() if kind == "global" else Pattern()

    def __str__(self) -> str:
        return "unstructured"

    def final_sparsity(self, name: str, shape: torch.Size, asked: float) -> float:
        """The sparsity this tensor ends at; refuses a tensor that the pattern does not fit.

        Raises:
            InputError: a shape or a sparsity that the pattern cannot meet, or nothing kept.
        """
        self._check_shape(name, shape)
        if nonzero_target(self.units(shape), asked) < 1:
            raise InputError(
                f"Sparsity {asked:g} leaves nothing of '{name}' {tuple(shape)}: lower it."
            )
        return asked

    def _check_shape(self, name: str, shape: torch.Size) -> None:
        """Refuse a tensor whose shape the pattern does not divide."""

    def units(self, shape: torch.Size) -> int:
        """How many units a tensor of this shape has."""
        return math.prod(shape)

    def pool(self, entries: Tensor) -> Tensor:
        """One value per unit: the sum of its non-negative entries, in a fixed order."""
        return entries

    def expand(self, kept: Tensor, shape: torch.Size) -> Tensor:
        """The mask over entries, given the mask over units."""
        return kept.view(shape)

    def shares(self, keeps: list[int], alive: Callable[[], list[int]]) -> list[int]:
        """How many units each tensor may count on keeping, before scores are compared.

        Args:
            keeps: how many units each tensor keeps if it alone decides.
            alive: gives how many of each tensor's units are kept now.
        """
        return keeps

    def select(self, scores: Iterable[Tensor], keeps: list[int]) -> Iterable[Tensor]:
        """Masks of the units with the highest scores, one per tensor.

        Where tensors do not compete, each is done with before the scores of the next are made.

        Args:
            scores: float32 per tensor and unit, >= 0 or `OUT`.
            keeps: how many units each tensor keeps.
        """
        return (self._choose(score, keep) for score, keep in zip(scores, keeps, strict=True))

    def _choose(self, score: Tensor, keep: int) -> Tensor:
        return top_k(score, keep)

    def mask_by_magnitude(self, weight: Tensor, sparsity: float) -> Tensor:
        """The mask, shaped as `weight`, that keeps its largest units at this sparsity."""
        keep = nonzero_target(self.units(weight.shape), sparsity)
        (kept,) = self.select([self.pool(weight.detach().abs().float())], [keep])
        return self.expand(kept, weight.shape)


@dataclass(frozen=True)
class Global(Pattern):
    """Any entry may be zero, all tensors compete for one total; each keeps at least one."""

    def __str__(self) -> str:
        return "global"

    def shares(self, keeps: list[int], alive: Callable[[], list[int]]) -> list[int]:
        sizes, total = alive(), sum(keeps)
        return [min(size, size * total // sum(sizes)) for size in sizes]

    def select(self, scores: Iterable[Tensor], keeps: list[int]) -> Iterable[Tensor]:
        scores = list(scores)
        # the best entry of a tensor stays, or a layer could vanish and the network with it
        best = [top_k(score, 1).view(-1) for score in scores]
        flat = [torch.where(b, torch.inf, s.view(-1)) for b, s in zip(best, scores, strict=True)]
        mask = top_k(torch.cat(flat), sum(keeps))
        parts = mask.split([score.numel() for score in scores])
        return [part.view(score.shape) for part, score in zip(parts, scores, strict=True)]


@dataclass(frozen=True)
class NM(Pattern):
    """At the end, `n` non-zeros in every `m` consecutive inputs; on the way, those are protected.

    While the ramp is below the final sparsity 1 - n/m, the entries inside the n:m choice stay
    and the rest is pruned by score (iterative n:m of Frantar et al. 2024).

    Raises:
        InputError: unless 0 < n < m.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        if not 0 < self.n < self.m:
            raise InputError(
                f"Pattern {self} keeps {self.n} of {self.m}: n:m needs 0 < n < m, such as 2:4."
            )

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"

    def final_sparsity(self, name: str, shape: torch.Size, asked: float) -> float:
        own = 1 - self.n / self.m
        # thirds and the like cannot be typed exactly
        if not math.isclose(asked, own, abs_tol=1e-3):
            raise InputError(
                f"Pattern {self} means sparsity {own:g} but '{name}' is asked for {asked:g}: "
                "make them agree or leave the tensor out of the targets."
            )
        return super().final_sparsity(name, shape, own)

    def _check_shape(self, name: str, shape: torch.Size) -> None:
        if len(shape) < 2 or shape[1] % self.m:
            raise InputError(
                f"Pattern {self} needs an input dimension divisible by {self.m}, but '{name}' "
                f"is {tuple(shape)}: leave it out of the targets or change its width."
            )

    def _choose(self, score: Tensor, keep: int) -> Tensor:
        protected = top_n_of_m(score.movedim(1, -1), self.n, self.m).movedim(-1, 1)
        spare = keep - score.numel() * self.n // self.m
        if spare == 0:
            return protected
        return protected | top_k(score.masked_fill(protected, OUT), spare)


@dataclass(frozen=True)
class Block(Pattern):
    """Blocks of `rows` outputs by `cols` inputs live or die together, scored by their sum.

    Raises:
        InputError: a block without entries.
    """

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if min(self.rows, self.cols) < 1:
            raise InputError(f"Pattern {self} has no entries: use a block such as block4x4.")

    def __str__(self) -> str:
        return f"block{self.rows}x{self.cols}"

    def _check_shape(self, name: str, shape: torch.Size) -> None:
        if len(shape) < 2 or shape[0] % self.rows or shape[1] % self.cols:
            raise InputError(
                f"Pattern {self} does not divide '{name}' {tuple(shape)}: "
                "leave it out of the targets or change its size."
            )

    def units(self, shape: torch.Size) -> int:
        return math.prod(shape) // (self.rows * self.cols)

    def pool(self, entries: Tensor) -> Tensor:
        # added one by one, so that rounding is the same on every device
        total = torch.zeros_like(entries[:: self.rows, :: self.cols])
        for row in range(self.rows):
            for col in range(self.cols):
                total += entries[row :: self.rows, col :: self.cols]
        return total

    def expand(self, kept: Tensor, shape: torch.Size) -> Tensor:
        return kept.repeat_interleave(self.rows, 0).repeat_interleave(self.cols, 1)
