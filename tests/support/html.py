"""The pages of a folder, read as a browser reads them."""

from __future__ import annotations

from bs4 import BeautifulSoup
from bs4.element import Script, Stylesheet, Tag

# What is in these is no text of the page.
UNSEEN = {"script": Script, "style": Stylesheet}


def parse(page: str) -> BeautifulSoup:
    """The elements of a page, or of a part of one.

    HTML lets many tags be left out, and a browser puts them in: <body>, </li>, </p>.
    So does html5lib, by the rules of the standard, and Python's own parser does not.
    """
    soup = BeautifulSoup(page, "html5lib")
    for tag in soup([*UNSEEN]):
        if tag.string:
            tag.string.replace_with(UNSEEN[tag.name](tag.string))
    for template in soup("template"):
        template.clear()  # It is for scripts, and in no page yet.
    return soup


def forms_in(page: str) -> list[Tag]:
    """The forms of a page, with their fields.

    Both tags of a form have to be there. Between those of a table a browser knows it
    by them, and as an element it would be empty.
    """
    return BeautifulSoup(page, "html.parser")("form")
