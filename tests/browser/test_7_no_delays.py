"""Exercise 2 in a real browser: the page shows its own delay, and a quiet poll ends."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import (
    lines,
    pass_time,
    shows_once_after_a_quiet_time,
)
from tests.support.clients import SECONDS
from tests.support.pages import (
    SHORT_WAITS,
    Parking,
    answer_with_nothing,
    by_another_port,
    is_greeting,
    is_poll,
)
from tests.support.polling import post, settle
from tests.support.servers import new_id, wait_until

SINCE_STAGE = 7
KINDS = pytest.mark.parametrize(
    "rooms", ["/chats/", "/chats/long_poll/"], ids=["socket", "polling"]
)
# In milliseconds or in seconds, with a blank between or without.
DELAY = re.compile(
    r"(\d+(?:[.,]\d+)?)\s*(ms|msec|milliseconds?|s|sec|seconds?)\b", re.IGNORECASE
)


def delay(window) -> float | None:
    """The delay that the page shows, in seconds, wherever it stands; None for none.

    Not in the list, where anybody may write anything.
    """
    said = window.log.inner_text()
    found = DELAY.search(window.page.locator("body").inner_text().replace(said, ""))
    if found is None:
        return None
    number = float(found[1].replace(",", "."))
    return number / 1000 if found[2].lower().startswith("m") else number


def shows_delay(window, why: str = "") -> float:
    """Wait until the page shows a delay. Returns it, in seconds."""
    says = f'the page says how long your message took, as in "12 ms" or "0.012 s"{why}'
    # A round trip to the page, and not only time: else Playwright hears nothing of it.
    wait_until(lambda: delay(window) is not None, lambda: says)
    return delay(window)


@KINDS
def test_the_page_shows_how_long_its_own_message_took(tab, rooms):
    ann, bob = tab().join(rooms), tab().join(rooms)
    assert delay(ann) is None, "Nothing was sent yet, and the page shows a delay."
    # No other test says the same: from exercise 3 on, the room remembers.
    texts = [f"{number} by {rooms}" for number in ("one", "two", "three")]
    said = time.monotonic()
    ann.say(texts[0])
    expect(ann.log).to_contain_text(texts[0])
    shown, took = shows_delay(ann), time.monotonic() - said
    assert shown <= took + 0.1, (  # it may say tenths of a second only
        f"The page shows a delay of {shown} s. But {took:.3f} s after somebody had "
        "begun to write the message, it was sent and shown."
    )
    delays = [shown]
    for text in texts[1:]:
        ann.say(text)
        expect(ann.log).to_contain_text(text)
        delays.append(shows_delay(ann))
    assert min(delays) < SECONDS / 6, (  # half a second, where nobody waits for long
        f"Nobody waits for a sweep. The page shows {delays} s."
    )
    expect(bob.log).to_contain_text(texts[-1])
    assert delay(bob) is None, "What others send is not Bob's, and he is shown a delay."


@KINDS
def test_the_delay_is_that_of_ones_own_message(tab, rooms):
    ann, held = tab(), []
    if rooms == "/chats/":

        def hold(socket):
            server = socket.connect_to_server()

            def pass_on(frame):
                if "held back" in frame:
                    held.append(lambda: server.send(frame))
                else:
                    server.send(frame)

            socket.on_message(pass_on)

        ann.answer_sockets("**/ws", hold)
    else:
        ann.page.route(
            lambda url: url.endswith(f":{ann.chat.chat_port}/"),
            lambda route: (
                held.append(route.continue_)
                if "held+back" in (route.request.post_data or "")
                else route.continue_()
            ),
        )
    ann.join(rooms)
    ann.say(f"held back on {rooms} ")  # as the keyboard of a phone leaves it
    wait_until(lambda: ann.page.evaluate("1") and held, lambda: "the page sends a text")
    post(ann.chat, f"another's on {rooms}", room=ann.room)
    expect(ann.log).to_contain_text(f"another's on {rooms}")
    assert delay(ann) is None, (
        "Ann sent a text, and somebody else's was shown before hers. That is no reason "
        f"to show a delay, and her page says {delay(ann)} s."
    )
    held.pop()()
    expect(ann.log).to_contain_text(f"held back on {rooms}")
    shows_delay(ann, ". This one has a blank at its end")


@pytest.mark.stages(7, 7)
def test_a_post_that_was_lost_is_not_timed(tab):
    ann = tab()
    ann.page.route(
        lambda url: url.endswith(f":{ann.chat.chat_port}/"),
        lambda route: (
            route.abort() if route.request.method == "POST" else route.continue_()
        ),
    )
    ann.join("/chats/long_poll/")
    ann.say("does it get through?")
    expect(ann.box, "what is lost comes back").to_have_value("does it get through?")
    post(ann.chat, "does it get through?")
    expect(ann.log).to_contain_text("does it get through?")
    post(ann.chat, "it does")
    expect(ann.log).to_contain_text("it does")
    ann.forgive("Failed to load resource")
    assert delay(ann) is None, (
        "Ann's POST was lost, and her polls were not. What she is shown is Bob's, who "
        f"said the same. Her page says that hers took {delay(ann)} s."
    )


@pytest.mark.stages(7, 7)
def test_what_was_lost_is_not_timed(tab):
    ann = tab().join()
    psutil.Process(ann.chat.twisted.process.pid).suspend()
    ann.say("hello")
    ann.chat.twisted.kill()  # The text had reached this machine, and nobody read it.
    try:
        expect(ann.status).not_to_have_text(ann.joined)
    finally:
        ann.chat.restart()
    bob = tab().join()
    expect(ann.status).to_have_text(ann.joined)
    bob.say("hello")
    expect(ann.log).to_contain_text("hello")
    assert delay(ann) is None, (
        "Ann's text was lost, and this one is Bob's, who said the same. Her page "
        f"says that hers took {delay(ann)} s."
    )
    ann.forgive("WebSocket connection")


def test_the_page_hears_a_socket_at_once(tab):
    paul, ann = tab().join("/chats/long_poll/"), tab().join()
    for text in ("uno", "due", "tre"):
        ann.say(text)
        expect(paul.log, "it waits for no sweep").to_contain_text(text, timeout=900)


def test_a_batch_is_shown_line_by_line_and_once(tab):
    paul, ann = tab(), tab().join()
    said = [f"line {number} of a batch" for number in ("one", "two", "three")]
    for text in said:
        ann.say(text)
        expect(ann.log).to_contain_text(text)
    paul.join("/chats/long_poll/")
    expect(paul.log).to_contain_text(said[-1])
    shown = [line for line in lines(paul) if "of a batch" in line]
    assert shown == said[::-1], (
        f"The window should show these three lines, each once: {lines(paul)[:6]}."
    )


def test_a_poll_that_ends_with_nothing_is_asked_again(tab):
    paul = tab()
    asked = []

    def end(route):
        asked.append(route.request.url)
        if is_greeting(asked[-1]) or len(asked) > 4:
            route.continue_()
        else:
            answer_with_nothing(paul.chat, route)

    paul.page.route(is_poll, end)
    paul.join("/chats/long_poll/")
    paul.say("hello")
    expect(paul.log, "it asks again, and goes on").to_contain_text("hello")
    expect(paul.status, "a quiet room is no error").to_have_text(paul.joined)
    polls = [url for url in asked if not is_greeting(url)]
    cursors = {tuple(cursor_in(url)) for url in polls[:3]}
    assert len(cursors) == 1, f"The cursor stays where it was. It asked {polls}."


def cursor_in(url: str) -> Iterator[tuple[str, str]]:
    """What a poll says of where it stands. What else it says, is the page's own."""
    for name, value in sorted(parse_qsl(urlsplit(url).query)):
        if name in ("lastupdate", "epoch", "seq"):
            yield name, value


