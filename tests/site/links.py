"""Where the pages of a built site lead, and what they load."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from bs4 import BeautifulSoup

NO_PROSE = {"pre", "code", "kbd", "svg", "script", "highlight", "no-spelling"}
# Elements without an end, in HTML.
VOID = {"area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}
VOID |= {"base", "track", "wbr"}
# What a page loads of itself, and in which attribute.
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src"}


@cache
def soup_of(path: Path) -> BeautifulSoup:
    """The page, read once."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


class Elements(HTMLParser):
    """A page as far as most tests look into it. A soup of all takes many times as long.

    `found` are its elements, (name, attributes) each; `prose` is the text that is no
    code, and `article` as much of it as is the page's own.
    """

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.prose: list[str] = []
        self.article: list[str] = []
        # The elements that are open: the name, and the lists that take its text.
        self._open: list[tuple[str, list]] = [("", [self.prose])]
        self.feed(text)

    def handle_starttag(self, name, attributes):
        attributes = dict(attributes)
        self.found.append((name, attributes))
        if name in VOID:
            return
        _, takes = self._open[-1]
        if NO_PROSE & {name, *(attributes.get("class") or "").split()}:
            takes = []
        elif name == "article" and takes:
            takes = [self.prose, self.article]
        self._open.append((name, takes))

    def handle_startendtag(self, name, attributes):
        self.found.append((name, dict(attributes)))

    def handle_endtag(self, name):
        if any(name == one for one, _ in self._open):
            while self._open.pop()[0] != name:
                pass

    def handle_data(self, data):
        for taking in self._open[-1][1]:
            taking.append(data)


@cache
def elements_of(path: Path) -> Elements:
    """The page, read once."""
    return Elements(path.read_text("utf-8"))


@cache
def anchors_of(path: Path) -> set[str]:
    """The places on a page that a link can name."""
    return {at["id"] for _, at in elements_of(path).found if "id" in at}


def pages_of(site: Path) -> list[Path]:
    """Every page that a reader comes to on purpose."""
    return [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]


def dead_links(site: Path) -> list[str]:
    """What leads nowhere within the site: "page: address"."""
    dead = []
    for page in pages_of(site):
        found = [at.get("href") or at.get("src") for _, at in elements_of(page).found]
        for address in filter(None, found):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            path, fragment = urldefrag(address)
            target = (page.parent / unquote(path)).resolve() if path else page
            if target.is_dir():
                target /= "index.html"
            there = target.exists()
            if there and fragment not in ("", "__skip") and target.suffix == ".html":
                there = unquote(fragment) in anchors_of(target)
            if not there:
                dead.append(f"{page.name}: {address}")
    return dead


def loaded_from_elsewhere(site: Path) -> list[str]:
    """What a page loads that is not the site's own: "page: address"."""
    remote = []
    for page in pages_of(site):
        for name, at in elements_of(page).found:
            address = at.get(LOADED.get(name, ""), "")
            if name == "link" and "canonical" in at.get("rel", "").split():
                continue
            if urlsplit(address).netloc:
                remote.append(f"{page.name}: {address}")
    return remote
