"""Stage 1: Django shows a list of rooms, and a page for each."""

from __future__ import annotations

import itertools
import json
import re
from urllib.parse import urljoin

import pytest
from bs4 import BeautifulSoup, Tag

from tests.support.html import parse

SINCE_STAGE = 1
# What HTML lets a label be for.
LABELLED = ["input", "textarea", "select", "button", "output", "meter", "progress"]
NAME = "Tom & <i>Jerry</i></title>"
OTHERS = [f"Room {number}" for number in range(30)]


@pytest.fixture(scope="module")
def rooms(chat) -> dict[str, str]:
    """Rooms of many names: their paths, and the names. The first is NAME."""
    names = [NAME, *OTHERS]
    return dict(zip(chat.make_rooms(*names), names, strict=True))


@pytest.fixture(scope="module")
def room(rooms) -> str:
    """The path of a room called NAME, which is not the only one."""
    return next(iter(rooms))


def page(chat, path: str) -> BeautifulSoup:
    response = chat.get(path)
    assert response.status == 200, (
        f"GET {path} should show a page (200), but the answer was {response.status}."
    )
    return parse(response.text)


def test_manage_py_check_is_silent(chat):
    output = chat.manage("check", "--fail-level", "DEBUG")
    assert "no issues" in output, f"manage.py check should find nothing:\n{output}"


def test_the_migrations_fit_the_models(chat):
    found = chat.manage("showmigrations", "chat")
    assert "(no migrations)" not in found, (
        "Django finds no migrations of the app chat. makemigrations writes them to "
        "chat/migrations, which is a package: there has to be an __init__.py in it."
    )
    output = chat.manage("makemigrations", "--dry-run")
    assert "No changes" in output, (
        f"makemigrations should have nothing to do:\n{output}"
    )


def test_every_migration_has_a_way_back(chat):
    assert chat.django, "Django should start, and have its database"
    plan = chat.manage("migrate", "chat", "zero", "--plan")
    assert "IRREVERSIBLE" not in plan, (
        "Whoever has migrated may want to go back. Asked for the way, with migrate "
        f"chat zero --plan, Django says that there is none:\n{plan}"
    )


# In a database of its own: all the way, back to each migration, and on again. And in
# the end, when a room was deleted and another one renamed, once more.
AGAIN = """
import itertools
import json
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from chat.models import ChatRoom

def migrate(*words):
    call_command("migrate", *words, verbosity=0)
    return rooms()

def rooms():
    return sorted(ChatRoom.objects.values_list("name", flat=True))

usual = connection.settings_dict["NAME"]
connection.close()
connection.settings_dict["NAME"] = {name!r}
told = []
try:
    known = MigrationLoader(None).graph.nodes
    for target in [None, *sorted(name for app, name in known if app == "chat")]:
        if target:
            migrate("chat", target)
        told.append(migrate())
    for name in ["Attic", "Cellar"]:
        ChatRoom.objects.create(name=name)
    first, *_, last = ChatRoom.objects.order_by("pk")
    first.delete()
    last.name = "Larder"
    last.save()
    kept = [rooms(), migrate()]
finally:
    connection.close()
    connection.settings_dict["NAME"] = usual
print(json.dumps([told, kept]))
"""


@pytest.fixture
def migrated(chat) -> list[list]:
    """What rooms there are after each way through the migrations, and at the end."""
    database = chat.folder / "again.sqlite3"
    try:
        output = chat.shell(AGAIN.format(name=f"{database}"))
    finally:
        database.unlink(missing_ok=True)
    return json.loads(output.splitlines()[-1])


@pytest.mark.stages(1, 1)
def test_who_goes_back_and_on_again_has_each_room_once(migrated):
    first, *again = migrated[0]
    assert all(names == first for names in again), (
        f"After migrate there are the rooms {first}. Somebody goes back to an earlier "
        f"migration, and migrates again. The rooms should be the same: {again}."
    )


@pytest.mark.stages(1, 1)
def test_a_room_that_is_deleted_stays_deleted(migrated):
    before, after = migrated[1]
    assert after == before, (
        "Somebody deletes a room and renames another one, so that there are the rooms "
        f"{before}, and runs migrate once more. Now there are {after}. A migration "
        "runs once; whatever else makes rooms should not bring back what was deleted."
    )


