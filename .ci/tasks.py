"""The work behind the Makefile: environment, book, tests, lock. Standard library only.

Run by any supported Python before anything is installed: `python .ci/tasks.py book`.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / "installed.sha256"
BUILD = ROOT / "_build"
INDEX = BUILD / "html" / "index.html"
SUPPORTED = ((3, 11), (3, 12), (3, 13))


class Failed(Exception):  # noqa: N818  a sentence for the reader, not a defect
    """A task that cannot go on; its text is the one sentence that says why."""


def say(text: str) -> None:
    """Write one line at once, whatever the output is connected to."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(*command: object, check: str | None = None, **options: object) -> int:
    """Run a command in the project root; with `check`, fail with that sentence if it fails."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT, **options).returncode  # type: ignore[call-overload]
    if check and code:
        raise Failed(check)
    return int(code)


def works(*command: object) -> bool:
    """Whether a command is there and succeeds; nothing of what it says is shown."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return shutil.which(str(command[0])) is not None and run(*command, **silent) == 0


# ---- environment ---------------------------------------------------------------------------


def fingerprint() -> str:
    """What the environment was made for: the lock, the project, this place and this Python."""
    hasher = hashlib.sha256(f"{ROOT}\0{sys.version_info[:2]}\0".encode())
    for name in ("requirements.txt", "pyproject.toml"):
        hasher.update((ROOT / name).read_bytes())
    return hasher.hexdigest()


def usable_venv() -> bool:
    """Whether .venv has this very Python version and a pip that starts."""
    probe = f"import sys, pip; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    python = BIN / "python"
    return python.exists() and run(python, "-c", probe, stderr=subprocess.DEVNULL) == 0


