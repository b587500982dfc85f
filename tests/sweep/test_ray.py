"""Sweeps on Ray: a cluster of two machines, one of which is lost, changes nothing."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
import ray
from driver import BASE, ENTRIES
from ray.cluster_utils import Cluster

from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import RunTable
from simlib.sweep import expand, sweep
from simlib.sweep.tasks import plan_tasks
from simlib.train import Folder, Update, read_side
from simlib.train.checkpoint import load_state

CONFIGS = expand(BASE | {"steps": 600}, ENTRIES)
MEASURED = {"seconds", "started_at"}
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # a busy machine is not this test's matter
}
NODE = {
    "num_cpus": 1,
    "object_store_memory": 2**27,
    "include_log_monitor": False,
    "dashboard_agent_listen_port": 0,
}


def lost(start: Path) -> RunConfig:
    """A run that must fail: the checkpoint that it starts from is none."""
    start.write_bytes(b"no weights")
    config = BASE | {"nonzero_params": 3072, "sparsity": 0.5}
    return RunConfig(**config, pruner="from_checkpoint", start=str(start))


def add_node(cluster: Cluster, **more: Any) -> Any:
    """A node with one core to give; under load its start may miss the 30 seconds Ray allows."""
    for last in (False, False, True):
        try:
            return cluster.add_node(**NODE, **more)
        except Exception as error:
            if last or "timed out" not in str(error):
                raise
    raise AssertionError


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster that has its head so far, and shares no file or setting with another Ray."""
    for name in [n for n in os.environ if n.startswith("RAY_")]:
        monkeypatch.delenv(name)
    made = Cluster()
    # short: sockets have names of 107 bytes; workers end a moment after their node
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        for name, value in (QUIET | {"RAY_TMPDIR": place, "TMPDIR": place}).items():
            monkeypatch.setenv(name, value)
        try:
            add_node(made, no_monitor=True, include_dashboard=False)
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


class NodeKiller:
    """Progress that kills a node as soon as a run there has left a checkpoint with the driver.

    Runs elsewhere wait for that, lest they be done before the node has begun.
    """

    def __init__(self, cluster: Cluster, node: Any, folder: Folder) -> None:
        self.cluster, self.node, self.folder = cluster, node, folder
        self.lost: RunConfig | None = None
        self.saved = 0  # steps in the checkpoint
        self.after: list[int] = []  # positions that the run reports later
        self.waiting: list[psutil.Process] = []

    def __call__(self, update: Update) -> None:
        if update.config == self.lost:
            self.after.append(update.position)
        elif self.lost is None:
            if worker := worker_of(self.node, update.config):
                if self.folder.resume(update.config).exists():
                    self._kill(update.config, worker)
            elif worker := worker_of(self.cluster.head_node, update.config):
                worker.suspend()
                self.waiting.append(worker)

    def _kill(self, config: RunConfig, worker: psutil.Process) -> None:
        worker.suspend()  # it must not finish while its node goes down
        self.lost = config
        self.saved = load_state(self.folder.resume(config))["position"]
        self.cluster.remove_node(self.node, allow_graceful=False)
        worker.kill()
        for other in self.waiting:
            other.resume()


def worker_of(node: Any, config: RunConfig) -> psutil.Process | None:
    """The process of a node that trains a run, if one does."""
    (raylet,) = node.all_processes["raylet"]
    workers = psutil.Process(raylet.process.pid).children(recursive=True)
    return next((w for w in workers if config.run_id in " ".join(w.cmdline())), None)


def values(table: RunTable) -> dict[str, dict[str, object]]:
    return {r.run_id: r.model_dump(exclude=MEASURED) for r in table}


def weights(root: Path) -> list[bytes]:
    return [Folder(root).weights(c.run_id).read_bytes() for c in CONFIGS]


def curves(root: Path) -> list[list[float]]:
    return [read_side(root, c.run_id)["curve"]["loss"] for c in CONFIGS]


def prefixes(root: Path) -> list[Path]:
    return sorted(p.relative_to(root) for p in root.glob("prefixes/*/*.safetensors"))


@pytest.mark.slow
def test_a_lost_node_changes_nothing(tmp_path: Path, cluster: Cluster) -> None:
    local = sweep(CONFIGS, tmp_path / "local", workers=2)
    folder = Folder(tmp_path / "ray")
    killer = NodeKiller(cluster, add_node(cluster), folder)
    result = sweep(
        [*CONFIGS, lost(tmp_path / "damaged.safetensors")],
        folder.root,
        engine="ray",
        address=cluster.address,
        progress=killer,
        checkpoint_seconds=0.05,
    )
    assert killer.lost, "no run on the second node left a checkpoint"
    assert 0 < killer.saved < min(killer.after)
    assert killer.after[-1] == killer.lost.total_steps
    assert "its node was lost" in (folder.of(killer.lost) / "log.txt").read_text()
    (failure,) = result.failures
    assert "damaged" in failure.reason
    assert "damaged" in failure.log.read_text()

    assert values(result.runs) == values(local.runs)
    assert values(folder.recorded()) == values(local.runs)
    assert weights(folder.root) == weights(tmp_path / "local")
    assert curves(folder.root) == curves(tmp_path / "local")
    assert prefixes(folder.root) == prefixes(tmp_path / "local")
    assert not list(folder.root.glob("**/resume.safetensors"))
    assert not ray.is_initialized()

    updates: list[Update] = []
    again = sweep(CONFIGS, folder.root, engine="ray", address="nowhere:1", progress=updates.append)
    assert values(again.runs) == values(local.runs)
    assert updates == []


