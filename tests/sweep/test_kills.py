"""Sweeps of every kind are killed at any moment, their files damaged, and nothing is lost.

A sweep is killed with signal 9 again and again, its driver, a worker or all of it, and goes on each
time; in between what a disk may do to a file is done to one. It ends with the rows of a sweep that
nothing disturbed. SIMLIB_KILLS=200 kills so often; `make kills` does.
"""

import multiprocessing
import os
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest
from damage import flip, overwrite, zeros
from driver import BASE
from test_damaged_sweep import values

from simlib.runs.table import read_table
from simlib.sweep import engine, expand, sweep
from simlib.sweep.allotted import pack_runs
from simlib.sweep.collect import collect

KILLS = int(os.environ.get("SIMLIB_KILLS", "16"))
CHAIN = 4  # kills of one sweep
SHORT = BASE | {"steps": 120}
IMAGES = {"family": "vit", "corpus": "glyphs", "depth": 1, "warmup_steps": 10, "mask_interval": 5}
KINDS = {
    "runs that share prefixes": expand(
        SHORT,
        [
            {"nonzero_params": 6144, "sparsity": 0},
            {"nonzero_params": 3072, "sparsity": 0.5, "pruner": ["gmp", "set"]},
        ],
    ),
    "runs that start from a dense one": expand(
        SHORT,
        [
            {"nonzero_params": 6144, "sparsity": 0},
            {"nonzero_params": 3072, "sparsity": 0.5, "pruner": "from_checkpoint", "start": {}},
        ],
    ),
    "patterns": expand(
        SHORT, [{"nonzero_params": 3072, "sparsity": 0.5, "pattern": ["2:4", "block4x4"]}]
    ),
    "encoder and decoder": expand(
        SHORT | {"family": "t5"}, [{"nonzero_params": 6336, "sparsity": 0.5, "seed": [0, 1]}]
    ),
    "images": expand(
        IMAGES | {"steps": 30, "valid_windows": 32, "batch": 8},
        [{"nonzero_params": 6144, "sparsity": [0, 0.5]}],
    ),
}
COLLECTED = "rows that an archive brings"


def drive(kind: str, out: Path, archive: Path) -> None:
    """The sweep of a kind, in a process of its own; its workers are forked: no torch to import."""
    engine._context = lambda: multiprocessing.get_context("fork")  # type: ignore[assignment]
    if kind == COLLECTED:
        collect(archive, out)
    else:
        assert not sweep(KINDS[kind], out, workers=2, checkpoint_seconds=0.01).failures


def begin(*arguments: object) -> BaseProcess:
    """The driver, forked like workers from a server that has imported torch."""
    process = engine._context().Process(target=drive, args=arguments)  # type: ignore[attr-defined]
    process.start()
    return process


def kill(driver: BaseProcess, whom: str) -> None:
    """Kill the driver, one of its workers, or all; what is left of it has ended afterwards."""
    assert driver.pid
    workers = psutil.Process(driver.pid).children(recursive=True)
    if whom != "driver":
        for worker in workers[: None if whom == "all" else 1]:
            worker.kill()
    if whom != "worker":
        driver.kill()
    driver.join()
    psutil.wait_procs(workers, timeout=60)


def damage(rng: random.Random, out: Path) -> str:
    """Do to one file what a disk or a full one does; cut lines of the table are no longer there."""
    states = [*out.glob("*/resume*.safetensors"), *out.glob("prefixes/*/[0-9]*.safetensors")]
    table = out / "runs.csv"
    if table.is_file() and (not states or rng.random() < 0.3):
        content = table.read_bytes()
        overwrite(table, content[: -rng.randrange(1, 40)])
        return "the table"
    if not states:
        return ""
    path = rng.choice(sorted(states))
    match rng.randrange(3):
        case 0:
            flip(path, rng.randrange(path.stat().st_size))
        case 1:
            zeros(path, rng.randrange(path.stat().st_size), 4096)
        case _:
            overwrite(path, path.read_bytes()[: rng.randrange(path.stat().st_size)])
    return path.name


def lines(out: Path) -> set[bytes]:
    """The whole rows of the table."""
    table = out / "runs.csv"
    found = table.read_bytes().split(b"\n")[1:-1] if table.is_file() else []
    return set(found)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Path, float]]:
    """The folder of each kind's sweep that nothing disturbed, and how long it took."""
    place, found = tmp_path_factory.mktemp("undisturbed"), dict[str, tuple[Path, float]]()
    archive = place / "runs.zip"
    for number, kind in enumerate((*KINDS, COLLECTED)):
        if kind == COLLECTED:
            pack_runs(found["patterns"][0], archive)
        started = time.monotonic()
        driver = begin(kind, place / str(number), archive)
        driver.join()
        assert driver.exitcode == 0, kind
        found[kind] = place / str(number), time.monotonic() - started
    return found


@pytest.mark.slow
def test_whatever_is_killed_and_damaged_the_rows_are_those_of_a_sweep_left_alone(
    undisturbed: dict[str, tuple[Path, float]], tmp_path: Path
) -> None:
    rng, counts = random.Random(16), {"kills": 0, "damaged": 0, "chains": 0}
    while counts["kills"] < KILLS:
        kind = (*KINDS, COLLECTED)[counts["chains"] % (len(KINDS) + 1)]
        whole, seconds = undisturbed[kind]
        archive, out = whole.parent / "runs.zip", tmp_path / str(counts["chains"])
        said, kept = [kind], set[bytes]()
        for _ in range(min(CHAIN, KILLS - counts["kills"])):
            driver = begin(kind, out, archive)
            driver.join(rng.uniform(0, 0.5 * seconds))
            if not driver.is_alive():
                break
            whom = rng.choice(("driver", "worker", "all"))
            kill(driver, whom)
            counts["kills"] += 1
            said.append(whom)
            assert kept <= lines(out), said
            kept = lines(out)
            if rng.random() < 1 / 3 and (name := damage(rng, out)):
                counts["damaged"] += 1
                said.append(f"{name} damaged")
                kept &= lines(out)
        driver = begin(kind, out, archive)
        driver.join()
        assert driver.exitcode == 0, said
        assert kept <= lines(out), said
        assert values(read_table(out / "runs.csv")) == values(read_table(whole / "runs.csv")), said
        assert not list(out.glob("*/resume*.safetensors")), said  # of a run
        counts["chains"] += 1
        print(counts, flush=True)  # noqa: T201  for who waits for 200
