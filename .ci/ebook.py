"""The e-book as readers take it: formulas as MathML, no controls, every page well-formed.

Sphinx's builder `epub` leaves formulas as TeX, which no e-reader shows, and puts the HTML of tables
in as it is. Run after it, in the environment of the project: `python .ci/ebook.py`.
"""

from __future__ import annotations

import html
import os
import posixpath
import re
import shutil
import sys
import zipfile
from pathlib import Path
from xml.dom import minidom

from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
MADE = ROOT / "_build" / "epub"
BOOK = ROOT / "_build" / "book.epub"
MATHJAX = ROOT / "_build" / ".assets" / "mathjax" / "tex-chtml.js"
DESCRIBED = re.compile(r'^<svg[^>]* aria-label="([^"]*)"')
MOVED = "This page computes while its controls are moved: open it in a browser."
CONVERT = """texts => texts.map(([tex, display]) => MathJax.tex2mml(tex, { display }))"""
Formula = tuple[str, bool]


def formula(text: str) -> Formula:
    r"""The TeX of a formula and whether it is displayed, from `\(...\)` or `\[...\]`."""
    text = text.strip()
    display = text.startswith("\\[")
    for sign in ("\\[", "\\]", "\\(", "\\)"):
        text = text.removeprefix(sign).removesuffix(sign)
    return text.strip(), display


def mathml(formulas: list[Formula]) -> dict[Formula, str]:
    """Each formula as MathML, by MathJax in Chromium."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not browser:
        raise FileNotFoundError("no Chromium: install one, or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto(MATHJAX.parent.as_uri())
        page.add_script_tag(url=MATHJAX.as_uri())
        page.evaluate("() => MathJax.startup.promise")
        found = page.evaluate(CONVERT, [list(pair) for pair in formulas])
        chromium.close()
    return dict(zip(formulas, found, strict=True))


def parsed(page: str) -> BeautifulSoup:
    """A page without what only a browser can do."""
    soup = BeautifulSoup(page, "html.parser")
    controls = soup.select(".planner, .your-fit")
    for empty in soup.select("img[src$='.svg']") if controls else []:
        empty.decompose()  # a chart that only the controls fill
    for moved in controls:
        note = soup.new_tag("p")
        note.string = MOVED
        moved.replace_with(note)
    for left_out in soup.select("script, noscript, input, button"):
        left_out.decompose()
    return soup


def told(soup: BeautifulSoup, name: str, files: dict[str, bytes]) -> None:
    """Give each chart of a page the description that its picture carries."""
    for image in soup.select("img[src$='.svg']"):
        place = posixpath.normpath(posixpath.join(posixpath.dirname(name), str(image["src"])))
        found = DESCRIBED.search(files[place].decode())
        if found:
            image["alt"] = html.unescape(found[1])


CASED = ("viewBox", "preserveAspectRatio")  # of a drawing in a page: HTML has them in any case


def linked(soup: BeautifulSoup, name: str, files: dict[str, bytes]) -> None:
    """Lead links that a page wrote itself to chapters, drop absent styles, keep drawings."""
    folder = posixpath.dirname(name)
    for sheet in soup.select("link[rel=stylesheet]"):
        if posixpath.normpath(posixpath.join(folder, str(sheet["href"]))) not in files:
            sheet.decompose()
    for link in soup.select("a[href]"):
        path, _, rest = str(link["href"]).partition("#")
        chapter = posixpath.splitext(path)[0] + ".xhtml"
        if posixpath.normpath(posixpath.join(folder, chapter)) in files:
            # a setting of the planner is no place in its chapter
            link["href"] = chapter + (f"#{rest}" if rest and "=" not in rest else "")
    for drawing in soup.select("svg"):
        drawing["xmlns"] = "http://www.w3.org/2000/svg"
        for cased in CASED:
            if cased.lower() in drawing.attrs:
                drawing[cased] = drawing.attrs.pop(cased.lower())


def finished(soup: BeautifulSoup, known: dict[Formula, str]) -> str:
    """The page with its formulas as MathML. Raises ExpatError where it is not well-formed."""
    for place in soup.select(".math"):
        number = place.select_one(".eqno")
        numbered = number.extract() if number else None
        place.clear()
        place.append(BeautifulSoup(known[formula(place["data-tex"])], "html.parser"))
        del place["data-tex"]
        if numbered:
            place.append(numbered)
    text = str(soup)
    minidom.parseString(text.encode())
    return text


def main() -> int:
    """Write the finished e-book."""
    (source,) = MADE.glob("*.epub")
    with zipfile.ZipFile(source) as made:
        files = {name: made.read(name) for name in made.namelist()}
    pages = {n: parsed(b.decode()) for n, b in files.items() if n.endswith(".xhtml")}
    formulas: dict[Formula, None] = {}
    for name, soup in pages.items():
        told(soup, name, files)
        linked(soup, name, files)
        for place in soup.select(".math"):
            text = "".join(s for s in place.strings if not s.find_parent(class_="eqno"))
            place["data-tex"] = text
            formulas[formula(text)] = None
    known = mathml(list(formulas))
    with zipfile.ZipFile(BOOK, "w", zipfile.ZIP_DEFLATED) as book:
        # readers look for the type first, and uncompressed
        book.writestr("mimetype", files.pop("mimetype"), zipfile.ZIP_STORED)
        for name, content in files.items():
            book.writestr(name, finished(pages[name], known) if name in pages else content)
    sys.stdout.write(f"wrote {BOOK}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