KNOCK = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1])
except AuthenticationError:
    sys.exit(7)
"""


class Visitor:
    """Progress that looks from outside at the cluster that a sweep has started."""

    def __init__(self) -> None:
        self.listening: list[tuple[str, int]] = []
        self.answers: list[int] = []

    def __call__(self, update: Update) -> None:
        if self.listening:
            return
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        opened = [c for p in family for c in p.net_connections() if c.status == "LISTEN"]
        self.listening = [(c.laddr.ip.removeprefix("::ffff:"), c.laddr.port) for c in opened]
        address = ray.get_runtime_context().gcs_address
        for token in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
            outside = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
            call = [sys.executable, "-c", KNOCK, address]
            done = subprocess.run(call, env=outside | token, capture_output=True, check=False)
            self.answers.append(done.returncode)


def test_a_cluster_of_our_own_is_for_this_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in os.environ if n.startswith("RAY_")]:
        monkeypatch.delenv(name)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    visitor = Visitor()
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        where = {"engine": "ray", "address": "local", "progress": visitor}
        result = sweep(CONFIGS[:1], tmp_path / "runs", workers=1, **where)
    assert len(result.runs) == 1
    assert len(visitor.listening) > 3
    assert {ip for ip, _ in visitor.listening} == {"127.0.0.1"}
    for _, port in visitor.listening:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5).close()
    assert visitor.answers == [7, 7]
    assert not [n for n in os.environ if n.startswith("RAY_AUTH")]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:10001"])
def test_an_address_that_is_no_cluster_gets_a_sentence(tmp_path: Path, address: str) -> None:
    with pytest.raises(InputError, match="address") as error:
        sweep(CONFIGS, tmp_path, engine="ray", address=address)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs.csv").exists()


@pytest.fixture
def dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a cluster that ended without `ray stop`: Ray's file still names it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(address)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return address


@pytest.mark.parametrize(
    ("asked", "living", "told"),
    [(None, False, "local"), (None, True, None), ("auto", True, "auto"), ("local", True, "local")],
)
def test_a_cluster_that_ended_is_not_waited_for(
    dead: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    living: bool,
    told: str | None,
) -> None:
    heard = []

    def init(address: str | None, **_: object) -> None:
        heard.append(address)
        raise Exception("The node timed out. Perhaps it is busy.")  # as Ray does

    monkeypatch.setattr(ray, "init", init)
    with socket.socket() as server:
        if living:
            server.bind(("127.0.0.1", int(dead.rpartition(":")[2])))
            server.listen()
        with pytest.raises(InputError, match=r"cannot be used \(The node timed out\)"):
            sweep(CONFIGS, tmp_path, engine="ray", address=asked)
    assert heard == [told]


@pytest.mark.parametrize("asked", [None, "auto"])
def test_a_dead_cluster_that_was_asked_for_gets_a_sentence(
    dead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    with pytest.raises(InputError, match=f"{dead}, does not answer.*'local'"):
        sweep(CONFIGS, tmp_path, engine="ray", address="auto")
    monkeypatch.setenv("RAY_ADDRESS", dead)
    with pytest.raises(InputError, match=f"{dead}' does not answer"):
        sweep(CONFIGS, tmp_path, engine="ray", address=asked)


def test_a_share_of_a_gpu_is_a_share(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="share"):
        sweep(CONFIGS, tmp_path, engine="ray", gpu_share=1.5)


def test_without_ray_its_engine_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "simlib.sweep.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'simlib\[ray\]'"):
        sweep(CONFIGS, tmp_path, engine="ray")


@pytest.mark.parametrize(("gpus", "sizes"), [(1, [16, 4]), (2, [10, 10]), (8, [3] * 6 + [2])])
def test_runs_are_spread_over_all_gpus(tmp_path: Path, gpus: int, sizes: list[int]) -> None:
    seeds = {"nonzero_params": 6144, "device": "cuda", "seed": list(range(20))}
    tasks = plan_tasks(Folder(tmp_path), expand(BASE, [seeds]), gpus)
    assert [len(t.configs) for t in tasks] == sizes
