"""The names that MyST-NB and jupyter-cache do not promise are there and do what they are used for.

The builds of `test_build.py` go through all of them together; here each says what broke.
"""

from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from myst_nb.core.config import NbParserConfig
from myst_parser.config.main import MdParserConfig

from simlib.bookext import compat

PAGE = """---
file_format: mystnb
kernelspec:
  name: python3
---

# A page

```{code-cell} ipython3
1 + 1
```
"""


def lost(package: str, name: str, use: str) -> str:
    return (
        f"{package} {version(package)} changed {name}, which {use}: mend simlib/bookext/compat.py"
    )


def app_of(**settings: object) -> SimpleNamespace:
    """As much of a Sphinx application as is asked for."""
    environment = {"myst_config": MdParserConfig(), "mystnb_config": NbParserConfig(**settings)}
    return SimpleNamespace(env=SimpleNamespace(**environment))


def test_settings_of_a_build_say_how_pages_execute() -> None:
    said = lost("myst-nb", "mystnb_config", "says how long a cell may take")
    settings = compat.execution_settings(app_of(execution_timeout=7, execution_allow_errors=True))
    assert (settings.execution_timeout, settings.execution_allow_errors) == (7, True), said


def test_sphinx_keeps_the_settings_where_they_are_read() -> None:
    source = Path(__import__("myst_nb").__file__).with_name("sphinx_ext.py").read_text()
    said = lost("myst-nb", "env.mystnb_config", "says how pages execute")
    assert "env.mystnb_config =" in source, said


def test_a_page_is_read_as_the_notebook_that_the_build_makes_of_it(tmp_path: Path) -> None:
    said = lost("myst-nb", "create_nb_reader", "reads a page before Sphinx does")
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    notebook = compat.read_page(app_of(), page)
    assert [c.source for c in notebook.cells if c.cell_type == "code"] == ["1 + 1"], said
    page.write_text("# Prose only\n")
    assert compat.read_page(app_of(), page) is None, said


@pytest.mark.slow
def test_a_notebook_executes_and_says_what_failed(tmp_path: Path) -> None:
    said = lost("jupyter-cache", "single_nb_execution", "executes pages ahead of Sphinx")
    cells = [nbformat.v4.new_code_cell("from pathlib import Path\nPath('here').touch()\n1 / 0")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    result = compat.execute(notebook, tmp_path, timeout=60, allow_errors=False)
    assert (tmp_path / "here").exists(), said
    assert "ZeroDivisionError" in str(result.err), said
    assert result.time > 0, said
