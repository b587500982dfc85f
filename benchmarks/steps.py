"""Rows of the training half: a step, a mask update, a grid of sparsities, the share of the peak.

Times are processor milliseconds of one thread, but for the grid, which is by the wall clock.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from plainloop import BATCH, SEQ_LEN, PlainLoop, config_of
from torch import nn
from turns import compare, hottest, of_pairs, quartiles, seconds

from simlib.corpora import load_corpus
from simlib.laws.costs import training_flops
from simlib.models.fused import Program
from simlib.models.linear import Linear
from simlib.pages.benchfile import Case, Goal
from simlib.runs.config import RunConfig
from simlib.sparsify import Constant, Sparsifier
from simlib.sparsify.select import top_k
from simlib.sweep import sweep
from simlib.train.batches import make_batches
from simlib.train.settings import settings
from simlib.train.trainer import Trainer

PRECISIONS = ("float32", "bfloat16")
INTERVAL = 100  # steps between the mask updates of the rival's sparsifier
PATIENCE = 20.0  # seconds of a run of the rival in the grid's row
NARROWEST = 256  # width from which the goal in bfloat16 holds


def step(smoke: bool) -> Iterator[Case]:
    """Dense steps against a plain loop, masked steps against dense ones, by width."""
    torch.set_num_threads(1)
    data = np.asarray(load_corpus("python").train)
    for width in (64,) if smoke else (64, 128, 256, 512):
        rounds, calls = (1, 1) if smoke else (9 if width < 512 else 5, max(1, 256 // width))
        plain, ours = {}, {}
        for precision in PRECISIONS:
            config = config_of(width, precision=precision, lr=1e-3)
            ours[precision] = Trainer(config, make_batches(config)).step
            plain[precision] = PlainLoop(config, data).step
        goals = {"float32": 1.0, "bfloat16": 1.3 if width >= NARROWEST else None}
        with settings(config):
            for precision in PRECISIONS:
                least = goals[precision]
                yield compare(
                    f"width {width}, {precision}",
                    ours[precision],
                    plain[precision],
                    "a plain loop",
                    rounds=rounds,
                    calls=calls,
                    unit="ms",
                    times=1e3 / calls,
                    other_times=1e3 / calls,
                    goal=Goal("ratio", least=least) if least else None,
                )
            yield compare(
                f"width {width}, bfloat16 against float32",
                ours["bfloat16"],
                plain["float32"],
                "a plain loop in float32",
                rounds=rounds,
                calls=calls,
                unit="ms",
                times=1e3 / calls,
                other_times=1e3 / calls,
            )
    for width in (48,) if smoke else (48, 192):
        yield from _masked(width, data, *((1, 1) if smoke else (21, 4)))


# bytes a second against torch's own operations, by width: what the evidence grids are to gain
FUSED_GOALS = {16: 2.0, 32: 2.0, 64: 1.5, 128: 1.2, 256: None}


def fused(smoke: bool) -> Iterator[Case]:
    """A whole step, batch drawn and update included, against one of torch's operations."""
    torch.set_num_threads(1)
    for width in (16,) if smoke else FUSED_GOALS:
        rounds, calls = (1, 1) if smoke else (15, max(2, 512 // width))
        config = config_of(width, batch=32, seq_len=64, steps=10_000, compute="fused")
        ours, other = (
            Trainer(c, make_batches(c))
            for c in (config, RunConfig(**(_fields(config) | {"compute": "eager"})))
        )
        tokens = config.data_per_step * calls / 1e6
        least = FUSED_GOALS[width]
        with settings(config):
            yield compare(
                f"width {width}, batch 32 x 64",
                ours.step,
                other.step,
                "torch's operations",
                rounds=rounds,
                calls=calls,
                unit="s per million bytes",
                times=1 / tokens,
                other_times=1 / tokens,
                goal=Goal("ratio", least=least) if least else None,
            )


def fused_profile() -> str:
    """What the smallest and the largest of those widths spend a step on."""
    torch.set_num_threads(1)
    return " | ".join(
        f"width {w}: {busiest(w, 'float32', batch=32, seq_len=64, compute='fused')}"
        for w in (16, 128)
    )


def _fields(config: RunConfig) -> dict[str, Any]:
    return config.model_dump(exclude={"data_seen"})


def _masked(width: int, data: np.ndarray, rounds: int, calls: int) -> Iterator[Case]:
    """A masked step against a dense one, ours and that of torch's own pruning."""
    config = config_of(width, 0.75)
    batches = make_batches(config)
    dense, sparse = Trainer(config_of(width), batches), Trainer(config, batches)
    plain, pruned = PlainLoop(config, data), PlainLoop(config, data)
    pruned.prune_with_torch(0.75)
    pair = {
        "rounds": rounds,
        "calls": calls,
        "unit": "ms",
        "times": 1e3 / calls,
        "other_times": 1e3 / calls,
    }
    with settings(config):
        update, updates = _to_the_end_of_pruning(sparse)
        yield compare(
            f"width {width}, masked by us",
            sparse.step,
            dense.step,
            "the same step dense",
            **pair,
            goal=Goal("ratio", least=1 / 1.01),
        )
        yield compare(
            f"width {width}, masked by torch.nn.utils.prune",
            pruned.step,
            plain.step,
            "the plain loop dense",
            **pair,
        )
        yield compare(
            f"width {width}, masked",
            sparse.step,
            pruned.step,
            "a plain loop with torch.nn.utils.prune",
            **pair,
        )
        each = 1e3 * statistics.median(seconds(dense.step) for _ in range(rounds))
    share = update * updates / (config.total_steps * each)
    yield Case(
        f"width {width}, mask updates, share of a run",
        "%",
        100 * share,
        goal=Goal("ours", most=2.0),
    )


def _to_the_end_of_pruning(trainer: Trainer) -> tuple[float, int]:
    """Place the trainer after its last mask; time of a mask update in ms, and their number."""
    schedule_end = trainer.config.prune_steps[1]
    trainer.step()
    trainer.position = trainer.config.private_from
    trainer._attach()
    sparsifier = trainer.sparsifier
    assert sparsifier is not None
    updates = [t for t in sparsifier.schedule.updates() if t <= schedule_end]
    times = []
    for t in updates:
        sparsifier.position = t - 1
        times.append(1e3 * seconds(lambda t=t: sparsifier.update(t)))
    trainer.position = sparsifier.position = schedule_end
    trainer._count()
    return statistics.median(times), len(updates)


def busiest(width: int, precision: str, **changes: object) -> str:
    """The operations that take most of a training step, with their shares of its time."""
    config = config_of(width, precision=precision, lr=1e-3, **changes)
    trainer = Trainer(config, make_batches(config))
    # torch sees none of what a replayed step calls
    seen = torch.profiler.record_function("kernels in C, replayed")(Program.__call__)
    with settings(config), patch.object(Program, "__call__", seen):
        for _ in range(3):
            trainer.step()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            for _ in range(5):
                trainer.step()
    events = sorted(found.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return "; ".join(f"{e.key} {e.self_cpu_time_total / total:.0%}" for e in events[:6])


def step_profile() -> str:
    """The operations of steps of two widths."""
    torch.set_num_threads(1)
    return " | ".join(
        f"width {w}, {p}: {busiest(w, p)}" for w, p in ((64, "float32"), (256, "bfloat16"))
    )


def mask_update(smoke: bool) -> Iterator[Case]:
    """The choice of the weights kept at 75% against ways to find them; then a whole update."""
    torch.set_num_threads(1)
    shape = (256, 64) if smoke else (4096, 1024)
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(shape[1], shape[0], bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.randn(shape, generator=generator))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, shape[1])).sum().backward()
    optimizer.step()
    sparsifier = Sparsifier(model, optimizer, schedule=Constant(0, 10**9, INTERVAL), targets=0.75)
    scores = model.weight.detach().abs().view(-1)
    rivals: dict[str, tuple[Callable[[], object], Goal | None]] = {
        "full sort": (lambda: scores.sort(), Goal("ratio", least=5)),
        "torch.topk": (lambda: scores.topk(len(scores) // 4, sorted=False), None),
        "torch.kthvalue": (lambda: scores.kthvalue(3 * len(scores) // 4), None),
    }
    pair = {"rounds": 1 if smoke else 9, "unit": "ms", "times": 1e3, "other_times": 1e3}
    for against, (other, goal) in rivals.items():
        yield compare(
            f"{shape[0]} x {shape[1]}, choice of the 25% kept",
            lambda: top_k(model.weight.detach().abs(), len(scores) // 4),
            other,
            against,
            goal=goal,
            **pair,
        )
    yield compare(
        f"{shape[0]} x {shape[1]}, whole update",
        lambda: sparsifier.update(sparsifier.position + INTERVAL),
        rivals["full sort"][0],
        "full sort",
        **pair,
        note="the weights and the optimizer's state are masked, too",
    )


def mask_update_profile() -> str:
    """Where an update spends its time."""
    return hottest(lambda: list(mask_update(False)))


def grid(smoke: bool) -> Iterator[Case]:
    """Four sparsities as one sweep against each run alone, by the wall clock, records included."""
    steps, levels = (60, (0.0, 0.75)) if smoke else (1200, (0.0, 0.5, 0.75, 0.875))
    windows = {"valid_windows": 16} if smoke else {}
    configs = [config_of(48, s, steps=steps, **windows) for s in levels]
    data = np.asarray(load_corpus("python").train)

    def ours() -> None:
        with tempfile.TemporaryDirectory() as out:
            sweep(configs, out, workers=1 if smoke else None)

    def each_alone() -> float:
        return sum(_alone(config, data, 1.0 if smoke else PATIENCE) for config in configs)

    rounds = 1 if smoke else 3
    pairs = [(seconds(ours, time.perf_counter), each_alone()) for _ in range(rounds)]
    yield of_pairs(
        f"width 48, {steps} steps each",
        "s",
        pairs,
        f"plain loops, {torch.get_num_threads()} threads",
        goal=Goal("ratio", least=2.2),
        note="validation and records are counted for us, not for the rival; a run of the rival "
        f"that takes more than {PATIENCE:.0f} s is scaled from the steps done by then",
    )


def _alone(config: RunConfig, data: np.ndarray, patience: float) -> float:
    """Seconds of a run in a plain loop; after `patience` scaled from the steps done."""
    loop, began = PlainLoop(config, data, config.sparsity), time.perf_counter()
    while loop.t < config.total_steps and time.perf_counter() - began < patience:
        loop.step()
    return (time.perf_counter() - began) * config.total_steps / loop.t


def grid_profile() -> str:
    """What a sweep spends beside training: its own clock against the wall's."""
    config = config_of(48, 0.75, steps=1200)
    with tempfile.TemporaryDirectory() as out:
        spent = seconds(lambda: sweep([config], out), time.perf_counter)
    trainer = Trainer(config, make_batches(config))
    with settings(config):
        each = statistics.median(seconds(trainer.step, time.perf_counter) for _ in range(50))
    share = each * config.total_steps / spent
    return (
        f"one run takes {spent:.1f} s, of which its {config.total_steps} steps of "
        f"{1e3 * each:.2f} ms are {share:.0%}; {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def peak(smoke: bool) -> Iterator[Case]:
    """FLOP of a step's matrix products over its time, as a share of the fastest product here."""
    torch.set_num_threads(1)
    for precision in PRECISIONS:
        fastest = _peak(getattr(torch, precision), 256 if smoke else 1024, 2 if smoke else 7)
        yield Case(f"fastest product, {precision}", "GFLOP/s", fastest)
        for width in (64,) if smoke else (64, 128, 256, 512):
            config = config_of(width, precision=precision, lr=1e-3)
            trainer = Trainer(config, make_batches(config))
            with settings(config):
                trainer.step()
                each = quartiles([seconds(trainer.step) for _ in range(2 if smoke else 9)])[1]
            share = _product_flops(config) / each / 1e9 / fastest
            if share > 1 and not smoke:  # two timings of small products are no peak
                raise ValueError(f"width {width} reaches {share:.0%} of the fastest product")
            yield Case(f"width {width}, {precision}", "%", 100 * share, note="of that")


def _peak(dtype: torch.dtype, size: int, rounds: int) -> float:
    """The fastest of square products of a few sizes, torch's own and the trainer's, GFLOP/s."""
    best = 0.0
    for n in (size // 4, size // 2, size):
        a, b = (torch.randn(n, n).to(dtype) for _ in range(2))
        products: list[Callable[[], object]] = [lambda a=a, b=b: torch.mm(a, b)]
        if dtype == torch.float32:
            layer = Linear(n, n)
            products.append(lambda a=a, layer=layer: layer(a))
        with torch.no_grad():
            for product in products:
                product()
                best = max(best, *(2e-9 * n**3 / seconds(product) for _ in range(rounds)))
    return best


def _product_flops(config: RunConfig) -> float:
    """FLOP of a step's matrix products: blocks, head, and the causal half of attention."""
    shape, tokens = config.shape, BATCH * SEQ_LEN
    matrices = shape.depth * (4 * shape.width**2 + 2 * shape.width * shape.hidden)
    head = 256 * shape.width
    attention = shape.depth * 2 * SEQ_LEN * shape.width
    return training_flops(matrices + head + attention / 2, tokens)


def peak_profile() -> str:
    """The reason for the rest: what else a step does, by width."""
    torch.set_num_threads(1)
    return " | ".join(f"width {w}, float32: {busiest(w, 'float32')}" for w in (64, 512))