def test_a_page_is_more_patient_than_the_server(clocked):
    paul, waiting, answered = clocked(), set(), []
    chat = paul.chat

    def asks(request):
        if is_poll(request.url) and not is_greeting(request.url):
            waiting.add(request)

    def is_done(request):
        if request in waiting:
            waiting.discard(request)
            answered.append(request)

    paul.take_clock()
    paul.listen("request", asks)
    paul.listen("requestfinished", is_done)
    room = chat.rooms()[2]
    paul.join("/chats/long_poll/", room=room)
    post(chat, "the last one for a while", room=room)
    expect(paul.log).to_contain_text("the last one for a while")
    wait_until(lambda: paul.page.evaluate("1") and waiting, lambda: "the page asks")
    answered.clear()
    # The page is ahead by a second or two. So it is the server that has to be early.
    pass_time(paul, 1)
    for _ in range(30):
        pass_time(paul, 1)
        assert paul.status.inner_text() == paul.joined, (
            "In a quiet room the server ends a poll by itself, and that is no error. "
            "The page should wait for longer than the server does. It says "
            f"{paul.status.inner_text()!r}."
        )
        chat.clock.pass_by(1)
        settle(chat)
        if answered:
            break
    else:
        raise AssertionError("A poll in a quiet room should end within 30 seconds.")


