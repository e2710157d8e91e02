"""Exercises of chapter 1: how many rooms there are, each name once, a 404 page."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.html import parse

pytestmark = pytest.mark.stages(1, 1)

# In Django's own client: with DEBUG on, Django shows a page of its own.
LOST = (
    "import json; from django.conf import settings; from django.test import Client; "
    "settings.DEBUG = False; settings.ALLOWED_HOSTS = ['*']; "
    "found = Client(raise_request_exception=False).get('/chats/987654321/'); "
    "print(json.dumps([found.status_code, found.content.decode()]))"
)
TWICE = (
    "from django.db import Error; from chat.models import ChatRoom\n"
    "try:\n"
    "    for _ in range(2): ChatRoom.objects.create(name={name!r})\n"
    "    print('made twice')\n"
    "except Error: print('refused')"
)


@pytest.fixture
def empty(chat, tmp_path):
    """No rooms, until the end of the test."""
    assert chat.django, "Django should start."
    chat.manage("dumpdata", "chat", "--output", str(tmp_path / "rooms.json"))
    forget = "from chat.models import ChatRoom; ChatRoom.objects.all().delete()"
    chat.shell(forget)
    yield chat
    chat.shell(forget)
    chat.manage("loaddata", str(tmp_path / "rooms.json"))


@pytest.mark.exercise(1)
def test_the_list_says_how_many_rooms_there_are(empty):
    for count, words in ((1, "1 room"), (2, "2 rooms"), (3, "3 rooms")):
        empty.make_rooms(f"Place {'ABC'[count - 1]}")
        text = parse(empty.get("/chats/").text).get_text(" ")
        said = re.findall(r"\b\d+\s+rooms?\b", text)
        assert [" ".join(one.split()) for one in said] == [words], (
            f"With {count} in the list, /chats/ should say {words!r}, but says "
            f"{said or 'nothing of the kind'}."
        )


@pytest.mark.exercise(2)
def test_the_database_takes_no_name_twice(chat):
    came = chat.shell(TWICE.format(name="Somewhere")).strip()
    assert came == "refused", (
        "Somebody makes two rooms called Somewhere, without the admin. The database "
        f"should refuse the second, but this came: {came}."
    )


@pytest.mark.exercise(2)
def test_another_name_is_taken(chat):
    rooms = chat.make_rooms("Here", "There")
    assert len({*rooms}) == 2, "Rooms called Here and There should both be made."


@pytest.mark.exercise(3)
def test_whoever_is_lost_finds_the_way_back(chat):
    assert chat.django, "Django should start."
    status, body = json.loads(chat.shell(LOST).splitlines()[-1])
    assert status == 404, (
        "Without DEBUG, /chats/987654321/ should still be answered with 404, but the "
        f"answer was {status}."
    )
    page = parse(body)
    links = [link["href"] for link in page("a", href=True)]
    assert "/chats/" in links or "/" in links, (
        "The page for what is not found should link to the rooms, /chats/. It links to "
        f"{links}, and reads {page.get_text(' ', strip=True)[:100]!r}."
    )
