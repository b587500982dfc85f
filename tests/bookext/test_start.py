"""A page says how to run it, and what it says works: its command, its imports, its cells."""

import ast
import builtins
import html
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from simlib.bookext import start
from simlib.bookext.dependencies import page_code
from simlib.pages import notebooks

ROOT = Path(__file__).parents[2]
PAGES = [
    page.relative_to(ROOT).with_suffix("").as_posix()
    for folder in ("notebooks", "book")
    for page in sorted((ROOT / folder).glob("*.md"))
    if page_code(page.read_text()).strip()
]
# quick ones of each kind; `make cells` runs all
QUICK = ["book/law", "notebooks/audit", "notebooks/optimal_sparsity", "notebooks/performance"]
RUN = PAGES if os.environ.get("SIMLIB_CELLS") == "all" else QUICK
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n((?:^:[^\n]*\n)*)(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    return (ROOT / f"{name}.md").read_text()


def box_of(name: str, address: str = "") -> str:
    return html.unescape(start.box(ROOT / f"{name}.md", name, "../", address))


def bound(tree: ast.AST) -> set[str]:
    """Names that a piece of code gives a value to, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names


@pytest.mark.parametrize("name", PAGES)
def test_the_command_of_a_page_is_one_that_simlib_takes(name):
    page = ROOT / f"{name}.md"
    program, verb, shown, *options = shlex.split(start.command(name, page))
    assert (program, verb) == ("simlib", "notebook")
    found = notebooks.find(shown) if "/" not in shown else ROOT / shown
    assert found == page
    assert options[::3] == ["-p"] * (len(options) // 3)
    known = notebooks.parameters(page)
    given = dict(zip(options[1::3], options[2::3], strict=True))
    values = notebooks.checked(known, given)
    defaults = {key: known[key].parse(ast.literal_eval(known[key].default)) for key in given}
    assert values == defaults


@pytest.mark.parametrize("name", PAGES)
def test_the_imports_of_a_page_are_all_that_its_cells_need_from_elsewhere(name):
    """Every name that a cell uses is imported in the box or made by a cell before."""
    text = text_of(name)
    assert start.imports(text) in box_of(name)
    known = bound(ast.parse(start.imports(text))) | set(dir(builtins))
    for match in CELL.finditer(text):
        if "raises-exception" in match.group(1):
            continue
        tree = ast.parse(page_code(match.group(0)))
        known |= bound(tree)
        used = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        assert used <= known


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_the_cells_of_a_page_run_in_a_fresh_process(name, tmp_path):
    script = tmp_path / "page.py"
    script.write_text(page_code(text_of(name)))
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], cwd=ROOT, env=path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_without_an_address_nothing_points_anywhere():
    quiet = box_of("notebooks/quickstart")
    assert "http" not in quiet
    assert "Colab" not in quiet
    assert "Binder" not in quiet
    assert "url" not in start.imprint("../", "")


def test_an_address_fills_every_way_to_the_page():
    shown = box_of("notebooks/quickstart", "https://github.com/me/mine")
    assert "git clone https://github.com/me/mine\ncd mine\n" in shown
    for place in (
        "https://colab.research.google.com/github/me/mine/blob/notebooks/notebooks/quickstart.ipynb",
        "https://mybinder.org/v2/gh/me/mine/HEAD?urlpath=lab/tree/notebooks/quickstart.md",
        "../_notebooks/notebooks/quickstart.ipynb",
    ):
        assert f'href="{place}"' in shown
    elsewhere = box_of("notebooks/quickstart", "https://forge.example/me/mine")
    assert "Colab" not in elsewhere


def test_the_environment_names_a_forks_repository(monkeypatch):
    app = SimpleNamespace(config=SimpleNamespace(html_context={"repository": "https://a.b/c"}))
    monkeypatch.delenv("BOOK_REPOSITORY", raising=False)
    assert start.repository(app) == "https://a.b/c"
    monkeypatch.setenv("BOOK_REPOSITORY", "https://github.com/me/fork/")
    assert start.repository(app) == "https://github.com/me/fork"
    context = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["html_context"]
    assert "repository" in context


def test_the_imprint_names_version_day_and_what_to_cite(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    shown = start.imprint("../", "https://github.com/me/mine")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert "built on 2023-11-14" in shown
    assert "year = {2023}" in shown
    assert f"version {cited['version']}" in shown
    assert cited["title"] == start.TITLE
    assert cited["license"] in shown
    assert "url = {https://github.com/me/mine}" in shown
