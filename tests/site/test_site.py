"""The built site leads nowhere wrong and loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup
from spellchecker import SpellChecker

from benchmarks.keep import measured_code
from tests.site.links import (
    dead_links,
    elements_of,
    loaded_from_elsewhere,
    pages_of,
    soup_of,
)
from tutorial.site.measured import kept
from tutorial.site.pages import DOCS, Fence, all_pages
from tutorial.site.pictures import made_from

PICTURES = DOCS / "img"
SPELLING = DOCS / "spelling.txt"
PICTURE = re.compile(r'\{\{ picture (\S+) "([^"]*)"(?: wide)? \}\}')


def test_no_link_and_no_anchor_is_dead(site):
    assert not dead_links(site)


def test_what_is_loaded_is_our_own(site):
    assert not loaded_from_elsewhere(site)


def test_links_to_elsewhere_are_safe(site):
    plain = set()
    for page in pages_of(site):
        for name, at in elements_of(page).found:
            if name != "a" or "href" not in at:
                continue
            parts = urlsplit(at["href"])
            local = parts.hostname in (None, "127.0.0.1", "localhost")
            if not local and parts.scheme != "https":
                plain.add(at["href"])
    assert not plain


def test_no_directive_is_left_over(site):
    ours = re.compile(
        r"siteblock\d|generated\d{4}in"
        r"|\{\{ (?:step|code|delete|lab|lines|measured|picture|version)\b"
    )
    for page in pages_of(site):
        assert not ours.findall(page.read_text("utf-8")), page.name
        prose = "".join(elements_of(page).prose)
        assert not re.findall(r".*(?:\{\{|\}\}).*", prose), page


@pytest.mark.thorough
def test_every_block_of_a_page_is_known_to_be_run_or_not(site):
    """No block slips in by another way of writing it."""
    for page in all_pages():
        article = soup_of((site / page.path).with_suffix(".html")).article
        blocks = article.select("div.highlight")
        plain = [block for block in blocks if not block.find_parent(class_="code")]
        fences = [block for block in page.blocks if isinstance(block, Fence)]
        edits = [block.edits for block in fences if block.edits]
        short = [block for block in fences if block.is_short]
        assert len(plain) == len(fences) - len(edits) - len(short), page.path
        assert len(article.select("p.again")) == len(short), page.path
        shown = [figure["data-edit"] for figure in article.select("[data-edit]")]
        mine = [block.edits for block in fences if block.edits and not block.is_step]
        assert shown == mine, page.path


def test_where_all_that_is_shown_goes_there_is_nothing_to_copy(site):
    """The theme's button would copy what stands there, which is to go."""
    boxes = soup_of(site / "5_refactor.html").select("div.highlight[data-copy]")
    nothing = [box for box in boxes if not box["data-copy"].strip()]
    assert nothing
    for box in boxes:
        assert ("no-copy" in box["class"]) == (box in nothing), box


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
    again = "`python -m benchmarks keep` measures anew, on a quiet machine"
    assert kept()["of"] == measured_code(), again


def test_what_exercise_2_says_of_its_figures_is_so():
    before, after = kept()["1_rooms"], kept()["2_no_delays"]
    times = after["fanout"] / before["fanout"]
    assert times > 1, "what arrives at sockets is what the exercise gained"
    assert kept()["fanout_times"] == pytest.approx(times, rel=0.01)


def words_of(page: Path) -> set[str]:
    text = " ".join(elements_of(page).article)
    text = re.sub(r"https?://\S+|\S+@\S+|\w+\.\w{2,4}\b", " ", text)
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


def heading_of(page: Path) -> str:
    """The text of the first heading. The soup of a whole page takes long."""
    text = page.read_text("utf-8")
    heading = text[text.index("<h1") : text.index("</h1>")]
    return BeautifulSoup(heading, "html.parser").get_text(" ")


def test_the_menu_calls_a_page_what_the_page_calls_itself(site):
    menu = soup_of(site / "index.html").select(
        "nav.md-nav--primary a.md-nav__link[href]"
    )
    names = {link["href"]: link.get_text(" ", strip=True) for link in menu}
    pages = {page: name for page, name in names.items() if page.endswith(".html")}
    pages.pop("index.html", None)  # is called Start
    assert len(pages) > 25
    others = {
        name: title
        for page, name in pages.items()
        if name not in (title := heading_of(site / page))
    }
    assert not others
