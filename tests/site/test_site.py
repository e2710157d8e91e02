"""The built site leads nowhere wrong and loads nothing from elsewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from bs4 import BeautifulSoup
from spellchecker import SpellChecker

from tutorial.site.pages import DOCS, all_pages

PICTURES = DOCS / "img"
SPELLING = DOCS / "spelling.txt"
PICTURE = re.compile(r'\{\{ picture (\S+) "([^"]*)" \}\}')


@cache
def soup_of(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def pages_of(site: Path) -> list[Path]:
    return [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]


def addresses(soup: BeautifulSoup) -> list[str]:
    return [e[key] for key in ("href", "src") for e in soup.find_all(attrs={key: True})]


def test_no_link_and_no_anchor_is_dead(site):
    dead = []
    for page in pages_of(site):
        for address in addresses(soup_of(page)):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            path, fragment = urldefrag(address)
            target = (page.parent / unquote(path)).resolve() if path else page
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                dead.append(f"{page.name}: {address}")
            elif fragment and target.suffix == ".html":
                soup = soup_of(target)
                if not soup.find(id=unquote(fragment)) and fragment != "__skip":
                    dead.append(f"{page.name}: {address}")
    assert not dead


def test_what_is_loaded_is_our_own(site):
    loaded = {"script": "src", "link": "href", "img": "src", "iframe": "src"}
    remote = []
    for page in pages_of(site):
        for name, key in loaded.items():
            for element in soup_of(page).find_all(name, attrs={key: True}):
                if name == "link" and "canonical" in element.get("rel", []):
                    continue
                if urlsplit(element[key]).netloc:
                    remote.append(f"{page.name}: {element[key]}")
    assert not remote


def test_links_to_elsewhere_are_safe(site):
    plain = set()
    for page in pages_of(site):
        for element in soup_of(page).find_all("a", href=True):
            parts = urlsplit(element["href"])
            local = parts.hostname in (None, "127.0.0.1", "localhost")
            if not local and parts.scheme != "https":
                plain.add(element["href"])
    assert not plain


def test_no_directive_is_left_over(site):
    marks = re.compile(r"\{\{|\}\}|siteblock\d|generated\d{4}in")
    for page in pages_of(site):
        soup = BeautifulSoup(page.read_text("utf-8"), "html.parser")
        for code in soup.select("pre, code, script, [data-copy]"):
            code.decompose()
        found = marks.search(str(soup))
        assert not found, f"{page.name} has {found[0]!r}"


def test_every_picture_is_used_and_has_both_shades():
    used = set()
    for page in all_pages():
        for name, alt in re.findall(
            r"\{\{ picture (\S+) \"([^\"]*)\" \}\}", page.source
        ):
            used.add(name)
            assert len(alt.split()) > 4, f"{page.path}: {name} needs an alt text"
    wanted = {f"{name}-{shade}.png" for name in used for shade in ("light", "dark")}
    assert {path.name for path in PICTURES.glob("*")} == wanted


def words_of(page: Path) -> set[str]:
    soup = BeautifulSoup(page.read_text("utf-8"), "html.parser").article
    for code in soup.select("pre, code, kbd, svg, script, .highlight, .no-spelling"):
        code.decompose()
    text = re.sub(r"https?://\S+|\S+@\S+|\w+\.\w{2,4}\b", " ", soup.get_text(" "))
    return set(re.findall(r"[A-Za-z][a-z]*(?:[’'][a-z]+)?", text))


def test_words_are_spelled_right(site):
    own = set(SPELLING.read_text("utf-8").split())
    assert SPELLING.read_text("utf-8").split() == sorted(own), "keep the list sorted"
    checker = SpellChecker(language="en", distance=1)
    checker.word_frequency.load_words(word.lower() for word in own)
    wrong: dict[str, str] = {}
    for page in pages_of(site):
        words = {word.replace("’", "'").removesuffix("'s") for word in words_of(page)}
        for word in checker.unknown(words):
            wrong.setdefault(word, page.name)
    assert not wrong, f"Mend these, or add a real term to docs/spelling.txt: {wrong}"
