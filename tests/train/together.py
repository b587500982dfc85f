"""What each of two processes does for test_parallel.py: every case in one pair, as starting costs.

Called as `together.py FOLDER` with the variables that torchrun sets.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard

from simlib.cli import main
from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.sparsify import Constant, Cubic, Sparsifier
from simlib.sparsify.shards import local, part, whole
from simlib.train import Folder, Update
from simlib.train.batches import make_batches
from simlib.train.checkpoint import claim, save_state
from simlib.train.parallel import ParallelTrainer, train_parallel
from simlib.train.processes import Processes, join
from simlib.train.trainer import Trainer

# 33 rows of positions and 33 examples do not divide by two
BASE = {"depth": 1, "steps": 24, "seq_len": 33, "warmup_steps": 5, "valid_windows": 33}


def config(**changes: object) -> RunConfig:
    return RunConfig(
        **(BASE | {"nonzero_params": 3072, "sparsity": 0.5, "mask_interval": 4} | changes)
    )


RUNS = {
    "ddp": config(),
    "fsdp": config(),
    "fsdp global": config(pattern="global", pruner="rigl", average="both", ema_half_life=0.05),
    "fsdp adafactor": config(pattern="block2x2", optimizer="adafactor", embeddings="pruned"),
    "fsdp bits": config(weight_bits=3),
    "fsdp t5": config(pattern="2:4", family="t5"),
}
AVERAGED = {"average": "ema", "ema_half_life": 0.1}  # from the first step on
BROKEN = {
    "from one": config(seed=1, steps=44, **AVERAGED),
    "from two": config(seed=2, steps=44, **AVERAGED),
}
RULES = [
    ("unstructured", "gmp"),
    ("unstructured", "set"),
    ("unstructured", "random_gradual"),
    ("global", "gmp"),
    ("global", "rigl"),
    ("2:4", "rigl"),
    ("2:4", "gmp"),
    ("block2x2", "gmp"),
    ("block2x2", "rigl"),
]


def break_off(update: Update) -> None:
    """Progress that ends a run after its checkpoint at step 20."""
    if update.position == 40:
        raise KeyboardInterrupt


class Layers(nn.Module):
    """Weights whose rows two processes cannot share equally; one process gets none of the last."""

    def __init__(self, *rows: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, n, bias=False) for n in rows)


def masks(model: nn.Module, pattern: str, pruner: str) -> Iterator[dict[str, Any]]:
    """Whole masks, weights and counts after each update of a model with given weights."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    gradual = pruner in ("gmp", "random_gradual")
    schedule = Cubic(1, 4, 1) if gradual else Constant(1, 4, 1)
    sparsifier = Sparsifier(
        model, optimizer, schedule=schedule, targets=0.5, pruner=pruner, pattern=pattern
    )
    for t in range(1, 5):
        draw = torch.Generator().manual_seed(t)
        for parameter in model.parameters():
            weight, gradient = torch.randn((2, *parameter.shape), generator=draw)
            with torch.no_grad():
                local(parameter).copy_(local(part(weight, parameter)))
            parameter.grad = part(gradient, parameter)
        sparsifier.step(t)
        yield {
            "masks": {n: whole(mask.to(torch.uint8)) for n, mask in sparsifier.masks.items()},
            "weights": {n: whole(p.detach()).clone() for n, p in model.named_parameters()},
            "counts": sparsifier.nonzero_counts(),
        }


def compared(processes: Processes) -> dict[str, Any]:
    """By rule, what one process and two make of the same weights and gradients."""
    found = {}
    for pattern, pruner in RULES:
        rows = (6, 2) if pattern.startswith("block") else (5, 1)
        sharded = fully_shard(Layers(*rows), mesh=processes.mesh)
        together = list(masks(sharded, pattern, pruner))
        found[f"{pattern} {pruner}"] = (list(masks(Layers(*rows), pattern, pruner)), together)
    return found


def train_beside_another(processes: Processes, out: Path) -> None:
    """Train in a folder that somebody works in alone, which the first process finds out."""
    with claim(Folder(out).lock, alone=True) if processes.first else nullcontext():
        train_parallel(RUNS["ddp"], out, processes)


def refusals(processes: Processes, out: Path) -> list[str]:
    """The sentences of what this process must refuse, though only the other can see why."""
    model = fully_shard(Layers(4), mesh=processes.mesh)
    weight = torch.ones(4, 8)
    weight[3, 0] = torch.nan  # a row of the second process
    with torch.no_grad():
        (parameter,) = model.parameters()
        local(parameter).copy_(local(part(weight, parameter)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    own = out / f"private-{processes.rank}"
    if processes.first:
        save_state(Folder(own).resume(RUNS["ddp"]), {"there for the other": False})
    acts = [
        lambda: Sparsifier(model, optimizer, schedule=Constant(0, 4, 1), targets=0.5),
        lambda: train_parallel(config(batch=9), out, processes),
        lambda: train_parallel(config(kernels="auto"), out, processes),
        lambda: train_parallel(RUNS["ddp"], own, processes),
        lambda: train_beside_another(processes, out / "claimed"),
    ]
    sentences = []
    for act in acts:
        try:
            act()
        except InputError as error:
            sentences.append(str(error))
    return sentences


def copies(processes: Processes) -> list[Any]:
    """The weights of each process after some steps on copies of a model."""
    one = config(prune_start=0.1)
    trainer: Trainer = ParallelTrainer(one, make_batches(one), 0, processes)
    for _ in range(10):
        trainer.step()
    assert trainer.sparsifier is not None
    found: list[Any] = [None] * processes.size
    mine = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    distributed.all_gather_object(found, mine)
    return found


def work(out: Path) -> None:
    with join("fsdp", "cpu") as processes:
        as_copies = replace(processes, kind="ddp")
        for name, one in RUNS.items():
            train_parallel(one, out / name, as_copies if name == "ddp" else processes)
        train_parallel(BROKEN["from one"], out / "from one", processes)
        try:
            train_parallel(
                BROKEN["from two"],
                out / "from two",
                processes,
                progress=break_off,
                checkpoint_seconds=0,
            )
        except KeyboardInterrupt:
            processes.wait()
        found = {
            "compared": compared(processes),
            "refused": [None] * processes.size,
            "copies": copies(as_copies),
        }
        distributed.all_gather_object(found["refused"], refusals(processes, out))
        if processes.first:
            torch.save(found, out / "found.pt")
    # a new pair needs a new meeting place
    os.environ["MASTER_PORT"] = os.environ["SECOND_PORT"]
    sizes = ["--nonzero-params", "3072", "--depth", "1", "--seq-len", "32", "--valid-windows", "32"]
    sys.argv = ["simlib", "train", *sizes, "--steps", "8", "--out", str(out / "cli")]
    sys.argv += ["--parallel", "fsdp"]
    main()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
