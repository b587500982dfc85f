"""The processes that train one run together, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from simlib.errors import InputError
from simlib.runs.config import RunConfig

Kind = Literal["ddp", "fsdp"]
T = TypeVar("T")
# the first may fetch a corpus for long while the others wait; where one dies, torchrun ends all
PATIENCE = timedelta(hours=6)


@dataclass(frozen=True)
class Processes:
    """This process (`rank`, 0 for the first) among `size` that train one run as `kind` says."""

    kind: Kind
    rank: int
    size: int
    mesh: DeviceMesh

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def check(self, config: RunConfig) -> None:
        """Raise InputError if they cannot have equal parts of a batch, or for kernels of one."""
        if config.kernels != "masks":
            raise InputError(
                f"kernels {config.kernels!r} are for one process: train with kernels 'masks' on "
                "several"
            )
        if config.batch % self.size:
            raise InputError(
                f"a batch of {config.batch} cannot be shared equally by {self.size} processes: "
                f"choose a batch that is a multiple of {self.size}, or other --nproc-per-node"
            )

    def wait(self) -> None:
        """Wait until all processes are here."""
        distributed.barrier()

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the processes of a tensor that each has, the same on all."""
        total = value.clone()
        distributed.all_reduce(total)
        return total / self.size

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, which have equally many, in their order."""
        found = [torch.empty_like(rows) for _ in range(self.size)]
        distributed.all_gather(found, rows.contiguous())
        return torch.cat(found)

    def told(self, ask: Callable[[], T]) -> T:
        """What the first process answers, on all of them."""
        answer = [ask() if self.first else None]
        distributed.broadcast_object_list(answer, src=0)
        found: Any = answer[0]
        return found

    def agree(self, work: Callable[[], T], *, same: bool = False) -> T:
        """Do `work` on every process.

        Raises InputError on all if one cannot, or if results that should be the `same` differ.
        """
        try:
            result, problem = work(), ""
        except InputError as error:
            result, problem = None, str(error)
        reports: list[Any] = [None] * self.size
        distributed.all_gather_object(reports, (problem, result if same else None))
        for problem, _ in reports:
            if problem:
                raise InputError(problem)
        if any(found != reports[0][1] for _, found in reports):
            raise InputError(
                "the processes find different files: give all of them one folder (--out, on a "
                "disk that all machines share) and one version of the corpus"
            )
        done: Any = result
        return done


@contextmanager
def join(kind: Kind, device: str) -> Iterator[Processes]:
    """Meet the other processes; once in the life of a process.

    Raises InputError, before it waits for anybody, if torchrun did not start this process or
    there is no device for it.
    """
    rank, size = started(kind)
    if device == "cuda":
        _take_device(os.environ)
    backend = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}[device]
    distributed.init_process_group(backend, rank=rank, world_size=size, timeout=PATIENCE)
    yield Processes(kind, rank, size, init_device_mesh(device, (size,)))
    # not after an error: this may wait for the others, which may wait for what will not come
    distributed.destroy_process_group()


def started(kind: Kind, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """The number of this process, 0 for the first, and how many there are.

    Raises InputError if torchrun, or what stands in for it, did not start it.
    """
    try:
        return int(environment["RANK"]), int(environment["WORLD_SIZE"])
    except (KeyError, ValueError):
        raise InputError(
            f"{kind} needs the processes that torchrun starts: put `torchrun --standalone "
            "--nproc-per-node 2 --no-python` before the command, with the number you want"
        ) from None


def _take_device(environment: Mapping[str, str]) -> None:
    """One GPU for each process of this machine; too few are found out by all of them alike."""
    devices, wanted = torch.cuda.device_count(), int(environment.get("LOCAL_WORLD_SIZE", 1))
    if wanted > devices:
        raise InputError(
            f"{wanted} processes on this machine need a GPU each, and torch finds {devices}: "
            "start that many with --nproc-per-node, or use device 'cpu'"
        )
    torch.cuda.set_device(int(environment.get("LOCAL_RANK", 0)))
