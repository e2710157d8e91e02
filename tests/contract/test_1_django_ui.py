"""Stage 1: Django shows a list of rooms, and a page for each."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest
from bs4 import BeautifulSoup

SINCE_STAGE = 1
NAME = "Tom & <i>Jerry</i>"


@pytest.fixture(scope="module")
def room(chat) -> str:
    """The path of a room called NAME, which is not the only one."""
    return chat.make_rooms(NAME, "another")[0]


def page(chat, path: str) -> BeautifulSoup:
    response = chat.get(path)
    assert response.status == 200, (
        f"GET {path} should show a page (200), but the answer was {response.status}."
    )
    return BeautifulSoup(response.text, "html.parser")


def test_manage_py_check_is_silent(chat):
    output = chat.manage("check", "--fail-level", "DEBUG")
    assert "no issues" in output, f"manage.py check should find nothing:\n{output}"


def test_the_migrations_fit_the_models(chat):
    output = chat.manage("makemigrations", "--dry-run")
    assert "No changes" in output, (
        f"makemigrations should have nothing to do:\n{output}"
    )


def test_the_front_page_redirects_to_the_rooms(chat):
    response = chat.get("/")
    location = response.getheader("location")
    to = urljoin(f"{chat.origin}/", location)
    assert response.status in (301, 302, 307, 308) and to == f"{chat.origin}/chats/", (
        "GET / should redirect (302) to /chats/, but the answer was "
        f"{response.status} to {location}."
    )


def test_the_list_links_to_every_room(chat, room):
    soup = page(chat, "/chats/")
    links = {urljoin("/chats/", link["href"]): link for link in soup("a", href=True)}
    assert room in links, (
        f"/chats/ should link the name {NAME!r} to {room}, but links to {[*links]}."
    )
    said = text_around(links[room])
    assert NAME in said, (
        f"/chats/ should link the name {NAME!r} to {room}, but beside it is {said!r}."
    )


def text_around(link) -> str:
    """The text of a link, with what it stands in as far as that is about one room."""
    part = link
    while part.parent and len(rooms_linked(part.parent)) == 1:
        part = part.parent
    return part.get_text()


def rooms_linked(part) -> set[str]:
    """The numbers of the rooms to which a part of the page links."""
    return {re.sub(r"\D", "", link["href"]) for link in part("a", href=True)} - {""}


def test_the_list_says_when_there_are_no_rooms(chat, room, tmp_path):
    rooms = tmp_path / "rooms.json"
    chat.manage("dumpdata", "chat", "--output", str(rooms))
    chat.shell("from chat.models import ChatRoom; ChatRoom.objects.all().delete()")
    try:
        body = page(chat, "/chats/").body
    finally:
        chat.manage("loaddata", str(rooms))
    for heading in body(["h1", "h2", "header", "nav", "footer"]):
        heading.decompose()
    assert body.get_text(strip=True), (
        "Without rooms, /chats/ should say that there are none. Under its heading it "
        "says nothing."
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
    assert label, (
        f"The input box {box} should have a <label>, "
        "or a screen reader cannot say what it is for."
    )


def test_a_room_has_an_empty_message_list(chat, room):
    log = page(chat, room).select_one("[role=log]")
    assert log is not None, (
        f'{room} should have a list with role="log", so that a screen reader reads '
        "new messages out."
    )
    assert not log.get_text(strip=True), (
        f"The message list of {room} should be empty, but it has {log.get_text()!r}."
    )


def test_an_unknown_room_is_not_found(chat):
    status = chat.get("/chats/987654321/").status
    assert status == 404, f"An unknown room should be 404, but the answer was {status}."


@pytest.mark.parametrize("which", ["list", "room"])
def test_pages_fit_a_phone_and_load_only_their_own_files(chat, room, which):
    path = room if which == "room" else "/chats/"
    soup = page(chat, path)
    assert soup.find("meta", attrs={"name": "viewport"}), (
        f'{path} should have a <meta name="viewport">, or a phone shows it tiny.'
    )
    inline = [s for s in soup("script") if not s.get("src") and s.string and _runs(s)]
    assert not inline, f"{path} should have no inline script, but has {inline}."
    addresses = [s["src"] for s in soup("script", src=True)]
    addresses += [s["href"] for s in soup("link", rel="stylesheet")]
    for address in addresses:
        whole = urljoin(chat.origin + path, address)
        assert whole.startswith(f"{chat.origin}/"), (
            f"{path} should load files from its own server only, but loads {address}."
        )
        status = chat.get(whole.removeprefix(chat.origin)).status
        assert status == 200, f"{path} names {address}, but the answer is {status}."


def _runs(script) -> bool:
    """Does a browser run this script element? Data blocks (JSON) it does not."""
    return script.get("type", "module") in ("module", "text/javascript")


def test_rooms_are_in_the_admin(chat):
    code = "from django.contrib import admin; from chat.models import ChatRoom; "
    code += "print(admin.site.is_registered(ChatRoom))"
    assert "True" in chat.shell(code), "ChatRoom should be registered in the admin."
    status = chat.get("/admin/").status
    assert status == 302, f"/admin/ should ask to log in (302), but says {status}."
