"""How fast training is here, against a plain loop: `python benchmarks/training.py`.

Three tables. Everything that is compared runs in turns, in one process and on one thread, and the
median of the turns counts, so that a busy machine slows both sides alike; times are those of the
processor, not of the wall, except in the last table.

1. A step with complete masks against a dense step, and the share of mask updates in a pruned run.
2. Our step against a plain one: a decoder-only model as most people write it first (fused query,
   key and value, scaled_dot_product_attention, AdamW, gradient clipping), same shape and batch.
3. A pack of four sparsities through `sweep`, against each run alone in a plain loop on torch's
   default number of threads. Wall-clock time, so run it on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from simlib.config import RunConfig
from simlib.corpora import load_corpus
from simlib.sweep import sweep
from simlib.train.feed import make_feed
from simlib.train.lane import Lane
from simlib.train.settings import settings

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


def config_of(width: int, sparsity: float = 0.0, **changes: object) -> RunConfig:
    """A gpt of this width, depth 2, at any sparsity."""
    size = round(24 * width**2 * (1 - sparsity))
    fields = {"nonzero_params": size, "sparsity": sparsity, "batch": BATCH, "seq_len": SEQ_LEN}
    return RunConfig(**({"steps": 4000} | fields | changes))


def turns(sides: dict[str, Callable[[], None]], count: int, steps: int) -> dict[str, float]:
    """Median processor time of a step of each side, milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(count + 1):
        for name, step in sides.items():
            began = time.process_time()
            for _ in range(steps):
                step()
            if turn:  # the first turn warms up
                times[name].append((time.process_time() - began) / steps * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def masked(quick: bool) -> None:
    """Table 1."""
    print("\n1. Masks: one step, ms of one core")
    print("| width | dense | masked | masked / dense | updates, share of a run |")
    print("|---|---|---|---|---|")
    for width in (24, 48, 96) if quick else (24, 48, 96, 192):
        config = config_of(width, 0.75)
        feed = make_feed(config)
        dense, sparse = Lane(config_of(width), feed), Lane(config, feed)
        with settings(config):
            update, updates = to_the_end_of_pruning(sparse)
            timed = turns({"dense": dense.step, "masked": sparse.step}, 30, 8 if width < 96 else 3)
        ratio = timed["masked"] / timed["dense"]
        share = update * updates / (config.total_steps * timed["dense"])
        times = f"{timed['dense']:.2f} | {timed['masked']:.2f}"
        print(f"| {width} | {times} | {ratio:.3f} | {share:.2%} |")


def to_the_end_of_pruning(lane: Lane) -> tuple[float, int]:
    """Place the lane after its last mask; time of a mask update in ms, and their number."""
    schedule_end = lane.config.prune_steps[1]
    lane.step()
    lane.position = lane.config.private_from
    lane._attach()
    sparsifier = lane.sparsifier
    assert sparsifier is not None
    updates = [t for t in sparsifier.schedule.updates() if t <= schedule_end]
    times = []
    for t in updates:
        sparsifier.position = t - 1
        began = time.process_time()
        sparsifier.update(t)
        times.append(1e3 * (time.process_time() - began))
    lane.position = sparsifier.position = schedule_end
    lane._count()
    return statistics.median(times), len(updates)


def plain(quick: bool) -> None:
    """Table 2."""
    print("\n2. Against a plain loop: one step, ms of one core")
    print("| width | float32 plain | float32 ours | ratio | bfloat16 plain | ours | ratio | "
          "ours bfloat16 against plain float32 |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    data = np.asarray(load_corpus("python").train)
    for width in (64, 256) if quick else (64, 128, 256, 512):
        sides: dict[str, Callable[[], None]] = {}
        for precision in ("float32", "bfloat16"):
            config = config_of(width, precision=precision, lr=1e-3)
            sides[f"plain {precision}"] = PlainLoop(config, data).step
            sides[f"ours {precision}"] = Lane(config, make_feed(config)).step
        with settings(config):
            t = turns(sides, 8 if width < 512 else 4, max(1, 512 // width))
        f, b = "float32", "bfloat16"
        print(
            f"| {width} | {t[f'plain {f}']:.1f} | {t[f'ours {f}']:.1f} | "
            f"{t[f'plain {f}'] / t[f'ours {f}']:.2f} | {t[f'plain {b}']:.1f} | "
            f"{t[f'ours {b}']:.1f} | {t[f'plain {b}'] / t[f'ours {b}']:.2f} | "
            f"{t[f'plain {f}'] / t[f'ours {b}']:.2f} |"
        )


def grid(quick: bool) -> None:
    """Table 3."""
    steps = 200 if quick else 2400
    sparsities = (0.0, 0.5, 0.75, 0.875)
    configs = [config_of(48, s, steps=steps) for s in sparsities]
    data = np.asarray(load_corpus("python").train)
    began = time.perf_counter()
    for config in configs:
        loop = PlainLoop(config, data, config.sparsity)
        for _ in range(steps):
            loop.step()
    alone = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        sweep(configs, out)
        ours = time.perf_counter() - began
    print(f"\n3. Four sparsities at width 48, {steps} steps each, wall-clock seconds")
    print(f"plain loops, {torch.get_num_threads()} threads: {alone:.1f}; sweep, validation "
          f"and records included: {ours:.1f}; ratio {alone / ours:.2f}")  # fmt: skip


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("tables", nargs="*", type=int, default=[1, 2, 3], help="1, 2 or 3")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and steps")
    arguments = parser.parse_args()
    for number, table in ((3, grid), (1, masked), (2, plain)):  # 3 before threads are limited
        if number in arguments.tables:
            table(arguments.quick)


if __name__ == "__main__":
    main()
