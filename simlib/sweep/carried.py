"""What a carried job does on the machine it was carried to: `python JOB.zip --minutes 25`.

This file is the zip's `__main__`: standard library only until the job's own packages are at hand.
"""

from __future__ import annotations

import argparse
import glob
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path

DONE, LEFT, WRONG = 0, 1, 2


def main(began: float) -> int:
    """Unpack beside the zip, train until the grid is done or time is up, pack what there is."""
    job = Path(sys.argv[0]).resolve()
    options = _options(job)
    with zipfile.ZipFile(job) as archive:
        about = json.loads(archive.read("job.json"))
        problem = _problem(about)
        if problem:
            print(f"error: {problem}", file=sys.stderr)  # noqa: T201
            return WRONG
        work = Path(options.work or job.with_suffix("")).resolve()
        _unpack(archive, work / "job")
        _remove_left_code(work)
        with tempfile.TemporaryDirectory(prefix=f"{_code()}{os.getpid()}-", dir=work) as code:
            _import_from(archive, Path(code), work / "job")
            return _train(job, work, options, began)


def _train(job: Path, work: Path, options: argparse.Namespace, began: float) -> int:
    from simlib.errors import InputError
    from simlib.sweep.allotted import train_for

    end = began + 60 * options.minutes if options.minutes else None
    try:
        done = train_for(work, options.archive, options.go_on, end, options.workers)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return WRONG
    print(f"{done.recorded} of {done.wanted} runs recorded; all is in {options.archive}")  # noqa: T201
    for reason in done.failures:
        print(reason, file=sys.stderr)  # noqa: T201
    if done.recorded < done.wanted:
        print(f"go on with: python {job.name} --continue {Path(options.archive).name}")  # noqa: T201
    return DONE if done.recorded == done.wanted else LEFT


def _code() -> str:
    """How the folders begin that a job on this machine unpacks code into; its process follows."""
    return f".code-{platform.node()}-"


def _remove_left_code(work: Path) -> None:
    """Remove the folders of jobs that were killed."""
    for folder in work.glob(f"{glob.escape(_code())}*-*"):
        process = folder.name.removeprefix(_code()).partition("-")[0]
        if process.isdigit() and not _lives(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _import_from(archive: zipfile.ZipFile, code: Path, job: Path) -> None:
    """Let this process and those that it starts import what the zip holds, and nothing beside it.

    The folder `code` is new and this user's own. What lies in the working folder, or where the job
    was started, may have been put there by anybody: of it only the corpora are used, which carry
    checksums.
    """
    archive.extractall(code, [name for name in archive.namelist() if _is_code(name)])
    # the corpus is named by the versions of its packages; their code is not here, this says them
    first = [str(code / "simlib-source"), str(code / "versions")]
    sys.path[:0] = first
    sys.path.append(str(code / "packages"))  # what the machine has itself comes first
    # processes: they would look first where they stand, and take a simlib that is installed
    os.environ["PYTHONSAFEPATH"] = "1"
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*first, *([known] if known else [])])
    (code / "cache").mkdir()
    (job / "cache" / "corpora").mkdir(parents=True, exist_ok=True)
    (code / "cache" / "corpora").symlink_to(job / "cache" / "corpora")
    os.environ["SIMLIB_CACHE"] = str(code / "cache")


def _is_code(name: str) -> bool:
    return name.startswith(("simlib-source/", "versions/", "packages/"))


def _options(job: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python {job.name}", description=__doc__)
    parser.add_argument("--minutes", type=_positive, help="stop and pack after so many minutes")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    parser.add_argument("--work", help="folder to work in (default: beside the zip)")
    parser.add_argument(
        "--continue",
        dest="go_on",
        metavar="ARCHIVE",
        help="go on from an archive that an earlier call left",
    )
    parser.add_argument("--archive", help="where to pack the runs (default: JOB-runs.zip)")
    options = parser.parse_args()
    options.archive = options.archive or str(job.with_name(f"{job.stem}-runs.zip"))
    return options


def _positive(text: str) -> float:
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return float(text)


def _problem(about: dict[str, str]) -> str:
    """Why the job cannot run here, in a sentence."""
    for what, here in machine().items():
        if about[what] != here:
            return (
                f"this job was packed for {what} {about[what]}, and here is {here}: pack it again "
                "with the same"
            )
    if importlib.util.find_spec("torch") is None:
        return "this Python has no PyTorch: use the one that has"
    return ""


def machine() -> dict[str, str]:
    """What compiled packages depend on."""
    version = ".".join(map(str, sys.version_info[:2]))
    return {"system": platform.system(), "processor": platform.machine(), "Python": version}


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Unpack all but code, once.

    A folder that lost a file, or was left half full by a kill, is filled again. A corpus that is
    found damaged is renamed, and comes back this way.
    """
    stamp = folder / "unpacked"
    name = Path(str(archive.filename))
    mark = f"{name.stat().st_size} {name.stat().st_mtime_ns}"
    names = [name for name in archive.namelist() if not _is_code(name)]
    whole = all((folder / name).exists() for name in names)
    if whole and stamp.exists() and stamp.read_text() == mark:
        return
    archive.extractall(folder, names)
    stamp.write_text(mark)


if __name__ == "__main__":
    sys.exit(main(time.monotonic()))
