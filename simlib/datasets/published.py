"""The authors' released runs: found, or downloaded and checked, and turned into run tables."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from simlib.datasets.download import fetch
from simlib.errors import InputError
from simlib.laws.law import Array
from simlib.paper import PRUNE_END, PRUNE_START
from simlib.runs.table import RunRecord, RunTable

Released = Literal["vit", "t5"]
TABLE_NAMES: dict[str, Released] = {"vit-jft": "vit", "t5-c4": "t5"}
Count = Literal["nominal", "body", "total"]

COMMIT = "f133ee50f31a03d0152b8b272edb534065152f5d"
REPOSITORY = "https://raw.githubusercontent.com/google-research/jaxpruner"
FILES = {
    "vit": (
        "vit-data.json",
        "7ab6f79e94978c03f77182691f49cbf55725e205db2ba2d9da78a857fc515aa8",
    ),
    "t5": ("t5-data.csv", "a9c31ee9e3c2c6fb815f15eb0c6cb07b55383148621abc1973feac72eaaa1cab"),
}

# dense prunable parameters at scale 1, as the authors count them: layers x 12 x width^2
VIT_PARAMS = 12 * 12 * 768**2
T5_PARAMS = 24 * 12 * 768**2
TOKENS_PER_STEP = 128 * 512
T5_VOCABULARY = 32128  # Raffel et al. 2020 (1910.10683), padded to a multiple of 128
T5_HEAD = 64  # dimension of an attention head in T5 v1.1 base


@dataclass(frozen=True)
class HeldOutRun:
    """A measured run that no published fit has seen."""

    name: str
    sparsity: float
    nonzero_params: int
    data_seen: int
    loss: float


# 48 layers of width 1024 at 75% sparsity, 500K steps; read in the authors' notebook
T5_XL = HeldOutRun("T5-XL", 0.75, 48 * 12 * 1024**2, 500_000 * TOKENS_PER_STEP, 1.4827780)


def find_file(which: Released) -> Path:
    """The released file, found or downloaded: see `simlib.datasets.download.fetch`.

    Raises InputError that says what to do where the file is neither present nor reachable, and
    for a file with another content.
    """
    if which not in get_args(Released):
        raise InputError(f"released runs are 'vit' or 't5', not {which!r}")
    name, sha256 = FILES[which]
    return fetch(name, f"{REPOSITORY}/{COMMIT}/jaxpruner/projects/bigsparse/{name}", sha256)


def available(which: Released) -> bool:
    """Whether the released file can be had here, downloading it if the network allows."""
    try:
        find_file(which)
    except InputError:
        return False
    return True


def released_runs(which: Released, count: Count = "nominal") -> RunTable:
    """The 112 ViT or 48 T5 runs of the authors, one record a run, in the order of their file.

    `count` says which parameters N counts. "nominal" is the authors' `scale (1-S) P` with P for
    layers of 12 width^2. For T5 only: "body" counts the tensors of the encoder and decoder as
    built, with cross-attention and widths cut to whole heads; "total" adds token embedding and
    logits at their sparsity of `1 - sqrt(1-S)`. Raises InputError if the file cannot be had.
    """
    path = find_file(which)
    if count not in get_args(Count) or (which == "vit" and count != "nominal"):
        raise InputError(f"parameters of the {which} runs cannot be counted as {count!r}")
    scale, sparsity, data, loss = _vit(path) if which == "vit" else _t5(path)
    dense = scale * (VIT_PARAMS if which == "vit" else T5_PARAMS)
    nonzero = dense * (1 - sparsity)
    if count != "nominal":
        dense, nonzero = _t5_counts(scale, sparsity, count)
    dataset = "jft-4b" if which == "vit" else "c4"
    columns = zip(sparsity, nonzero, dense, data, loss, strict=True)
    return RunTable(
        RunRecord(
            run_id=f"{which}-{row:03d}",
            family=which,
            dataset=dataset,
            dataset_sha256="",
            pruner="gmp" if S > 0 else "none",
            nonzero_params=round(n),
            dense_params=round(p),
            sparsity=S,
            data_seen=round(d),
            loss=y,
            prune_start=PRUNE_START,
            prune_end=PRUNE_END,
        )
        for row, (S, n, p, d, y) in enumerate(columns)
    )


def _vit(path: Path) -> tuple[Array, ...]:
    columns = json.loads(path.read_text())
    keys = list(columns["scale"])
    names = ("scale", "sparsity", "total_examples", "val-loss")
    return tuple(np.array([columns[n][k] for k in keys], dtype=float) for n in names)


def _t5(path: Path) -> tuple[Array, ...]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    scale, sparsity, steps, loss = (
        np.array([row[n] for row in rows], dtype=float)
        for n in ("scale", "sparsity", "steps", "val-loss")
    )
    return scale, sparsity, steps * TOKENS_PER_STEP, loss


def _t5_counts(scale: Array, sparsity: Array, count: Count) -> tuple[Array, Array]:
    """Dense and non-zero parameters of T5 v1.1 base scaled in width, as the release builds it.

    Width, MLP width and the number of heads are `768 w`, `2048 w` and `12 w` cut to integers with
    `w = sqrt(scale)`; heads keep 64 dimensions. The decoder has attention twice, the gated MLP
    three matrices.
    """
    w = np.sqrt(scale)
    width, hidden, heads = np.floor(768 * w), np.floor(2048 * w), np.floor(12 * w)
    attention, mlp = 4 * width * heads * T5_HEAD, 3 * width * hidden
    dense = 12 * (attention + mlp) + 12 * (2 * attention + mlp)
    nonzero = dense * (1 - sparsity)
    if count == "total":
        embedding = 2 * T5_VOCABULARY * width
        dense, nonzero = dense + embedding, nonzero + embedding * np.sqrt(1 - sparsity)
    return dense, nonzero
