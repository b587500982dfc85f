"""What the outputs of a page depend on besides its own text, as one digest a page.

jupyter-cache compares code cells only: without this, an edit of the library or of a shipped table
would leave yesterday's numbers in the book.
"""

import ast
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "simlib"
_CELL = re.compile(r"^(`{3,}|:{3,})\{code-cell\}[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
_MODULE_NAME = re.compile(rf"{PACKAGE}(\.\w+)+(:\w+)?")
_VARIABLE = re.compile(r"\bSIMLIB_[A-Z0-9_]+\b")


def page_code(text: str) -> str:
    """Python source of the code cells of a MyST page, without option and magic lines."""
    cells = (match.group(2) for match in _CELL.finditer(text))
    lines = (line for cell in cells for line in cell.splitlines())
    return "\n".join("" if re.match(r"\s*[:!%]", line) else line for line in lines)


def _runs_shell(text: str) -> bool:
    return re.search(r"^\s*(!|%%bash|%run)", text, re.MULTILINE) is not None


def named_modules(source: str, package: str = "") -> set[str]:
    """Dotted names under `simlib` that Python `source` names: by import, or in a string of its own.

    `package` resolves relative imports. A string such as "simlib.cli.fit:command" counts, since
    that is how lazy imports are written.

    Raises:
        SyntaxError: `source` is not Python.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and _MODULE_NAME.fullmatch(str(node.value)):
            names.add(str(node.value).partition(":")[0])
    return {name for name in names if name == PACKAGE or name.startswith(PACKAGE + ".")}


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, node.module] if node.module else parents)


def _module_files(root: Path, name: str) -> Iterator[tuple[str, Path]]:
    """(module, file) of `name` and of every package above it; nothing for what is no module."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:end])
        dotted = ".".join(parts[:end])
        if (place / "__init__.py").is_file():
            yield dotted, place / "__init__.py"
        elif place.with_suffix(".py").is_file():
            yield dotted, place.with_suffix(".py")


def closure(root: Path, text: str) -> set[Path]:
    """Files below `root/simlib` that the page `text` can reach by import, data files included."""
    everything = {p for p in (root / PACKAGE).rglob("*") if p.is_file() and p.suffix != ".pyc"}
    if _runs_shell(text):
        return everything
    try:
        pending = named_modules(page_code(text))
    except SyntaxError:
        return everything
    files: set[Path] = set()
    while pending:
        for module, path in _module_files(root, pending.pop()):
            if path in files:
                continue
            files.add(path)
            is_package = path.name == "__init__.py"
            package = module if is_package else module.rpartition(".")[0]
            pending |= named_modules(path.read_text(encoding="utf-8"), package)
            if is_package:
                files |= {p for p in _data_files(path.parent) if p in everything}
    return files


def _data_files(package: Path) -> Iterator[Path]:
    """Files of a package that are not Python, those in folders that are no packages included."""
    for path in package.iterdir():
        if path.is_dir() and not (path / "__init__.py").is_file():
            yield from (p for p in path.rglob("*") if p.suffix != ".py")
        elif path.suffix != ".py":
            yield path


def _listing(value: str) -> str:
    """An environment value; where it names folders, the names and sizes of what is in them."""
    folders = [Path(part) for part in value.split(os.pathsep)]
    if not value or not any(folder.is_dir() for folder in folders):
        return value
    found = (p for folder in folders if folder.is_dir() for p in folder.iterdir() if p.is_file())
    return "\n".join(
        f"{name} {size}" for name, size in sorted((p.name, p.stat().st_size) for p in found)
    )


def digest(root: Path, page: Path) -> str:
    """Digest of all that the outputs of `page` depend on, its own text excepted.

    Counted: the library files it reaches, data files beside them, the lock file, the Python
    version, and what lies (by name and size) where `SIMLIB_*` variables named in those files point.
    """
    text = page.read_text(encoding="utf-8")
    hasher = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    variables = set(_VARIABLE.findall(text))
    for path in [root / "requirements.txt", *sorted(closure(root, text))]:
        if not path.is_file():
            continue
        content = path.read_bytes()
        hasher.update(path.relative_to(root).as_posix().encode() + b"\0" + content + b"\0")
        if path.suffix == ".py":
            variables |= set(_VARIABLE.findall(content.decode()))
    for name in sorted(variables):
        hasher.update(f"{name}={_listing(os.environ.get(name, ''))}\0".encode())
    return hasher.hexdigest()[:16]
