"""`make test` on a machine where nobody was before: what `.ci/run` runs in the end.

Where root may make a mount namespace (Linux), /tmp and the home are new and empty there, and hardly
a variable of this environment is left: no configuration, no cache, no folder that some other
program made. What the project itself needs from below the old /tmp stays in its place. The home is
a new folder rather than an empty one over the old, because Python itself may live there.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tasks import BIN, BUILD, ROOT, VENV, Failed, run, say, works

TMP = Path("/tmp")
HOME = TMP / "home"
STAGE = BUILD / "empty"  # where the new /tmp is filled; anywhere but below the old one's mounts
GIVEN = ("CHROMIUM", "SIMLIB_DATA", "SIMLIB_CIFAR10")  # what .ci/run and its caller point at
PLAIN = ("PATH", "LANG", "LC_ALL", "TERM", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
NAMESPACE = ("unshare", "--mount", "--propagation", "private")
TMPFS = ("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", STAGE)


def environment() -> dict[str, str]:
    """The variables that are left, the empty home and this Python."""
    left = {name: os.environ[name] for name in (*PLAIN, *GIVEN) if name in os.environ}
    return left | {"HOME": str(HOME), "PYTHON": str(BIN / "python")}


def needed() -> Iterator[Path]:
    """Folders below the old /tmp that the new one must have."""
    given = [Path(os.environ[name]).resolve() for name in GIVEN if name in os.environ]
    folders = [path if path.is_dir() else path.parent for path in given]
    for folder in (ROOT, VENV.resolve(), Path(sys.base_prefix).resolve(), *folders):
        if TMP.resolve() in folder.parents:
            yield folder


def empty_tmp() -> None:
    """Put an empty folder over /tmp, with what is needed bound into it; of this namespace alone."""
    run(*TMPFS, check=f"no tmpfs on {STAGE}")
    for folder in needed():
        place = STAGE / folder.relative_to(TMP.resolve())
        place.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", folder, place, check=f"{folder} cannot be bound")
    run("mount", "--move", STAGE, TMP, check="no new /tmp")
    os.chdir(ROOT)  # the old one is another folder now
    HOME.mkdir()


def main() -> None:
    """Become `make test`, in an empty place if there can be one."""
    test = ("make", "test")
    STAGE.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] == ["inside"]:
        empty_tmp()
        os.execvpe(test[0], test, environment())
    if works(*NAMESPACE, *TMPFS):
        say("make test with an empty home, an empty /tmp and no cache of earlier runs")
        os.execvp(NAMESPACE[0], (*NAMESPACE, sys.executable, __file__, "inside"))
    say("make test as it is: an empty home and /tmp take root on Linux, and its program unshare")
    os.execvp(test[0], test)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        raise SystemExit(f".ci/run: {failure}") from None
