"""Exercise 4 in a real browser: what was said is still there, page by page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import lines, pass_time
from tests.browser.test_8_history import KINDS, LONG, forgive, has_state
from tests.contract.test_9_persistence import away
from tests.support.clients import Client

SINCE_STAGE = 9
MANY = 260  # messages: more than the server keeps in memory


@pytest.fixture
def archive(chat) -> list[str]:
    """A new room, the last in the list, and what was said in it, in order."""
    [room] = chat.make_rooms(f"Zoo {len(chat.rooms()):03}")
    return fill(chat, room)


def fill(chat, room: str) -> list[str]:
    """Say MANY texts in a room. Returns them, in order."""
    said = [f"said {number:03}" for number in range(MANY)]
    with Client(chat, "Ann", room) as ann:
        for first in range(0, MANY, 20):
            for text in said[first : first + 20]:
                ann.say(text)
            ann.hears(*said[first : first + 20], because="she said it")
    return said


def earlier(window):
    """The button that loads what was said before."""
    return window.page.get_by_role("button", name=re.compile("earlier", re.I))


@KINDS
def test_earlier_messages_are_loaded_page_by_page(tab, archive, rooms):
    ann = tab().join(rooms, number=-1)
    button = earlier(ann)
    expect(button, "there is more than is shown").to_be_visible()
    shown = lines(ann)
    assert shown == archive[: -len(shown) - 1 : -1] and len(shown) < MANY, (
        f"The newest first, and not all of them: {shown[:3]} ... {shown[-3:]}"
    )
    while len(shown) < MANY:
        button.click()
        before = archive[-len(shown) - 1]
        expect(ann.log, "what was said before is shown").to_contain_text(before)
        shown = lines(ann)
        assert shown == archive[: -len(shown) - 1 : -1], (
            "Earlier messages should be shown below, each once, the newest first. The "
            f"page shows {len(shown)} lines, which end with {shown[-3:]}."
        )
    expect(button, "all is shown").to_be_hidden()
    expect(ann.box, "who pressed the button can go on by keyboard").to_be_focused()
    ann.say("and this")
    expect(ann.log).to_contain_text("and this")
    assert lines(ann)[:2] == ["and this", archive[-1]]


@KINDS
def test_where_all_is_shown_there_is_no_button(tab, rooms):
    ann = tab()
    [room] = ann.chat.make_rooms(f"Zoo {len(ann.chat.rooms()):03}")
    ann.join(rooms, number=-1)
    expect(earlier(ann)).to_be_hidden()
    with Client(ann.chat, "Bob", room) as bob:
        bob.say("the first")
    expect(ann.log).to_contain_text("the first")
    expect(earlier(ann), "nothing was said before the first").to_be_hidden()


@KINDS
def test_in_another_log_low_numbers_are_news(tab, rooms):
    ann, bob = tab(), tab()
    fill(ann.chat, ann.chat.rooms()[0])
    ann.join(rooms)
    expect(earlier(ann)).to_be_visible()
    ann.chat.restart()  # with an empty database
    bob.join(rooms)
    bob.say(f"hello {rooms}")
    expect(ann.log).to_contain_text(f"hello {rooms}", timeout=LONG)
    assert lines(ann)[0] == f"hello {rooms}", "What is said now is the newest."
    forgive(ann)


@KINDS
def test_a_page_whose_room_was_deleted_rests(window, rooms):
    ann, asked = window(), []
    name = f"Zoo {len(ann.chat.rooms()):03}"
    ann.chat.make_rooms(name)
    ann.page.on("request", lambda request: asked.append(request.url))
    ann.page.on("websocket", lambda socket: asked.append(socket.url))
    ann.page.clock.install()
    ann.join(rooms, number=-1)
    code = "from chat.models import ChatRoom; "
    ann.chat.shell(f"{code}ChatRoom.objects.filter(name={name!r}).delete()")
    ann.say("into the void")
    expect(ann.status, "the page says that this is over").not_to_have_text(ann.joined)
    pass_time(ann, 60)
    before = len(asked)
    pass_time(ann, 60)
    assert not asked[before:], (
        "Who has been told that the room was deleted should not knock again and again. "
        f"In a minute the page asked for {asked[before:]}."
    )
    forgive(ann)


@KINDS
def test_after_a_crash_the_page_goes_on(tab, rooms):
    ann, bob = tab().join(rooms), tab()
    ann.say(f"before {rooms}")
    expect(ann.log).to_contain_text(f"before {rooms}")
    ann.chat.crash()
    expect(ann.status, "it says so").not_to_have_text(ann.joined)
    ann.say(f"meanwhile {rooms}")
    has_state(ann, f"meanwhile {rooms}", "pending")
    ann.chat.come_back()
    expect(ann.log).to_contain_text(f"meanwhile {rooms}", timeout=LONG)
    shown = lines(ann)
    assert shown[:2] == [f"meanwhile {rooms}", f"before {rooms}"], (
        "The log is kept, so the page goes on where it was, and nothing is missing. It "
        f"shows {shown[:4]}."
    )
    bob.join(rooms)
    expect(bob.log, "who comes now is shown it, too").to_contain_text(f"before {rooms}")
    forgive(ann)


@KINDS
def test_without_a_database_a_message_stays_and_is_sent_later(tab, rooms):
    ann, bob, sockets = tab(), tab().join(), []
    ann.page.on("websocket", lambda socket: sockets.append(socket))
    ann.join(rooms)
    with away(ann.chat, None):
        for text in (f"first {rooms}", f"second {rooms}"):
            ann.say(text)
        expect(ann.status, "the page says so").not_to_have_text(ann.joined)
        tries_again(ann, sockets)
        assert ann.status.text_content() != ann.joined, (
            "While a message cannot be stored, the page should say that something is "
            "wrong, also while it tries again."
        )
        for text in (f"first {rooms}", f"second {rooms}"):
            has_state(ann, text, "pending")
    expect(bob.log, "it is sent again").to_contain_text(f"second {rooms}", timeout=LONG)
    expect(ann.log).to_contain_text(f"second {rooms}", timeout=LONG)
    expect(ann.status, "it has healed").to_have_text(ann.joined, timeout=LONG)
    assert lines(bob)[:2] == [f"second {rooms}", f"first {rooms}"]
    forgive(ann)


def tries_again(window, sockets: list) -> None:
    """Wait until a page sends something, by its newest socket or by POST."""
    if sockets:
        sockets[-1].wait_for_event("framesent", timeout=LONG)
    else:
        window.page.wait_for_event(
            "request", lambda request: request.method == "POST", timeout=LONG
        )
