"""Every page is reachable, computes what it states, and says what it was made with."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(p for folder in ("notebooks", "book") for p in (ROOT / folder).glob("*.md"))
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))


def listed() -> list[str]:
    return [chapter["file"] for part in CONTENTS["parts"] for chapter in part["chapters"]]


def test_the_table_of_contents_has_every_page_once_and_no_other() -> None:
    pages = [str(page.relative_to(ROOT).with_suffix("")) for page in PAGES]
    assert sorted(listed()) == pages, "add the page to _toc.yml, or take the line out of it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_that_computes_ends_with_its_provenance(page: Path) -> None:
    cells = re.findall(r"```\{code-cell\}.*?^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    if cells and page.stem != "status":  # which is provenance from end to end
        assert "provenance(" in cells[-1], "let provenance(...) be the last cell"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_prose_names_no_value_that_no_cell_could_have_glued(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "{glue:text}" not in text or "glue_all" in text, "glue by simlib.pages.glue.glue_all"
    assert "from myst_nb import glue" not in text, "glue by simlib.pages.glue.glue_all"
