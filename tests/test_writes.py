"""What the library keeps it writes in one place, where tests can let each step fail."""

import ast
from pathlib import Path

import simlib

ROOT = Path(simlib.__file__).parent
# what else writes: caches that are built again, logs, locks, and a program without the library
APART = {
    "files.py": "the place itself",
    "native.py": "compiled kernels, made again when they are gone",
    "bookext/assets.py": "the book's scripts, made again by a build",
    "bookext/freshness.py": "what a cached page was made with",
    "bookext/search.py": "what the built book's search shows, made again by a build",
    "bookext/start.py": "what a built book links to, made again by a build",
    "corpora": "corpora, built again from their source",
    "sweep/carried.py": "runs before the library can be imported",
    "sweep/worker.py": "logs",
    "train/checkpoint.py": "the locks, which are empty",
}
METHODS = {"write_text", "write_bytes", "unlink", "rename", "touch", "truncate", "rmdir"}
FUNCTIONS = {
    *("os.replace", "os.rename", "os.remove", "os.unlink", "os.truncate", "np.save"),
    *("shutil.copy", "shutil.copyfile", "shutil.copytree", "shutil.move", "shutil.rmtree"),
}
WRITING = ("w", "a", "x", "+")


def writes(call: ast.Call) -> bool:
    """Whether a call changes a file, as far as its name and its mode tell."""
    name = ast.unparse(call.func)
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if name == "open" or name.endswith(".open"):
        ours = "disk." in name or "os.devnull" in map(ast.unparse, call.args)
        short = [mode for mode in modes if len(mode) <= 3]
        return not ours and any(sign in mode for mode in short for sign in WRITING)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "replace":
        return len(call.args) == 1 and not call.keywords  # of a text it takes two
    method = isinstance(call.func, ast.Attribute) and call.func.attr in METHODS
    return name in FUNCTIONS or (method and "disk." not in name)


def writing_calls(path: Path) -> list[str]:
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    return [f"{path.relative_to(ROOT)}:{c.lineno}: {ast.unparse(c)}" for c in calls if writes(c)]


def test_every_write_goes_through_one_place() -> None:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name not in APART and name.split("/")[0] not in APART:
            found += writing_calls(path)
    assert not found


def test_it_would_see_one() -> None:
    assert len(writing_calls(ROOT / "files.py")) == 3
