"""A grid carried to a machine with PyTorch alone, stopped, continued elsewhere, brought back."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
import zipfile
from itertools import islice
from pathlib import Path

import pytest

from simlib.corpora import glyphs, load_corpus, python_source
from simlib.errors import InputError
from simlib.runs.table import read_table, write_table
from simlib.sweep import allotted, carried, carry, read_grid
from simlib.sweep.allotted import TimeUpError, pack_runs, train_for
from simlib.sweep.carry import pack
from simlib.sweep.collect import collect
from simlib.train import Folder, Update, batches, train_run
from simlib.train.settings import commit, cpu, versions

GRID = """# Two runs to carry.
base: {nonzero_params: 3072, depth: 1, seq_len: 32, batch: 4, warmup_steps: 5, mask_interval: 5,
       valid_windows: 32, compute: eager}
runs:
  - {sparsity: [0.5, 0.75], steps: 40}
"""
# what PyTorch brings, numpy among it
TORCH = (
    "torch",
    "torchgen",
    "functorch",
    "numpy",
    "numpy.libs",
    "typing_extensions.py",
    "sympy",
    "mpmath",
    "networkx",
    "jinja2",
    "markupsafe",
    "filelock",
    "fsspec",
)
BARE = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A grid file, with a corpus of a few files in place of the whole."""
    # of pinned packages: which file is for validation depends on what it holds
    files = list(islice(python_source.source_files(), 200))
    monkeypatch.setattr(python_source, "source_files", lambda: files)
    monkeypatch.setattr(carry, "PACKAGES", [p for p in carry.PACKAGES if p != "numpy"])
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "cache"))
    batches._corpus.cache_clear()
    path = tmp_path / "two.yaml"
    path.write_text(GRID)
    yield path
    batches._corpus.cache_clear()


@pytest.fixture
def torch_alone(tmp_path: Path) -> Path:
    """A folder of packages that holds PyTorch and what it needs, and nothing else."""
    import torch

    folder, source = tmp_path / "torch-alone", Path(torch.__file__).parents[1]
    folder.mkdir()
    for name in TORCH:
        if (source / name).exists():
            (folder / name).symlink_to(source / name)
    return folder


def unpacked(job: Path, work: Path) -> Path:
    with zipfile.ZipFile(job) as archive:
        archive.extractall(work / "job")
    return work


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the corpus 'python' differs")
def test_it_trains_where_there_is_nothing_but_pytorch(
    grid: Path, torch_alone: Path, tmp_path: Path
) -> None:
    machine = tmp_path / "machine"
    machine.mkdir()
    pack(grid, machine / "two.zip", ["sparsity=0.5"])
    (run,) = read_grid(grid).only(["sparsity=0.5"]).configs
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        BARE,
        str(torch_alone),
        "two.zip",
        "--workers",
        "1",
    ]

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more],
            cwd=machine,
            env={"HOME": str(machine)},
            capture_output=True,
            text=True,
            check=False,
        )

    stopped = call("--minutes", "0.01")  # not enough for anything
    assert stopped.returncode == 1, stopped.stderr
    assert "0 of 1 runs recorded" in stopped.stdout
    assert "--continue two-runs.zip" in stopped.stdout
    done = call("--continue", "two-runs.zip")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 runs recorded" in done.stdout
    assert len(collect(machine / "two-runs.zip", tmp_path / "home").new) == 1
    assert len(collect(machine / "two-runs.zip", tmp_path / "home").new) == 0
    (row,) = read_table(tmp_path / "home" / "runs.csv")
    assert row.run_id == run.run_id
    assert (row.versions, row.commit, row.cpu) == (versions(), commit(), cpu())
    assert row.loss == train_run(run, tmp_path / "here").loss
    assert (tmp_path / "home" / run.run_id / "side.json").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the corpus 'python' differs")
