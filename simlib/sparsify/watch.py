"""What pruning does to a model: mask by mask, and which weights survive it."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.sparsify.sparsifier import Sparsifier

Columns = dict[str, list[float]]


class MaskHistory:
    """Notes after every step how sparse a model is, and what changed; shares of all targets.

    `columns` holds, per noted step: `step`; `sparsity`; `revived` and `dropped`, the weights that
    returned or went since the last note; `explored`, those kept at any time so far. `presence`
    gives for every single weight the share of notes that found it kept.
    """

    def __init__(self, sparsifier: Sparsifier) -> None:
        self._sparsifier = sparsifier
        self._last = sparsifier.masks
        self._kept = {
            name: torch.zeros_like(m, dtype=torch.int32) for name, m in self._last.items()
        }
        self.columns: Columns = {
            name: [] for name in ("step", "sparsity", "revived", "dropped", "explored")
        }
        self.note(sparsifier.position)

    def note(self, t: int) -> None:
        """Add the state after step `t`."""
        masks, last = self._sparsifier.masks, self._last
        for name, mask in masks.items():
            self._kept[name] += mask
        shares = {
            "sparsity": [~mask for mask in masks.values()],
            "revived": [mask & ~last[name] for name, mask in masks.items()],
            "dropped": [~mask & last[name] for name, mask in masks.items()],
            "explored": [count > 0 for count in self._kept.values()],
        }
        self.columns["step"].append(t)
        for name, parts in shares.items():
            count = sum(int(part.count_nonzero()) for part in parts)
            self.columns[name].append(count / self._sparsifier.dense_params)
        self._last = masks

    @property
    def presence(self) -> dict[str, Tensor]:
        """Share of notes that found each weight kept, by parameter name, shaped like it."""
        return {name: count / len(self.columns["step"]) for name, count in self._kept.items()}


@torch.no_grad()
def survival_by_size(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], bins: int = 10
) -> np.ndarray:
    """Share of weights that a mask keeps, by how large they were before.

    Args:
        weights: earlier weights, at least of every tensor in `masks`.
        masks: boolean, true where a weight was kept in the end.
        bins: equal groups by rank of magnitude within each tensor, smallest first.

    Returns:
        float64 (bins,); a rule that looked only at the earlier weights would give 0s, then 1s.

    Raises:
        InputError: weights that are missing, of another shape, or fewer than `bins`.
    """
    kept, size = np.zeros(bins), np.zeros(bins)
    for name, mask in masks.items():
        if name not in weights or weights[name].shape != mask.shape or mask.numel() < bins:
            raise InputError(
                f"There are no earlier weights of '{name}' {tuple(mask.shape)} to split into "
                f"{bins} groups: give the weights of the same model."
            )
        order = torch.argsort(weights[name].abs().flatten(), stable=True).cpu().numpy()
        for place, group in enumerate(np.array_split(mask.cpu().numpy().ravel()[order], bins)):
            kept[place] += group.sum()
            size[place] += group.size
    return kept / size
