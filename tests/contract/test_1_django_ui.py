"""Stage 1: Django shows a list of rooms, and a page for each."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup

SINCE_STAGE = 1
NAME = "Tom & <i>Jerry</i>"


@pytest.fixture(scope="module")
def room(chat) -> str:
    """The path of a room called NAME."""
    code = f"print(ChatRoom.objects.create(name={NAME!r}).pk)"
    key = chat.shell(f"from chat.models import ChatRoom; {code}").split()[-1]
    return f"/chats/{key}/"


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
    assert response.status in (301, 302, 307, 308) and location == "/chats/", (
        "GET / should redirect (302) to /chats/, but the answer was "
        f"{response.status} to {location}."
    )


def test_the_list_links_to_every_room(chat, room):
    links = {
        link.get_text(strip=True): link["href"] for link in page(chat, "/chats/")("a")
    }
    assert links.get(NAME) == room, (
        f"/chats/ should link the name {NAME!r} to {room}, but its links are {links}."
    )


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
    heading = page(chat, room).h1
    assert heading is not None, f"{room} should have a heading, an <h1>."
    assert heading.get_text(strip=True) == NAME, (
        f"The heading of {room} should read {NAME!r}, but it is {heading}."
    )


def test_a_room_has_an_input_box_with_a_label(chat, room):
    form = page(chat, room).form
    assert form is not None, f"{room} should have a <form> to write a message in."
    box = form.select_one("input:not([type=hidden]), textarea")
    assert box is not None, f"The form of {room} should have an input box."
    label = box.find_parent("label") or box.get("aria-label")
    if box.get("id"):
        label = label or form.find("label", attrs={"for": box["id"]})
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
        assert address.startswith("/") and not address.startswith("//"), (
            f"{path} should load files from its own server only, but loads {address}."
        )
        status = chat.get(address).status
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
