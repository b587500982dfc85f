"""What each page says of itself: how to run it, what it imports, what to cite.

A page that computes gets a box under its title with the repository, the installation, the one
command that runs it, its parameters, its imports, and its notebook to download; every page gets a
line at its end with version, date, licence, citation and changelog. The address of the repository
is one setting, `repository` under `html_context` in `_config.yml`, or `BOOK_REPOSITORY` in the
environment, which a fork's workflow sets: without it nothing points anywhere.
"""

from __future__ import annotations

import ast
import html
import os
import shlex
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from simlib.bookext.dependencies import page_code
from simlib.pages import notebooks

GITHUB = "https://github.com/"
NOTEBOOK_BRANCH = "notebooks"  # where the workflow that publishes the book leaves the notebooks
BESIDE = {"CHANGELOG.md": "changelog.txt", "CITATION.cff": "citation.cff", "LICENSE": "license.txt"}
SHOWN = 3  # parameters in the command; the table beside it has all of them
TITLE = "The Sparse Scaling Book"


def repository(app: Any) -> str:
    """The address of the repository without a slash at its end; empty where none is set."""
    setting = (app.config.html_context or {}).get("repository") or ""
    return str(os.environ.get("BOOK_REPOSITORY") or setting).rstrip("/")


def imports(text: str) -> str:
    """The import statements of the code cells of the MyST page `text`, each once, in their order.

    Raises SyntaxError where a cell is not Python.
    """
    tree = ast.parse(page_code(text))
    found = (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    return "\n".join(dict.fromkeys(ast.unparse(node) for node in found))


def command(docname: str, page: Path) -> str:
    """The command that runs the page `docname`, whose text is at `page`, as it stands there."""
    name = docname.removeprefix("notebooks/") if "notebooks/" in docname else f"{docname}.md"
    known = list(notebooks.parameters(page).values())
    given = "".join(f" -p {p.name} {_shell(p.default)}" for p in known[:SHOWN])
    return f"simlib notebook {name}{given}"


def _shell(default: str) -> str:
    """The text of a default as it is typed in a shell."""
    value = ast.literal_eval(default)
    return shlex.quote(value if isinstance(value, str) else default)


def box(page: Path, docname: str, to_root: str, address: str) -> str:
    """The box under the title of a page that computes, as HTML.

    `to_root` is the way from the page to the root of the site, `address` the repository's or empty.
    """
    text = page.read_text(encoding="utf-8")
    known = notebooks.parameters(page).values()
    place = html.escape(address) if address else "REPOSITORY"
    folder = html.escape(address.rsplit("/", 1)[-1]) if address else "its folder"
    named = f'<a href="{place}">{place}</a>' if address else "the repository of this book"
    rows = "".join(
        f"<tr><td><code>{html.escape(p.name)}</code></td><td>{html.escape(p.annotation)}</td>"
        f"<td><code>{html.escape(p.default)}</code></td><td>{html.escape(p.help)}</td></tr>"
        for p in known
    )
    titles = ("parameter", "type", "as here", "what it is")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    fetch = f"git clone {place}\ncd {folder}\n" if address else ""
    where = "" if address else "in a checkout, "
    install = (
        f"{fetch}make env                # {where}with Python 3.11 to 3.13, once\n"
        ". .venv/bin/activate    # in each shell, so that it finds simlib\n"
    )
    return (
        '<details class="start-here"><summary>Run this page yourself</summary>'
        f"<p>This page is the text notebook <code>{html.escape(docname)}.md</code> of {named}. "
        "This runs it, with its parameters:</p>"
        f'<pre tabindex="0">{install}{html.escape(command(docname, page))}</pre>{table}'
        f"<p>{_ways(docname, to_root, address)}</p>"
        "<p>What its cells import:</p>"
        f'<pre tabindex="0">{html.escape(imports(text))}</pre></details>'
    )


def _ways(docname: str, to_root: str, address: str) -> str:
    ways = [
        f'<a href="{to_root}_notebooks/{docname}.ipynb" download>Notebook (.ipynb)</a>',
        f'<a href="{to_root}_sources/{docname}.md" download>Text (.md)</a>',
    ]
    if address.startswith(GITHUB):
        place = html.escape(address.removeprefix(GITHUB))
        colab = "https://colab.research.google.com/github/"
        ways += [
            f'<a href="{colab}{place}/blob/{NOTEBOOK_BRANCH}/{docname}.ipynb">Open in Colab</a>',
            f'<a href="https://mybinder.org/v2/gh/{place}/HEAD?urlpath=lab/tree/{docname}.md">'
            "Open in Binder</a>",
        ]
    return " · ".join(ways)


def built_on() -> str:
    """The day of the build, or of SOURCE_DATE_EPOCH, as 2026-11-28."""
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def imprint(to_root: str, address: str) -> str:
    """The line at the end of every page, with the citation folded into it, as HTML."""
    number, day = version("simlib"), built_on()
    lines = [
        "@software{sparse_scaling_book,",
        f"  title = {{{TITLE}}},",
        f"  author = {{{{The authors of {TITLE.replace('The ', 'the ', 1)}}}}},",
        f"  version = {{{number}}},",
        f"  year = {{{day[:4]}}},",
        *([f"  url = {{{address}}},"] if address else []),
        "}",
    ]
    return (
        f'<aside class="imprint" aria-label="About this book"><p>{TITLE}, version {number}, '
        f'built on {day} · <a href="{to_root}license.txt">Apache-2.0</a> · '
        f'<a href="{to_root}changelog.txt">Changelog</a> · '
        f'<a href="{to_root}citation.cff">CITATION.cff</a></p>'
        "<details><summary>Cite</summary>"
        f'<pre tabindex="0">{html.escape(chr(10).join(lines))}</pre></details></aside>'
    )


def runs_alone(docname: str, text: str) -> bool:
    """Whether the page `docname` has code cells and is one that `simlib notebook` runs."""
    return "/" in docname and bool(page_code(text).strip())


def add_to_page(
    app: Any, docname: str, _template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the box and the line into a page of the site that is about to be written."""
    if doctree is None or app.builder.name != "html":
        return
    page = Path(app.env.doc2path(docname))
    to_root, address = "../" * docname.count("/"), repository(app)
    body = context["body"] + imprint(to_root, address)
    if runs_alone(docname, page.read_text(encoding="utf-8")):
        body = body.replace("</h1>", f"</h1>\n{box(page, docname, to_root, address)}", 1)
    context["body"] = body


def write_downloads(app: Any, failed: Exception | None) -> None:
    """Write a notebook for each page that computes, and the files that the pages link to."""
    if failed or app.builder.name != "html":
        return
    import jupytext

    out, root = Path(app.outdir), Path(app.srcdir)
    for name in app.env.found_docs:
        page = Path(app.env.doc2path(name))
        if not runs_alone(name, page.read_text(encoding="utf-8")):
            continue
        target = out / "_notebooks" / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        jupytext.write(_with_install(jupytext.read(page), repository(app)), target)
    for source, target_name in BESIDE.items():
        if (root / source).is_file():
            shutil.copyfile(root / source, out / target_name)


def _with_install(notebook: Any, address: str) -> Any:
    """The notebook with a first cell that installs the library, where its repository is known."""
    if address:
        from nbformat.v4 import new_code_cell

        line = f'%pip install -q "simlib[train,book] @ git+{address}"'
        notebook.cells.insert(0, new_code_cell(line))
    return notebook
