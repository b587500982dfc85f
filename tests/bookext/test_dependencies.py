"""A page runs again when, and only when, something that its outputs depend on has changed."""

import os
from pathlib import Path

import pytest

from simlib.bookext.dependencies import closure, digest, named_modules, page_code

PAGE = """# Page

```{code-cell} ipython3
:tags: [hide-input]
%matplotlib inline
from simlib import charts
charts.enable()
```

Prose that mentions simlib.unused and ```simlib.unused``` does not count.
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "requirements.txt": "numpy==1\n",
        "simlib/__init__.py": "",
        "simlib/charts.py": "from simlib.law import Law\n",
        "simlib/law.py": '"""Nothing like simlib.unused."""\nfrom .errors import Bad\n',
        "simlib/errors.py": "class Bad(ValueError): ...\n",
        "simlib/unused.py": "x = 1\n",
        "simlib/datasets/__init__.py": "import os\nos.environ.get('SIMLIB_DATA')\n",
        "simlib/datasets/t5.csv": "loss\n1\n",
        "simlib/datasets/world/law.json": "{}\n",
        "simlib/cli/__init__.py": 'LAZY = {"fit": "simlib.cli.fit:command"}\n',
        "simlib/cli/fit.py": "import simlib.unused\n",
        "page.md": PAGE,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def page(tree: Path, code: str) -> Path:
    path = tree / "other.md"
    path.write_text(f"# Other\n\n```{{code-cell}} ipython3\n{code}\n```\n")
    return path


def reached(tree: Path, text: str) -> set[str]:
    return {path.relative_to(tree).as_posix() for path in closure(tree, text)}


def test_code_cells_are_read_without_options_and_magics() -> None:
    assert page_code(PAGE).split() == ["from", "simlib", "import", "charts", "charts.enable()"]


def test_imports_are_followed_through_the_library(tree: Path) -> None:
    expected = {"__init__", "charts", "law", "errors"}
    assert reached(tree, PAGE) == {f"simlib/{name}.py" for name in expected}


def test_relative_imports_resolve_against_their_package() -> None:
    assert named_modules("from ..law import Law", "simlib.cli") >= {"simlib.law"}
    assert named_modules("from . import fit", "simlib.cli") >= {"simlib.cli.fit"}


def test_lazy_imports_written_as_text_count(tree: Path) -> None:
    text = page(tree, "from simlib.cli import main").read_text()
    assert {"simlib/cli/fit.py", "simlib/unused.py"} <= reached(tree, text)


def test_shell_or_unreadable_cells_depend_on_everything(tree: Path) -> None:
    for code in ("!simlib fit --runs t5-c4", "this is no Python"):
        assert "simlib/unused.py" in reached(tree, page(tree, code).read_text())


@pytest.mark.parametrize("name", ["simlib/law.py", "simlib/errors.py", "requirements.txt"])
def test_an_edit_below_the_page_changes_its_digest(tree: Path, name: str) -> None:
    before = digest(tree, tree / "page.md")
    (tree / name).write_text((tree / name).read_text() + "# edited\n")
    assert digest(tree, tree / "page.md") != before


@pytest.mark.parametrize("name", ["simlib/unused.py", "simlib/datasets/t5.csv"])
def test_an_edit_elsewhere_leaves_the_digest(tree: Path, name: str) -> None:
    before = digest(tree, tree / "page.md")
    (tree / name).write_text("edited = 1\n")
    assert digest(tree, tree / "page.md") == before


def test_prose_does_not_count_but_shipped_tables_do(tree: Path) -> None:
    path = page(tree, "from simlib.datasets import load")
    before = digest(tree, path)
    path.write_text(path.read_text() + "\nMore prose.\n")
    assert digest(tree, path) == before
    (tree / "simlib/datasets/t5.csv").write_text("loss\n2\n")
    other = digest(tree, path)
    (tree / "simlib/datasets/world/law.json").write_text("[]\n")
    assert len({before, other, digest(tree, path)}) == 3


def test_files_that_a_variable_points_to_count(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, other = page(tree, "import simlib.datasets"), tree / "page.md"
    folder = tmp_path / "authors"
    folder.mkdir()
    monkeypatch.delenv("SIMLIB_DATA", raising=False)
    absent, other_absent = digest(tree, reader), digest(tree, other)
    monkeypatch.setenv("SIMLIB_DATA", str(folder))
    (folder / "t5-data.csv").write_text("1\n")
    present = digest(tree, reader)
    (folder / "vit-data.json").write_text("{}\n")
    both = digest(tree, reader)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "table.csv").write_text("1\n")
    monkeypatch.setenv("SIMLIB_DATA", os.pathsep.join([str(folder), str(tmp_path / "more")]))
    assert len({absent, present, both, digest(tree, reader)}) == 4
    assert digest(tree, other) == other_absent
