"""Training away from the sweep's folder: only bytes travel, and nothing differs."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from driver import BASE, ENTRIES

from simlib.errors import InputError
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord
from simlib.sweep import expand
from simlib.sweep.remote import Parcel, conditions, keep, needed, remaining, train_away
from simlib.sweep.tasks import Task, plan_tasks
from simlib.train import Folder, Update, load_model, train_pack

CONFIGS = expand(BASE | {"steps": 100}, ENTRIES[:1])
MEASURED = {"seconds", "started_at"}  # the columns that are not a function of the config


def values(record: RunRecord) -> dict[str, object]:
    return record.model_dump(exclude=MEASURED)


def send(folder: Folder, task: Task) -> Iterator[Parcel]:
    left = remaining(folder, task, {r.run_id for r in folder.recorded()})
    files = needed(folder, left)
    contents = [p.read_bytes() for p in files.values()]
    return train_away(left, conditions(left), 0.1, list(files), *contents)


def one_task(configs: list[RunConfig]) -> Task:
    return Task("run", configs=tuple(configs))


@pytest.mark.slow
def test_a_run_goes_on_elsewhere_from_what_was_sent_back(tmp_path: Path) -> None:
    (config,) = expand(BASE | {"steps": 1000}, ENTRIES[:1])  # long beside a checkpoint's way
    (plain,) = train_pack([config], tmp_path / "plain")
    folder, task = Folder(tmp_path / "away"), one_task([config])
    first = send(folder, task)
    for parcel in first:
        keep(folder, task, parcel)
        if folder.resume(config).exists():
            break
    del first  # as if its machine were gone
    assert not folder.recorded().records
    positions = []
    for parcel in send(folder, task):
        keep(folder, task, parcel)
        positions += [u.position for u in parcel.updates]
    (record,) = folder.recorded()
    assert values(record) == values(plain)
    assert not folder.resume(config).exists()
    weights = [f / config.run_id / "weights.safetensors" for f in (tmp_path / "plain", folder.root)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert positions[-1] == 1000


def test_a_reader_that_leaves_ends_the_training(tmp_path: Path) -> None:
    task = one_task(expand(BASE | {"steps": 100_000}, ENTRIES[:1]))
    before = threading.active_count()
    parcels = train_away(task, conditions(task), 30.0, [])
    next(parcels)
    assert threading.active_count() == before + 1
    parcels.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "0.0.1"}, "same version"),
        ({"corpora": {("python", ""): "f" * 64}}, "same data"),
    ],
)
def test_a_machine_that_would_train_something_else_refuses(
    change: dict[str, object], said: str
) -> None:
    task = one_task(CONFIGS)
    required = replace(conditions(task), **change)  # type: ignore[arg-type]
    *_, last = train_away(task, required, 30.0, [])
    assert last.over
    assert said in str(last.reason)
    assert said in last.log
    assert not last.files


@pytest.mark.slow
def test_trunks_and_starts_travel(tmp_path: Path) -> None:
    dense = expand(BASE | {"steps": 60}, ENTRIES[:1])
    (record,) = train_pack(dense, tmp_path / "dense")
    start = tmp_path / "dense" / record.run_id / "weights.safetensors"
    pruned = {"nonzero_params": 3072, "sparsity": 0.5, "pruner": "from_checkpoint"}
    configs = expand(BASE | {"steps": 60}, [pruned | {"start": str(start)}, *ENTRIES])
    folder = Folder(tmp_path / "away")
    for task in plan_tasks(folder, configs):
        for parcel in send(folder, task):
            keep(folder, task, parcel)
            assert parcel.reason is None
    assert not list(folder.root.glob("**/start.safetensors"))
    plain = {r.run_id: values(r) for r in train_pack(configs, tmp_path / "plain")}
    assert {r.run_id: values(r) for r in folder.recorded()} == plain
    assert load_model(folder.root, configs[0].run_id)


def test_a_lost_task_is_sent_again_without_what_it_has_finished(tmp_path: Path) -> None:
    configs = expand(BASE | {"steps": 40}, [{"nonzero_params": 3072, "seed": [0, 1]}])
    train_pack(configs[:1], tmp_path)
    left = remaining(Folder(tmp_path), one_task(configs), {configs[0].run_id})
    assert left.configs == (configs[1],)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.safetensors",
        "/tmp/evil.safetensors",
        "{run}/../../evil.safetensors",
        "{run}/deep/weights.safetensors",
        "{run}/.hidden.safetensors",
        "{other}/weights.safetensors",
        "prefixes/{other}/000000001.safetensors",
        "runs.csv",
        "{run}/side.json\0",
        "",
    ],
)
def test_file_names_that_workers_send_are_names_of_their_task(tmp_path: Path, name: str) -> None:
    (config,), other = CONFIGS[:1], "0" * 16
    name = name.format(run=config.run_id, other=other)
    good = f"{config.run_id}/side.json"
    parcel = Parcel((), {good: b"{}", name: b"evil"}, "", False, None)
    folder = Folder(tmp_path / "away")
    with pytest.raises(InputError, match="none of its task's"):
        keep(folder, one_task([config]), parcel)
    assert not list(tmp_path.rglob("*.*"))


def test_a_record_of_another_run_is_refused(tmp_path: Path) -> None:
    (record,) = train_pack(CONFIGS[:1], tmp_path / "plain")
    (other,) = expand(BASE | {"steps": 50}, ENTRIES[:1])
    update = Update(CONFIGS[0], 100, 100, 1.0, 0.0, finished=record)
    with pytest.raises(InputError, match="none of its task's"):
        keep(Folder(tmp_path / "away"), one_task([other]), Parcel((update,), {}, "", True, None))
    assert not (tmp_path / "away").exists()
