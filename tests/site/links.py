"""Where the pages of a built site lead, and what they load."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from bs4 import BeautifulSoup

# What a page loads of itself, and in which attribute.
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src"}


@cache
def soup_of(path: Path) -> BeautifulSoup:
    """The page, read once."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@cache
def anchors_of(path: Path) -> set[str]:
    """The places on a page that a link can name."""
    return {element["id"] for element in soup_of(path).find_all(id=True)}


def pages_of(site: Path) -> list[Path]:
    """Every page that a reader comes to on purpose."""
    return [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]


def dead_links(site: Path) -> list[str]:
    """What leads nowhere within the site: "page: address"."""
    dead = []
    for page in pages_of(site):
        found = soup_of(page).find_all(attrs={"href": True})
        found += soup_of(page).find_all(attrs={"src": True})
        for address in (element.get("href") or element.get("src") for element in found):
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
        for name, key in LOADED.items():
            for element in soup_of(page).find_all(name, attrs={key: True}):
                if name == "link" and "canonical" in element.get("rel", []):
                    continue
                if urlsplit(element[key]).netloc:
                    remote.append(f"{page.name}: {element[key]}")
    return remote
