"""Open a page of the built book and watch what it asks for and complains about."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from playwright.sync_api import Browser, Page, Request, Route

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
# a chart that waits for a reader's rows is hidden until it has them
READY = (
    "() => [...document.querySelectorAll('.vega-figure')]"
    ".every(f => f.dataset.ready || !f.offsetParent)"
)


def pages() -> list[str]:
    """Every page of the table of contents, the root first."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    return [toc["root"], *chapters]


@dataclass
class Watch:
    """What went wrong while a page was open."""

    external: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        """Collect from `page` and let it load local addresses only."""

        def route(request: Route) -> None:
            url = request.request.url
            if url.startswith(("http://127.0.0.1:", "file://", "data:", "blob:")):
                request.continue_()
            else:
                self.external.append(url)
                request.abort()

        def response(answer: object) -> None:
            if answer.status >= 400:  # type: ignore[attr-defined]
                self.failed.append(f"{answer.status} {answer.url}")  # type: ignore[attr-defined]

        page.route("**/*", route)
        page.on("response", response)
        page.on("requestfailed", self._fail)
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        kept = {"error": self.errors, "warning": self.warnings}
        page.on("console", lambda m: kept.get(m.type, []).append(m.text))

    def _fail(self, request: Request) -> None:
        # a page that is left while its icon loads has lost nothing
        if not (request.url.endswith("favicon.svg") and request.failure == "net::ERR_ABORTED"):
            self.failed.append(request.url)

    def assert_clean(self) -> None:
        """Nothing left the machine, nothing failed to load, nothing complained."""
        assert not self.external, f"requests to other hosts: {self.external}"
        assert not self.failed, f"failed requests: {self.failed}"
        assert not self.errors, f"console errors: {self.errors}"


_AXE = importlib.util.find_spec("axe_playwright_python")
VIOLATIONS = """async () => {
  const { violations } = await axe.run({ preload: false, resultTypes: ['violations'] });
  return violations.flatMap(v => v.nodes.map(
    n => [v.id, n.target.join(' '), n.html.slice(0, 120)])); }"""


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with an open page, the frame of the theme included."""
    if _AXE is None or _AXE.origin is None:
        raise ModuleNotFoundError("axe-playwright-python is missing: make env")
    page.evaluate((Path(_AXE.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate(VIOLATIONS)
    return [f"{rule}: {place} {text}" for rule, place, text in found]


@dataclass
class Opened:
    """A page that has been opened and watched."""

    page: Page
    watch: Watch


class Opener:
    """Opens pages of the book in fresh contexts and closes them after the test."""

    def __init__(self, browser: Browser, site: str) -> None:
        self.browser, self.site = browser, site
        self.contexts: list = []

    def __call__(
        self, name: str, width: int = 1280, dark: bool = False, as_file: bool = False
    ) -> Opened:
        """Open page `name`, wait until its charts are drawn."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
        )
        self.contexts.append(context)
        opened = Opened(context.new_page(), Watch())
        opened.watch.attach(opened.page)
        base = HTML.as_uri() if as_file else self.site
        opened.page.goto(f"{base}/{name}.html", wait_until="load")
        opened.page.wait_for_function(READY, timeout=30_000)
        return opened