def test_a_server_that_hangs_is_noticed(tab):
    paul, asked = tab(), []
    said = [f"before or after the quiet, {new_id()}" for _ in range(3)]
    is_quiet = False

    def answer_three(route):
        url = route.request.url
        if is_quiet and not is_greeting(url):
            asked.append(url)
        if is_greeting(url) or not is_quiet or len(asked) > 3:
            route.continue_()
        else:
            answer_with_nothing(paul.chat, route)

    paul.begin_with(SHORT_WAITS)
    paul.page.route(is_poll, answer_three)
    paul.join("/chats/long_poll/")
    post(paul.chat, said[0])
    expect(paul.log).to_contain_text(said[0])
    is_quiet = True
    post(paul.chat, said[1])
    wait_until(
        lambda: paul.status.inner_text() != paul.joined or len(asked) > 3,
        lambda: "a poll that is answered with nothing is followed by another one",
    )
    assert len(asked) > 3, "A quiet room is no error: three polls were answered."
    post(paul.chat, said[2])
    expect(paul.log, "what is said after a quiet time").to_contain_text(said[2])
    shows_once_after_a_quiet_time(paul, said)
    server = psutil.Process(paul.chat.twisted.process.pid)
    server.suspend()
    try:
        expect(paul.status, "the page notices a server that hangs").not_to_have_text(
            paul.joined
        )
    finally:
        server.resume()
    paul.forgive("Failed to load resource")


# Notes what the status line says from now on.
NOTE_STATUSES = """
(status) => {
  window.statuses = [];
  const note = () => statuses.push(status.innerText);
  const everything = { childList: true, characterData: true, subtree: true };
  new MutationObserver(note).observe(status, everything);
}
"""


def test_a_poll_that_is_never_answered_is_noticed(tab):
    paul, held = tab(), []

    def hold(route):
        if is_greeting(route.request.url):
            route.continue_()
        else:
            held.append(route)

    paul.begin_with(SHORT_WAITS)
    paul.page.route(is_poll, hold)
    paul.join("/chats/long_poll/")
    paul.status.evaluate(NOTE_STATUSES)
    wait_until(
        lambda: {*paul.page.evaluate("statuses")} - {paul.joined},
        lambda: (
            "the server greets, and ends no poll, not even after the half minute that "
            "it has. The page notices that, and says so"
        ),
    )
    paul.forgive("Failed to load resource")


def duplicate(window, copy) -> None:
    """Have `copy` begin with what a browser gives a duplicate of `window`."""
    stored = window.page.evaluate("({...sessionStorage})")
    copy.begin_with(f"Object.assign(sessionStorage, {json.dumps(stored)})")
    copy.opened = True  # It is no new window, which would begin with nothing.


@pytest.mark.parametrize("opened", ["anew", "as a copy"])
def test_two_windows_of_one_browser_wait_side_by_side(tab, opened):
    ann, bob = tab(), tab()
    with Parking(ann.chat) as server:
        for window in (ann, bob):
            by_another_port(window, server.server_port)
            if window == bob and opened == "as a copy":
                duplicate(ann, bob)
            window.join("/chats/long_poll/")

        def both_wait() -> bool:
            ann.page.evaluate("0")
            return len(server.parked) == 2

        wait_until(
            both_wait,
            lambda: (
                "two windows of one browser wait in a quiet room, so the server should "
                f"have two polls, and has {len(server.parked)}. A browser holds one of "
                "two equal requests back, for its cache, until the other is answered. "
                "Then that window's patience is over. Make them unequal, or look at "
                "the cache option of fetch."
            ),
        )
        for window in (ann, bob):
            window.page.close()
