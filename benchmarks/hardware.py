"""Is sparse really faster? Products with sparse weights against dense ones, in turn.

Example: python benchmarks/hardware.py --save my-cpu.json
         python benchmarks/hardware.py --device cuda --save my-gpu.json

A CPU is measured with one thread in float32, a GPU with its 2:4 units in float16. On a CPU whole
training steps and forward passes of whole models follow, where the kernels can be compiled.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import torch

from simlib.cli.output import force_option, saved
from simlib.runs.config import RunConfig
from simlib.runs.timings import TRAINING_ROWS, ServingTiming, StepTiming, Timing
from simlib.simulate.kerneltimes import CATALOG, TimingFile
from simlib.timing.rivals import kernels_here, time_shape
from simlib.timing.whole import serve_run, time_steps
from simlib.train import train_run

SPARSITIES = (0.5, 0.75, 0.875, 0.9375)
SERVING_ROWS = (1, 16)
MODELS = (("gpt", 64), ("gpt", 128), ("gpt", 256), ("t5", 64), ("vit", 64))  # family, width
CORPORA = {"gpt": "python", "t5": "python", "vit": "glyphs"}


def machine(device: str) -> dict[str, str]:
    """The class of the machine."""
    if device == "cuda":
        return {"device": torch.cuda.get_device_name(), "precision": "float16"}
    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "device": f"CPU, {platform.machine()}, {capability}",
        "vendor": _vendor(),
        "threads": "1",
        "precision": "float32",
    }


def _vendor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")


def model(family: str, width: int, sparsity: float) -> RunConfig:
    """A run of about this width that is pruned at once and stays at that mask."""
    dense = 2 * width * width * (12 if family != "t5" else 28)
    return RunConfig(
        family=family,
        corpus=CORPORA[family],
        sparsity=sparsity,
        steps=150,
        batch=8,
        seq_len=64,
        nonzero_params=round(dense * (1 - sparsity)),
        schedule="oneshot",
        prune_start=0.1,
        prune_end=0.1,
        valid_windows=64,
        embeddings="dense",
    )


def whole_models(
    rounds: int, keep: Callable[[list[StepTiming], list[ServingTiming]], None]
) -> None:
    """Steps and forward passes of whole models; `keep` is called after each."""
    steps: list[StepTiming] = []
    serving: list[ServingTiming] = []
    for family, width in MODELS:
        for sparsity in SPARSITIES:
            config = model(family, width, sparsity)
            steps.append(time_steps(config, rounds))
            with TemporaryDirectory() as folder:
                record = train_run(config, folder)
                for examples in (1, 8):
                    served = serve_run(folder, record.run_id, examples=examples, rounds=rounds)
                    serving.append(served)
            click.echo(f"{steps[-1]}\n{serving[-1]}")
            keep(steps, serving)


@click.command()
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--width", "widths", type=int, multiple=True, default=(128, 256, 512, 1024))
@click.option("--rounds", default=9, show_default=True, help="Measurements of every product.")
@click.option("--save", required=True, help="A path ending in .json.")
@force_option
def main(device: str, widths: tuple[int, ...], rounds: int, save: str, force: bool) -> None:
    """Measure every kernel, product and shape, and save them after each width."""
    path = saved(save, CATALOG.folder, force)
    names = kernels_here(device)
    packages = [n for n in ("torch", "scipy", "sparseprop") if find_spec(n)]
    made = {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "load": f"{os.getloadavg()[0]:.1f} programs on {os.cpu_count()} cores",
        "kernels": ", ".join(names),
        "versions": ", ".join(f"{n} {version(n)}" for n in packages),
    }
    timings: list[Timing] = []
    for width in widths:
        for sparsity in SPARSITIES if device == "cpu" else (0.5,):
            for rows in (TRAINING_ROWS, *SERVING_ROWS):
                timings += time_shape(width, rows, sparsity, rounds, device=device)
        # after every width: what a slow machine has measured is kept
        CATALOG.write(path, TimingFile(machine(device), made, timings))
        click.echo(f"width {width}: {len(timings)} timings in {path}")
    if device == "cpu" and "compiled" in names:
        whole_models(
            rounds,
            lambda steps, serving: CATALOG.write(
                path, TimingFile(machine(device), made, timings, steps, serving)
            ),
        )


if __name__ == "__main__":
    main()
