"""Exercise 8 in a real browser: a page goes to any server, and nobody can tell."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import lines
from tests.browser.test_8_history import KINDS, forgive, has_state
from tests.browser.test_9_persistence import earlier
from tests.contract.test_9_persistence import away
from tests.support.clients import Client
from tests.support.pages import COMES_BACK
from tests.support.servers import ManyChats, wait_until
from tutorial.run.engine import why_no_engine

SINCE_STAGE = 12
SAID = 260  # messages, which is more than a page shows at first
MOVED = 30  # of these, when the others were said: the two leave a hole between them
MOST_TRIES = 20  # a second, of a page that waits half a second before the second one
TURNS = 12  # of three servers, so many choices hit more than one


@pytest.fixture(scope="module")
def many_servers(chat, tmp_path_factory):
    """The folder of `chat`, copied once more: several chat servers share an engine."""
    if why := why_no_engine(chat.target.folder):
        pytest.skip(why)
    workspace = tmp_path_factory.mktemp(f"{chat.target.stage.id}-pages")
    many = ManyChats(chat.target, workspace)
    many[0].wire = chat.wire
    with many:
        yield many


@pytest.fixture
def many(many_servers):
    """The same. Afterwards all of them run again."""
    yield many_servers
    many_servers.mend()


@pytest.fixture
def room(many, request) -> str:
    """The path of a room where nobody has said anything."""
    [room] = many[0].make_rooms(request.node.name[:100])
    return room


def load_earlier(window) -> None:
    """Click on the button for earlier messages, and wait for Django's answer."""
    with window.page.expect_response(re.compile("/earlier/")):
        earlier(window).click()


def asked_by(window, many) -> list[int]:
    """The numbers of the servers to which a page turns from now on, one by one."""
    ports = {chat.chat_port: number for number, chat in enumerate(many)}
    asked: list[int] = []

    def note(request) -> None:
        if (port := urlsplit(request.url).port) in ports:
            asked.append(ports[port])

    window.listen("request", note)
    window.listen("websocket", note)
    return asked


@KINDS
def test_a_page_goes_to_any_server(window, many, room, rooms):
    ann = window(other=many[0])
    asked = asked_by(ann, many)
    turns = TURNS if rooms == "/chats/" else 1
    for _ in range(turns):
        ann.join(rooms, room=room)
    texts = [f"text {number}" for number in range(TURNS)]
    for text in texts:
        ann.say(text)
        has_state(ann, text, "sent")
    assert len({*asked}) > 1, (
        f"CHAT_SERVERS names {len(many)} chat servers, and the page should go to any "
        f"of them, for each socket, each poll and each message anew. It went to these, "
        f"one after the other: {asked}."
    )
    with Client(many[1], "Bob", room) as bob:
        told = [message["text"] for message in bob.first["data"]]
        assert told == texts, f"Each was said once, in this order, and told is {told}."
    forgive(ann)


@KINDS
def test_a_page_goes_on_at_another_server_when_its_own_is_killed(
    window, many, room, rooms
):
    ann = window(other=many[0])
    asked = asked_by(ann, many)
    ann.join(rooms, room=room)
    ann.say("before")
    has_state(ann, "before", "sent")
    texts = [f"after {turn}" for turn in ("one", "two", "three")]
    for text in texts:
        at = asked[-1]
        many[at].crash()
        ann.say(text)
        expect(ann.log, "another server is there").to_contain_text(
            text, timeout=COMES_BACK
        )
        expect(ann.status, "all is well again").to_have_text(
            ann.joined, timeout=COMES_BACK
        )
        has_state(ann, text, "sent")
        assert asked[-1] != at, f"Server {at} was killed, and the page is there."
        many[at].come_back()
    assert lines(ann) == [*reversed(texts), "before"], "each once, and the newest first"
    forgive(ann)


@KINDS
def test_where_no_server_is_left_the_page_says_so_and_waits(window, many, room, rooms):
    ann = window(other=many[0])
    asked = asked_by(ann, many)
    ann.join(rooms, room=room)
    for chat in many:
        chat.crash()
    begun, before = time.monotonic(), len(asked)
    says = expect(ann.status, "all servers are gone, and the page says so")
    says.not_to_have_text(ann.joined, timeout=COMES_BACK)
    for chat in many:
        chat.come_back()
    ann.say("after")
    expect(ann.log, "a server is there again").to_contain_text(
        "after", timeout=COMES_BACK
    )
    rate = (len(asked) - before) / (time.monotonic() - begun)
    assert rate < MOST_TRIES, (
        "No chat server was there for a while. A page tries again after a wait, and a "
        f"longer one each time. This one asked {rate:.0f} times a second."
    )
    forgive(ann)


@KINDS
def test_without_an_engine_a_message_stays_and_is_sent_later(window, many, room, rooms):
    ann = window(other=many[0]).join(rooms, room=room)
    many.engine.kill()
    for text in ("first", "second"):
        ann.say(text)
    says = expect(ann.status, "nothing can be stored, and the page says so")
    says.not_to_have_text(ann.joined, timeout=COMES_BACK)
    for text in ("first", "second"):
        has_state(ann, text, "pending")
    many.engine.start()
    for text in ("first", "second"):
        has_state(ann, text, "sent")
    expect(ann.status, "it has healed").to_have_text(ann.joined, timeout=COMES_BACK)
    with Client(many[1], "Bob", room) as bob:
        told = [message["text"] for message in bob.first["data"]]
        # In which order, is not said: the first was refused, and the second maybe not.
        assert sorted(told) == ["first", "second"], f"Each once, and told is {told}."
    forgive(ann)


def test_where_the_database_is_behind_no_page_shows_a_gap(window, many, room):
    ann = window(other=many[0])
    ann.join(room=room)
    said = [f"said {number:03}" for number in range(SAID)]

    def say(texts) -> None:
        with Client(many[1], "Ann", room) as other:
            for text in texts:
                other.say(text)
            other.hears(*texts, because="she said it in another window")

    say(said[:MOVED])
    many[0].moved(room, MOVED)
    with away(many[0], None):
        say(said[MOVED:])
        ann.join(room=room)
        expect(ann.log).to_contain_text(said[-1])
        shown = len(lines(ann))
        assert shown < SAID, "A page shows the newest only, at first."
        if earlier(ann).is_visible():
            load_earlier(ann)
    many[0].moved(room, SAID)
    while (now := len(lines(ann))) < SAID:
        expect(
            earlier(ann),
            f"The page shows {now} of {SAID} messages: the database did not have the "
            f"others when it was asked. They can be loaded now",
        ).to_be_visible()
        load_earlier(ann)
        wait_until(
            lambda now=now: len(lines(ann)) > now,
            lambda now=now: f"the page shows more than {now} of {SAID} messages",
        )
    found = lines(ann)
    assert found == said[::-1], (
        f"All that was said, without a gap. The page shows {len(found)} lines, and "
        f"beside {said[SAID - shown]} the one before it should stand. It shows "
        f"{found[shown - 1 : shown + 1]}."
    )
    forgive(ann)