def ensure_env() -> None:
    """Make .venv with the pinned requirements and simlib, unless it is there and complete."""
    wanted = fingerprint()
    if STAMP.is_file() and STAMP.read_text() == wanted and usable_venv():
        return
    STAMP.unlink(missing_ok=True)  # from here until the end it is incomplete
    if not usable_venv():
        say(f"making .venv with Python {sys.version.split()[0]}")
        shutil.rmtree(VENV, ignore_errors=True)
        remedy = "install the venv module (on Debian: apt-get install python3-venv)"
        run(sys.executable, "-m", "venv", VENV, check=f"no virtual environment: {remedy}")
    say("installing the pinned requirements into .venv (minutes, once)")
    pip = (BIN / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    reason = "the install failed, see above; run the same command again to go on"
    # setuptools first: the last step builds with it
    run(*pip, "-r", "requirements.txt", check=reason)
    run(*pip, "--no-build-isolation", "--no-deps", "-e", ".", check=reason)
    partial = STAMP.with_suffix(".partial")
    partial.write_text(wanted)
    partial.replace(STAMP)


# ---- book ----------------------------------------------------------------------------------


def build_book() -> int:
    """Build the book with warnings as errors; the exit code of the build."""
    command = (BIN / "jupyter-book", "build", ".", "-n", "-W", "--keep-going")
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    code = run(*command, env=environment)
    if code:
        # the pages with warnings were read: without this the next build would not mention them
        (BUILD / ".doctrees" / "environment.pickle").unlink(missing_ok=True)
    return code


def book() -> None:
    """Build the book and say where it is."""
    ensure_env()
    started = time.monotonic()
    if build_book():
        where = f" (pages as far as they came: {INDEX})" if INDEX.is_file() else ""
        raise Failed(f"the book has errors or warnings, see above{where}")
    say(f"the book is ready after {time.monotonic() - started:.0f} s, open {INDEX}")


def pdf() -> None:
    """The whole book as one PDF; see paper.py."""
    book()
    script = ROOT / ".ci" / "paper.py"
    run(BIN / "python", script, check="the book could not be printed, see above")


def epub() -> None:
    """The whole book as an e-book, whose charts are pictures; see ebook.py."""
    ensure_env()
    command = (BIN / "jupyter-book", "build", ".", "--builder", "custom")
    run(*command, "--custom-builder", "epub", check="the e-book could not be made, see above")
    script = ROOT / ".ci" / "ebook.py"
    run(BIN / "python", script, check="the e-book could not be finished, see above")


# ---- tests and lock ------------------------------------------------------------------------


def test() -> None:
    """Every check, in the environment's Python; see check.py."""
    ensure_env()
    if run(BIN / "python", ROOT / ".ci" / "check.py"):
        raise Failed("the tests did not pass, see above")


def test_fast() -> None:
    """Lint, imports and the tests that take no seconds; the book is neither built nor opened."""
    ensure_env()
    jobs = (
        ("ruff", "check", "simlib", "tests", "benchmarks", ".ci"),
        ("ruff", "format", "--check", "simlib", "tests", "benchmarks", ".ci"),
        ("lint-imports", "--config", ".ci/imports.ini"),
        ("pytest", "-n", "2", "-m", "not slow", "--ignore=tests/book", "--ignore=tests/offline"),
    )
    failed = [job for job in jobs if run(BIN / job[0], *job[1:])]
    if failed:
        raise Failed("the fast checks did not pass, see above")


PIP_COMPILE = (
    *("--all-extras", "--strip-extras", "--allow-unsafe", "--no-annotate"),
    *("--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"),
    *("--no-emit-options", "--upgrade-package", "torch==2.13.0"),
    *("-q", "-o", "requirements.txt", "pyproject.toml"),
)
# torch's CUDA packages differ from machine to machine: torch itself asks for those it needs
MACHINE_SPECIFIC = ("nvidia-", "triton", "cuda-")


def portable(line: str) -> bool:
    """Whether a line of the lock holds on every machine."""
    return not line.startswith(MACHINE_SPECIFIC)


def lock() -> None:
    """Compile requirements.txt from pyproject.toml, keeping the pins that still hold."""
    ensure_env()
    tools = BUILD / "lock-tools"
    if not (tools / "bin" / "pip-compile").exists():
        run(sys.executable, "-m", "venv", tools, check="no virtual environment for pip-tools")
        run(
            tools / "bin" / "python",
            "-m",
            "pip",
            "install",
            "-q",
            "pip-tools",
            check="pip-tools could not be installed",
        )
    environment = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"}
    reason = "pip-compile found no set of versions that fits, see above"
    run(tools / "bin" / "pip-compile", *PIP_COMPILE, env=environment, check=reason)
    path = ROOT / "requirements.txt"
    lines = [line for line in path.read_text().splitlines() if portable(line)]
    lines = [line.split("+")[0] if line.startswith("torch==") else line for line in lines]
    path.write_text("\n".join(lines) + "\n")
    say(f"wrote {path}")


SHIPS = {"SIMLIB_SHIP": "1"}  # nobody else may replace what ships: see simlib/cli/output.py
TIMED = ("hardware", "benchmarks")  # folders of what is measured, on a machine that is idle


def laws() -> None:
    """Make every shipped law and comparison again, each by the command that it records."""
    ensure_env()
    shipped = (ROOT / "simlib" / "datasets").rglob("*.json")
    for path in sorted(p for p in shipped if p.parent.name not in TIMED):
        program, *arguments = shlex.split(json.loads(path.read_text())["made"]["command"])
        ships = {**os.environ, **SHIPS}
        run(BIN / program, *arguments, env=ships, check=f"{path.name} could not be made, see above")


def evidence() -> None:
    """Train what the tables of the book's grids lack."""
    ensure_env()
    run(BIN / "simlib", "evidence", check="some runs failed, see above")


def verify_rows() -> None:
    """Train recorded rows again and compare."""
    ensure_env()
    run(BIN / "simlib", "verify-rows", check="some rows differ, see above")


def bench(*options: str) -> None:
    """Run the benchmark suite; see benchmarks/suite.py."""
    ensure_env()
    suite = ROOT / "benchmarks" / "suite.py"
    reason = "a row of the suite failed, see above"
    run(BIN / "python", suite, *options, env={**os.environ, **SHIPS}, check=reason)


def readme_chart() -> None:
    """Draw the README's chart anew; see readme_chart.py."""
    ensure_env()
    script = ROOT / ".ci" / "readme_chart.py"
    run(BIN / "python", script, check="the chart could not be drawn, see above")


def main() -> int:
    """Run the task named on the command line; 1 with one sentence if it fails."""
    tasks = {
        **{"env": ensure_env, "book": book, "test": test, "test-fast": test_fast, "lock": lock},
        **{"pdf": pdf, "epub": epub},
        **{
            "bench": lambda: bench("--book", "--save", "cpu"),
            "bench-smoke": lambda: bench("--smoke"),
        },
        **{"laws": laws, "readme-chart": readme_chart},
        **{"evidence": evidence, "verify-rows": verify_rows},
    }
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        if name not in tasks:
            raise Failed(f"usage: tasks.py {'|'.join(tasks)}")
        if sys.version_info[:2] not in SUPPORTED:
            raise Failed("Python 3.11, 3.12 or 3.13 is needed")
        tasks[name]()
    except Failed as failure:
        say(f"make {name}: {failure}")
        return 1
    except KeyboardInterrupt:
        say(f"make {name}: interrupted; run it again to go on")
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
