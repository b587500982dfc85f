"""A browser that may reach nothing but the built book, and a server for it."""

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator

import pytest
from browsing import HTML, Opener
from playwright.sync_api import Browser, sync_playwright

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def _absent(reason: str) -> None:
    # in `make test` a book that cannot be checked is a failure, not a skipped test
    if os.environ.get("BOOK_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Address of the built book on this machine."""
    if not (HTML / "index.html").is_file():
        _absent("the book is not built: make book")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            """Say nothing: the requests are counted in the browser."""

    handler = functools.partial(Quiet, directory=str(HTML))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium from $CHROMIUM or from the path."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not executable:
        _absent("no Chromium: apt-get install chromium, or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Browser, site: str) -> Iterator[Opener]:
    """Open a page: `opened("index", width=390)`."""
    opener = Opener(browser, site)
    yield opener
    for context in opener.contexts:
        context.close()