def test_the_front_page_redirects_to_the_rooms(chat):
    response = chat.get("/")
    location = response.getheader("location")
    to = urljoin(f"{chat.origin}/", location)
    assert response.status in (302, 303, 307) and to == f"{chat.origin}/chats/", (
        "GET / should redirect to /chats/, for now (302), as browsers remember what is "
        f"for ever. The answer was {response.status} to {location}."
    )


def test_the_list_links_to_every_room(chat, rooms):
    soup = page(chat, "/chats/")
    links = {urljoin("/chats/", link["href"]): link for link in soup("a", href=True)}
    for path, name in rooms.items():
        assert path in links, (
            f"There are rooms called {', '.join(rooms.values())}. /chats/ should link "
            f"the name {name!r} to {path}, but links to {[*links]}."
        )
        said = text_around(links[path])
        assert name in said, (
            f"/chats/ should link the name {name!r} to {path}, but beside it is "
            f"{said!r}."
        )


def test_the_list_is_in_the_order_of_the_alphabet(chat):
    paths = chat.make_rooms("Zebras", "Aardvarks", "Mice")
    soup = page(chat, "/chats/")
    shown = [urljoin("/chats/", link["href"]) for link in soup("a", href=True)]
    order = [path for path in dict.fromkeys(shown) if path in paths]
    assert order == [paths[1], paths[2], paths[0]], (
        "Somebody makes the rooms Zebras, Aardvarks and Mice, one after the other. "
        "/chats/ should list them by the alphabet, Aardvarks first and Zebras last. "
        f"It links to {order}, and they are {paths}, as they were made."
    )


def text_around(link) -> str:
    """The text of a link, with what it stands in as far as that is about one room.

    A <dt> stands with the <dd> behind it.
    """
    part, room = link, {number_in(link)}
    while part.parent and rooms_linked(part.parent) == room:
        part = part.parent
    behind = part.find_next_siblings(["dt", "dd"]) if part.name == "dt" else []
    own = itertools.takewhile(lambda one: one.name == "dd", behind)
    return " ".join(one.get_text() for one in (part, *own))


def rooms_linked(part: Tag) -> set[str]:
    """The numbers of the rooms to which a part of the page links."""
    links = [*part("a", href=True), *[part] * part.has_attr("href")]
    return {number_in(link) for link in links} - {""}


def number_in(link) -> str:
    """The number of the room to which a link leads; "" if it leads to none."""
    return re.sub(r"\D", "", link["href"])


def test_the_list_says_when_there_are_no_rooms(chat, room, tmp_path):
    rooms = tmp_path / "rooms.json"
    chat.manage("dumpdata", "chat", "--output", str(rooms))
    chat.shell("from chat.models import ChatRoom; ChatRoom.objects.all().delete()")
    try:
        body = page(chat, "/chats/").body
    finally:
        chat.manage("loaddata", str(rooms))
    for heading in body(["h1", "h2", "header", "footer"]):
        heading.decompose()
    text = body.get_text(" ", strip=True)
    for link in body("a"):
        link.decompose()
    assert re.search(r"\w", body.get_text()), (
        "Without rooms, /chats/ should say that there are none. Under its heading it "
        f"says {text!r}."
    )


def test_a_room_shows_its_name_as_text(chat, room):
    headings = page(chat, room)(["h1", "h2", "h3"])
    assert headings, f"{room} should have a heading, an <h1>."
    assert any(NAME in heading.get_text() for heading in headings), (
        f"A heading of {room} should read {NAME!r}, but there is {headings}."
    )


def test_a_room_has_an_input_box_with_a_label(chat, room):
    soup = page(chat, room)
    box = soup.select_one("input:not([type]), input[type=text], textarea")
    assert box is not None, f"{room} should have an input box to write a message in."
    label = box.find_parent("label") or box.get("aria-label")
    if box.get("id"):
        label = label or soup.find("label", attrs={"for": box["id"]})
    if box.get("aria-labelledby"):
        label = label or soup.find(id=box["aria-labelledby"])
    says = label.get_text(strip=True) if isinstance(label, Tag) else label
    assert says, (
        f"The input box {box} should have a <label>, "
        "or a screen reader cannot say what it is for."
    )
    for label in soup("label"):
        named = label.has_attr("for")
        its = soup.find(LABELLED, id=label["for"]) if named else label.find(LABELLED)
        assert its, (
            f"A click on {label} should set the focus into what it labels. The "
            "attribute for names the id of that."
        )
    for button in soup("button"):
        if button.has_attr("hidden") or button.find_parent(hidden=True):
            continue  # Its script says what it is for, when it shows it.
        says = button.get_text(strip=True) or button.get("aria-label")
        assert says, f"A button of {room} says nothing: {button}"