def test_it_imports_nothing_from_beside_itself(grid: Path, tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    pack(grid, machine / "two.zip", ["sparsity=0.5"])
    hit = tmp_path / "hit"
    source = machine / "two" / "job" / "simlib-source"
    places = [machine, source, source / "simlib", machine / "two" / "job" / "packages"]
    names = ("multiprocessing", "tqdm", "yaml", "torch", "usercustomize", "errors")
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            (place / f"{name}.py").write_text(f"open({str(hit)!r}, 'a').write(__file__)\n")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = machine / "two" / f".code-{platform.node()}-{gone.pid}-x"  # by a job that was killed
    lives = machine / "two" / f".code-{platform.node()}-{os.getpid()}-x"
    for folder in (left, lives):
        (folder / "simlib-source").mkdir(parents=True)
    command = [sys.executable, "two.zip", "--workers", "1"]
    environment = {"HOME": str(tmp_path / "empty"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command, cwd=machine, env=environment, capture_output=True, text=True, check=False
    )
    assert not hit.exists(), hit.read_text()
    assert done.returncode == 0, done.stderr
    assert len(collect(machine / "two-runs.zip", tmp_path / "home").new) == 1
    assert list((machine / "two").glob(".code-*")) == [lives]


@pytest.mark.filterwarnings("ignore:the corpus 'python' differs")
def test_when_time_is_up_what_is_done_is_packed(
    grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(grid, tmp_path / "two.zip")
    work = unpacked(tmp_path / "two.zip", tmp_path / "work")

    def slow(configs, out, **_):
        train_run(configs[0], out)
        signal.raise_signal(signal.SIGALRM)
        pytest.fail("it went on")

    monkeypatch.setattr(allotted, "sweep", slow)
    archive = str(tmp_path / "runs.zip")
    with pytest.raises(TimeUpError), allotted._alarm(0.05):
        time.sleep(60)
    done = train_for(work, archive, None, time.monotonic() + 600, None)
    assert (done.recorded, done.wanted) == (1, 2)
    assert len(collect(archive, tmp_path / "home").new) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the corpus 'python' differs")
def test_another_machine_goes_on_to_the_same_bits(grid: Path, tmp_path: Path) -> None:
    run = read_grid(grid).configs[0]

    def stop(update: Update) -> None:
        if update.position >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(run, tmp_path / "one", progress=stop, checkpoint_seconds=0)
    pack_runs(tmp_path / "one", tmp_path / "runs.zip")
    collect(tmp_path / "runs.zip", tmp_path / "home")
    assert not Folder(tmp_path / "home").resume(run).exists()
    collect(tmp_path / "runs.zip", tmp_path / "other", everything=True)
    assert Folder(tmp_path / "other").resume(run).exists()
    unbroken = train_run(run, tmp_path / "unbroken")
    assert train_run(run, tmp_path / "other").loss == unbroken.loss


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the corpus 'python' differs")
@pytest.mark.parametrize("cut", [None, -1, -60])
def test_collect_loses_no_row_of_either_table(grid: Path, tmp_path: Path, cut: int | None) -> None:
    runs = read_grid(grid).configs
    home, away = tmp_path / "home", tmp_path / "away"
    records = [train_run(runs[0], home), *(train_run(r, away) for r in runs)]
    for table in (home / "runs.csv", away / "runs.csv"):
        table.write_bytes(table.read_bytes()[:cut])
    pack_runs(away, tmp_path / "runs.zip")
    collect(tmp_path / "runs.zip", home)
    whole = [records[1].run_id] if cut == -60 else [r.run_id for r in records[1:]]
    assert [r.run_id for r in read_table(home / "runs.csv")] == whole
    collect(tmp_path / "runs.zip", home)
    assert [r.run_id for r in read_table(home / "runs.csv")] == whole
    assert (home / "runs.csv.damaged").exists() == (cut == -60)


def test_a_corpus_that_was_set_aside_is_unpacked_again(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "job.zip", "w") as archive:
        archive.writestr("cache/corpora/python/train.bin", "text")
        archive.writestr("job.json", "{}")
    folder = tmp_path / "work"
    with zipfile.ZipFile(tmp_path / "job.zip") as archive:
        carried._unpack(archive, folder)
        (folder / "job.json").write_text("kept")
        carried._unpack(archive, folder)
        assert (folder / "job.json").read_text() == "kept"
        corpus = folder / "cache" / "corpora" / "python"
        corpus.rename(corpus.with_name("python.damaged"))
        carried._unpack(archive, folder)
        assert (corpus / "train.bin").read_text() == "text"


@pytest.mark.slow
def test_images_of_characters_can_be_carried() -> None:
    folder = carry._corpus_folder("glyphs:classes=16")
    assert (folder / "atlas.bin").exists()


def test_mistakes_are_one_sentence(grid: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("# Photographs.\nruns:\n  - {family: vit, corpus: cifar10, steps: 100}\n")
    with pytest.raises(InputError, match="'cifar10' cannot be carried"):
        pack(own, tmp_path / "job.zip")
    assert not (tmp_path / "job.zip").exists()
    with pytest.raises(InputError, match="cannot be read as an archive"):
        collect(own, tmp_path / "home")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the corpus 'python' differs")
def test_a_job_for_another_python_and_runs_on_another_corpus_are_refused(
    grid: Path, tmp_path: Path
) -> None:
    job = tmp_path / "two.zip"
    pack(grid, job)
    with zipfile.ZipFile(job) as archive:
        about = json.loads(archive.read("job.json")) | {"Python": "2.7"}
        main = archive.read("__main__.py")
    with zipfile.ZipFile(job, "w") as archive:
        archive.writestr("job.json", json.dumps(about))
        archive.writestr("__main__.py", main)
    done = subprocess.run([sys.executable, job], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "packed for Python 2.7" in done.stderr
    run = read_grid(grid).configs[0]
    record = train_run(run, tmp_path / "one")
    pack_runs(tmp_path / "one", tmp_path / "runs.zip")
    other = record.model_copy(update={"dataset_sha256": "f" * 64, "run_id": "0" * 16})
    (tmp_path / "home").mkdir()
    write_table(
        tmp_path / "home" / "runs.csv", type(read_table(tmp_path / "one/runs.csv"))([other])
    )
    with pytest.raises(InputError, match="two versions"):
        collect(tmp_path / "runs.zip", tmp_path / "home")


@pytest.mark.filterwarnings("ignore:the corpus 'glyphs' differs")
def test_characters_are_carried_whatever_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glyphs, "_common_characters", lambda paths: list("abcdefghij"))
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    corpus = load_corpus("glyphs:classes=5,size=8,draw=quasirandom")
    corpus.sampler(4).batch(0)
    folder = carry._corpus_folder(corpus.name)
    assert {path.name for path in folder.iterdir()} == {
        "atlas.bin",
        "characters.txt",
        "manifest.json",
    }
