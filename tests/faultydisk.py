"""A disk that fails at one step of what the library writes, in a way that disks do."""

import errno
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simlib import files
from simlib.files import Disk

HOWS = ("full", "error", "killed", "short")


class Killed(BaseException):
    """The process ends here: nothing that it does afterwards reaches the disk."""


class FaultyDisk(Disk):
    """Counts its steps and fails at step `at`, counted from 0.

    "full": from there on there is no room for another byte or name. "error": this step fails, once.
    "killed": half of it is done, and nothing after it. "short": a write takes half of what it is
    given, and the caller must write the rest; another step is done.
    """

    def __init__(self, at: int | None = None, how: str = "error") -> None:
        self.at, self.how, self.steps = at, how, 0
        self.room = set[int]()  # steps that take some
        self.writes = set[int]()  # those of them that may be short

    def ways(self) -> list[tuple[int, str]]:
        """Every step that was counted, with the ways in which it can fail differently."""
        places = {"full": self.room, "short": self.writes}
        return [(at, how) for how in HOWS for at in sorted(places.get(how, range(self.steps)))]

    def _fails(self, takes_room: bool) -> bool:
        """Whether this step fails with an error. Raises Killed if the process has ended."""
        now = self.steps
        self.steps += 1
        if takes_room:
            self.room.add(now)
        if self.at is None or now < self.at:
            return False
        if self.how == "killed" and now > self.at:
            raise Killed
        return (takes_room if self.how == "full" else now == self.at) and self.how != "short"

    def _fail(self) -> None:
        if self.how == "killed":
            raise Killed
        raise OSError(errno.ENOSPC if self.how == "full" else errno.EIO, f"{self.how} by the test")

    def _step(self, do: Callable[[], None], takes_room: bool = False) -> None:
        if self._fails(takes_room):
            self._fail()
        do()

    def folder(self, path: Path) -> None:
        if not path.exists():
            self._step(lambda: Disk.folder(self, path), takes_room=True)

    def open(self, path: Path, mode: str) -> io.FileIO:
        self._step(lambda: None, takes_room=not path.exists())
        return super().open(path, mode)

    def write(self, file: io.FileIO, content: bytes) -> int:
        self.writes.add(self.steps)
        fails, half = self._fails(takes_room=True), content[: len(content) // 2]
        if fails:
            super().write(file, half)
            self._fail()
        short = self.how == "short" and self.steps - 1 == self.at and half
        return super().write(file, half or content if short else content)

    def truncate(self, file: io.FileIO, size: int) -> None:
        self._step(lambda: Disk.truncate(self, file, size))

    def fill(self, path: Path, fill: Callable[[Path], None]) -> None:
        fails = self._fails(takes_room=True)
        fill(path)
        if fails:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            self._fail()

    def sync(self, place: io.FileIO | Path) -> None:
        self._step(lambda: None)  # what is written survives the end of a process

    def rename(self, path: Path, new: Path) -> None:
        self._step(lambda: Disk.rename(self, path, new))

    def remove(self, path: Path) -> None:
        self._step(lambda: Disk.remove(self, path))


@contextmanager
def faulty(at: int | None = None, how: str = "error") -> Iterator[FaultyDisk]:
    """Put such a disk in the place of the library's; without `at` one that is whole, and fast."""
    before, files.disk = files.disk, FaultyDisk(at, how)
    try:
        yield files.disk
    finally:
        files.disk = before
