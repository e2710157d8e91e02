"""Opens pages of the built site in Chromium, with the network shut."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from tutorial.site.pages import all_pages
from tutorial.stages import load_snapshots

# What a page may not have, by the rules that axe calls WCAG A and AA.
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],  # The details of what is right take long.
}


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and is silent about it."""

    def log_message(self, *arguments):
        pass

    def copyfile(self, source, outputfile):
        with suppress(ConnectionError):  # The page was left while it loaded.
            super().copyfile(source, outputfile)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of 127.0.0.1; yields the address."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def opened(
    browser: Browser, address: str, searches: bool = False, **context
) -> Iterator[tuple[Page, list[str]]]:
    """Open a page in a window of its own; yields the same as visited()."""
    with (
        browser.new_context(**context) as window,
        visited(window, address, searches) as found,
    ):
        yield found


def forget_most(route) -> None:
    """Leave little to find: to take in the whole site is a third of a page's time."""
    index = route.fetch().json()
    route.fulfill(json={**index, "docs": index["docs"][:1]})


@contextmanager
def visited(
    window: BrowserContext, address: str, searches: bool = False
) -> Iterator[tuple[Page, list[str]]]:
    """Open a page; yields it and the complaints: failed requests, console, errors.

    A window keeps its first tab for its next visit: a new one costs twice the time.
    Only who `searches` finds something.
    """
    complaints: list[str] = []
    page = window.pages[0] if window.pages else window.new_page()
    origin = "/".join(address.split("/")[:3])

    def only_ours(route):
        complaints.append(f"asks for {route.request.url}")
        route.abort()

    heard = {
        "console": lambda message: complaints.append(message.text),
        "pageerror": lambda error: complaints.append(str(error)),
        "requestfailed": lambda request: complaints.append(request.url),
    }
    page.route(lambda url: not url.startswith(f"{origin}/"), only_ours)
    if not searches:
        page.route("**/search_index.json", forget_most)
    for event, hear in heard.items():
        page.on(event, hear)
    try:
        page.goto(address, wait_until="load")
        yield page, complaints
    finally:
        for event, hear in heard.items():
            page.remove_listener(event, hear)
        page.unroute_all(behavior="ignoreErrors")
        page.goto("about:blank")  # Or the next address might be a place on this page.


def violations(page: Page, within: str = "html") -> list[str]:
    """What axe finds wrong in the element with that selector, a line for each."""
    found = Axe().run(page, context=within, options=RULES).response["violations"]
    return [
        f"{rule['id']}: {node['target']}: {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


# One of each kind of page: those of a kind are made alike.
KINDS = [
    "3_longpoll.html",
    "diff/4-5.html",
    "switcher.html",
]


def paths() -> list[str]:
    """The address of every page, written or generated, relative to the site."""
    written = [page.path for page in all_pages()]
    stages = pairwise(stage.mark for stage in load_snapshots())
    made = ["switcher.md", *(f"diff/{old}-{new}.md" for old, new in stages)]
    return [f"{path.removesuffix('.md')}.html" for path in sorted(written + made)]
