"""The built book on paper: one PDF of all pages, with contents, numbers and charts, by Chromium.

Run in the environment of the project after the book was built: `python .ci/paper.py`.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import yaml
from bs4 import BeautifulSoup
from bs4.element import Tag
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
WHOLE = HTML / "_paper.html"  # beside the pages, so that what they load is found
PDF = ROOT / "_build" / "book.pdf"
WIDTH = 680  # pixels between the margins of A4, as wide as a chart is drawn
MINUTES = 5
DRAWN = "() => [...document.querySelectorAll('.vega-figure')].every(f => f.dataset.ready)"
MOVED = "This page computes while its controls are moved: open it in a browser."
HEAD = """<meta charset="utf-8"><title>{title}</title>
{styles}
<script>window.MathJax = {{"options": {{"processHtmlClass": "math|output_area"}}}}</script>
<script defer src="_static/mathjax/tex-chtml.js"></script>
<script defer src="_static/vega/vega-bundle.js"></script>
<script defer src="_static/vega-boot.js"></script>"""
FOOTER = (
    '<div style="font-size:8px;width:100%;text-align:center"><span class="pageNumber"></span></div>'
)


def parts() -> list[tuple[str, list[str]]]:
    """Caption and pages of each part of the book, the first page before all."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found = [(p["caption"], [c["file"] for c in p["chapters"]]) for p in toc["parts"]]
    return [("", [toc["root"]]), *found]


def place(name: str, anchor: str = "") -> str:
    """The id of a page, or of an anchor in it, within the whole book."""
    return f"page-{name.replace('/', '-')}" + (f"--{anchor}" if anchor else "")


def article(name: str, names: set[str]) -> Tag:
    """The text of a page, its addresses and anchors changed to those of the whole book."""
    soup = BeautifulSoup((HTML / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    text = soup.select_one("article")
    assert text is not None, name
    for moved in text.select(".planner, .your-fit"):
        note = soup.new_tag("p")
        note.string = MOVED
        moved.replace_with(note)
    for figure in text.select(".vega-figure"):
        if '"datasets":{' in str(figure) and "[]" in str(figure).partition('"datasets":{')[2]:
            figure.decompose()  # filled by the controls
    for left_out in text.select(".start-here, .imprint, .headerlink, .toggle-button, noscript"):
        left_out.decompose()
    for tag in text.select("[id]"):
        tag["id"] = place(name, tag["id"])
    for tag in text.select("[href], [src]"):
        key = "href" if tag.get("href") else "src"
        path, anchor = urldefrag(urljoin(f"/{name}.html", tag[key]))
        target = path.removeprefix("/").partition("?")[0].removesuffix(".html")
        if path.startswith("/"):
            inside = target in names
            anchor = "" if "=" in anchor else anchor  # a plan, which paper does not make
            tag[key] = f"#{place(target, anchor)}" if inside else path.removeprefix("/")
    section = soup.new_tag("section", id=place(name), attrs={"class": "page"})
    section.append(text)
    return section


def contents(pages: list[tuple[str, list[tuple[str, str]]]]) -> str:
    """Parts and chapters as links; `pages` holds name and title of each page by part."""
    lines = []
    for caption, chapters in pages:
        links = "".join(f'<li><a href="#{place(n)}">{title}</a></li>' for n, title in chapters)
        lines.append(f"<h2>{caption}</h2><ol>{links}</ol>" if caption else f"<ol>{links}</ol>")
    return '<nav class="paper-contents"><h1>Contents</h1>' + "".join(lines) + "</nav>"


def styles() -> str:
    """The style sheets of the first page, and that of paper."""
    soup = BeautifulSoup((HTML / "index.html").read_text(encoding="utf-8"), "html.parser")
    own = '<link rel="stylesheet" href="_static/paper.css">'
    return "".join(map(str, soup.select("head link[rel=stylesheet]"))) + own


def whole() -> str:
    """The whole book as one HTML page."""
    title = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    names = {name for _, pages in parts() for name in pages}
    texts, listed = [], []
    for caption, pages in parts():
        chapters = [article(name, names) for name in pages]
        titles = [chapter.h1.get_text().strip() for chapter in chapters if chapter.h1]
        listed.append((caption, list(zip(pages, titles, strict=True))))
        texts += [str(chapter) for chapter in chapters]
    cover = f'<header class="cover"><h1>{title}</h1></header>'
    body = cover + contents(listed) + "".join(texts)
    head = HEAD.format(title=title, styles=styles())
    top = '<!DOCTYPE html><html lang="en" data-theme="light">'
    return f"{top}<head>{head}</head><body>{body}</body></html>"


def printed(page: Page) -> None:
    """Open the whole book, wait for its charts and formulas, print it."""
    page.goto(WHOLE.as_uri(), timeout=MINUTES * 60_000)
    page.wait_for_function(DRAWN, timeout=MINUTES * 60_000)
    page.evaluate("() => MathJax.startup.promise")
    margin = {"top": "16mm", "bottom": "16mm", "left": "15mm", "right": "15mm"}
    page.pdf(
        path=PDF,
        format="A4",
        margin=margin,
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        outline=True,
        tagged=True,
    )


def main() -> int:
    """Print the book; 1 with one sentence where that cannot be."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not browser:
        sys.stderr.write("no Chromium: install one, or set CHROMIUM to its path\n")
        return 1
    WHOLE.write_text(whole(), encoding="utf-8")
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=browser, args=["--no-sandbox", "--disable-gpu"]
            )
            printed(chromium.new_page(viewport={"width": WIDTH, "height": 900}))
            chromium.close()
    finally:
        WHOLE.unlink(missing_ok=True)
    sys.stdout.write(f"wrote {PDF}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