def test_a_room_has_an_empty_message_list(chat, room):
    log = page(chat, room).select_one("[role=log]")
    assert log is not None, (
        f'{room} should have a list with role="log", so that a screen reader reads '
        "new messages out."
    )
    for heading in log.select("h1, h2, h3"):
        heading.extract()  # It says what the list is, and is no message.
    assert not log.get_text(strip=True), (
        f"The message list of {room} should be empty, but it has {log.get_text()!r}."
    )


def test_a_room_says_that_it_is_not_connected(chat, room):
    status = page(chat, room).find(["output", True], role="status")
    status = status or page(chat, room).find("output")
    assert status is not None and status.get_text(strip=True), (
        f"{room} should say in words that it is not connected, in an element with "
        f'role="status", so that a screen reader reads changes out. There is {status}.'
    )


def test_a_page_says_its_language_and_its_title(chat, room):
    paths = ["/chats/", room]
    if chat.target.stage.number >= 3:
        paths.append(room.replace("/chats/", "/chats/long_poll/"))
    for path in paths:
        soup = page(chat, path)
        assert soup.html and soup.html.get("lang"), (
            f"<html> of {path} should have a lang, or a screen reader guesses in which "
            "language to read."
        )
        title = soup.title.get_text(strip=True) if soup.title else ""
        assert title, f"{path} should have a <title>, which the tab shows."
        heading = soup.find(["h1", "h2"])
        assert heading and heading.get_text(strip=True), (
            f"{path} should have a heading, an <h1>. There is {heading}."
        )
        assert path == "/chats/" or NAME in title, (
            f"The title of {path} should say which room it is, {NAME!r}, but is "
            f"{title!r}."
        )


def test_a_room_leads_back_to_the_list(chat, room):
    links = page(chat, room)("a", href=True)
    back = [link for link in links if urljoin(room, link["href"]) == "/chats/"]
    assert any(link.get_text(strip=True) for link in back), (
        f"{room} should have a link back to /chats/, with words. Its links: {links}."
    )


@pytest.mark.parametrize("which", ["987654321", "kitchen"])
def test_an_unknown_room_is_not_found(chat, which):
    status = chat.get(f"/chats/{which}/").status
    assert status == 404, (
        f"There is no room /chats/{which}/, so it should be 404, but the answer was "
        f"{status}."
    )


@pytest.mark.parametrize("which", ["list", "room"])
def test_pages_fit_a_phone_and_load_only_their_own_files(chat, room, which):
    path = room if which == "room" else "/chats/"
    soup = page(chat, path)
    viewport = soup.find("meta", attrs={"name": "viewport"})
    assert viewport and "width=device-width" in viewport.get("content", ""), (
        f'{path} should have a <meta name="viewport"> with width=device-width, or a '
        f"phone shows it tiny. It has {viewport}."
    )
    addresses = [s["src"] for s in soup("script", src=True)]
    addresses += [s["href"] for s in soup("link", rel="stylesheet")]
    for address in addresses:
        whole = urljoin(chat.origin + path, address)
        assert whole.startswith(f"{chat.origin}/"), (
            f"{path} should load files from its own server only, but loads {address}."
        )
        status = chat.get(whole.removeprefix(chat.origin)).status
        assert status == 200, f"{path} names {address}, but the answer is {status}."


def test_rooms_are_in_the_admin(chat):
    code = "from django.contrib import admin; from chat.models import ChatRoom; "
    code += "print(admin.site.is_registered(ChatRoom), ChatRoom(name='Library'))"
    said = chat.shell(code).splitlines()[-1]
    assert "True" in said, "ChatRoom should be registered in the admin."
    assert "Library" in said, (
        "The admin should show a room by its name (see __str__), and would show it as "
        f"{said.partition(' ')[2]}."
    )
    status = chat.get("/admin/").status
    assert status == 302, f"/admin/ should ask to log in (302), but says {status}."
