"""The built site leads nowhere wrong and loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from bs4 import BeautifulSoup
from spellchecker import SpellChecker

from tutorial.site.measure import kept, measured_code
from tutorial.site.pages import DOCS, Fence, all_pages
from tutorial.site.pictures import made_from

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
    ours = re.compile(r"\{\{ (?:step|code|delete|lab|lines|measured|picture|version)\b")
    for page in pages_of(site):
        found = ours.search(page.read_text("utf-8"))
        assert not found, f"{page.name} has {found[0]!r}"
        soup = BeautifulSoup(page.read_text("utf-8"), "html.parser")
        for code in soup.select("pre, code, script, [data-copy]"):
            code.decompose()
        found = marks.search(str(soup))
        assert not found, f"{page.name} has {found[0]!r}"


def test_every_block_of_a_page_is_known_to_be_run_or_not(site):
    """No block slips in by another way of writing it."""
    for page in all_pages():
        built = (site / page.path).with_suffix(".html").read_text("utf-8")
        blocks = BeautifulSoup(built, "html.parser").article.select("div.highlight")
        plain = [block for block in blocks if not block.find_parent(class_="code")]
        fences = [block for block in page.blocks if isinstance(block, Fence)]
        assert len(plain) == len(fences), page.path


def test_every_picture_is_used_has_both_shades_and_shows_what_is_so():
    used = set()
    for page in all_pages():
        for name, alt in PICTURE.findall(page.source):
            used.add(name)
            assert len(alt.split()) > 4, f"{page.path}: {name} needs an alt text"
    assert used == set(made_from())
    wanted = {f"{name}-{shade}.png" for name in used for shade in ("light", "dark")}
    assert {path.name for path in PICTURES.glob("*.png")} == wanted
    noted = json.loads((PICTURES / "made_from.json").read_text("utf-8"))
    old = [name for name, digest in made_from().items() if noted.get(name) != digest]
    assert not old, (
        f"`python -m tutorial site pictures {' '.join(old)}` takes them anew"
    )


def test_the_quoted_figures_were_measured_on_this_code():
    again = "`python -m tutorial site measure` measures anew, on a quiet machine"
    assert kept()["of"] == measured_code(), again


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
