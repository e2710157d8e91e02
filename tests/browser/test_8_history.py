"""Exercise 3 in a real browser: a page that comes back shows what it missed, once."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import Refusing, lines
from tests.support.pages import COMES_BACK
from tests.support.polling import post
from tests.support.proxy import Proxy

SINCE_STAGE = 8
KINDS = pytest.mark.parametrize(
    "rooms", ["/chats/", "/chats/long_poll/"], ids=["socket", "polling"]
)
# To answer for the page's own server would make Chromium take it for a public one.
BY_THE_LINE = """
  const byTheLine = (url) => `${url}`.replace(PORTS);
  const { fetch } = window;
  window.fetch = (url, options) => fetch(byTheLine(url), options);
  window.WebSocket = class extends WebSocket {
    constructor(url, ...more) {
      super(byTheLine(url), ...more);
    }
  };
"""


@pytest.fixture
def line_of(tab):
    """A function that gives a window a line of its own to the chat server."""
    with ExitStack() as stack:

        def new_line(window) -> Proxy:
            port = window.chat.chat_port
            line = stack.enter_context(Proxy(port))
            ports = f'":{port}/", ":{line.port}/"'
            window.page.add_init_script(BY_THE_LINE.replace("PORTS", ports))
            stack.callback(forgive, window)
            stack.callback(window.page.close)
            return line

        yield new_line


def forgive(window) -> None:
    """Forget what Chromium itself says of requests that failed, as they should."""
    window.forgive("WebSocket connection")
    window.forgive("WebSocket is already in CLOSING")
    window.forgive("Failed to load resource")


def state(window, text: str):
    """The one line that says `text`, wherever it stands; its state is an attribute."""
    return window.page.get_by_role("listitem").filter(has_text=text)


def has_state(window, text: str, expected: str) -> None:
    """Wait until the one line that says `text` is in the state that is `expected`."""
    says = f'the line that says {text!r} should have data-state="{expected}"'
    expect(state(window, text), says).to_have_attribute(
        "data-state", expected, timeout=COMES_BACK
    )


@KINDS
def test_a_page_that_comes_back_shows_what_it_missed_once(tab, line_of, rooms):
    ann = tab()
    line, before = line_of(ann), f"before on {rooms}"
    ann.join(rooms)
    ann.say(before)
    expect(ann.log).to_contain_text(before)
    for number in range(3):
        line.take_down()
        expect(ann.status, "it says so").not_to_have_text(ann.joined)
        for which in ("one", "two"):
            post(ann.chat, f"{rooms} missed {which} {number}", room=ann.room)
        line.is_down = False
        expect(ann.log, "what was missed is shown").to_contain_text(
            f"{rooms} missed two {number}", timeout=COMES_BACK
        )
    expect(ann.status, "it is back").to_have_text(ann.joined)
    missed = [
        f"{rooms} missed {which} {n}" for n in (2, 1, 0) for which in ("two", "one")
    ]
    shown = [line for line in lines(ann) if not line.startswith("Paul is new")]
    assert shown[:7] == [*missed, before], (
        "After three breaks of the line each message should be shown once, the newest "
        f"first. The window shows {shown}."
    )


@KINDS
def test_what_is_typed_without_a_connection_is_sent_later(tab, line_of, rooms):
    ann, bob = tab(), tab().join()
    line = line_of(ann)
    ann.join(rooms)
    line.take_down()
    expect(ann.status).not_to_have_text(ann.joined)
    typed = [f"typed {which} on {rooms}" for which in ("first", "second", "third")]
    for text in typed:
        ann.say(text)
        expect(ann.box, "it is taken").to_have_value("")
        has_state(ann, text, "pending")
    line.is_down = False
    expect(bob.log, "it is sent").to_contain_text(typed[-1], timeout=COMES_BACK)
    expect(ann.log).to_contain_text(typed[-1], timeout=COMES_BACK)
    for text in typed:
        has_state(ann, text, "sent")
    typed.reverse()
    assert lines(bob)[:3] == typed, f"In the order of typing, not {lines(bob)}."


@KINDS
def test_a_message_whose_answer_was_lost_is_shown_once(tab, line_of, rooms):
    ann, bob = tab(), tab().join()
    line = line_of(ann)
    once, end = f"said once on {rooms}", f"the end on {rooms}"
    ann.join(rooms)
    # The browser has asked now whether it may post.
    ann.say(f"hello on {rooms}")
    expect(ann.log).to_contain_text(f"hello on {rooms}")
    line.is_deaf = True  # What she says is heard, and she is told nothing.
    ann.say(once)
    expect(bob.log).to_contain_text(once)
    has_state(ann, once, "pending")
    line.cut()
    expect(ann.log).to_contain_text(once, timeout=COMES_BACK)
    ann.say(end)
    expect(bob.log).to_contain_text(end, timeout=COMES_BACK)
    expect(ann.log).to_contain_text(end, timeout=COMES_BACK)
    for window in (ann, bob):
        shown = lines(window)
        assert shown.count(once) == 1, f"It is one message: {shown}."
        assert shown[:2] == [end, once], f"The window shows {shown}."


@pytest.mark.stages(8, 8)  # Exercise 4 keeps the log.
@KINDS
def test_after_a_restart_the_page_says_that_something_may_be_missing(tab, rooms):
    ann = tab().join(rooms)
    ann.say("before")
    expect(ann.log).to_contain_text("before")
    ann.chat.twisted.stop()
    expect(ann.status).not_to_have_text(ann.joined)
    ann.chat.twisted.start(ann.chat.chat_port)
    expect(ann.log, "the page says that something may be missing").to_contain_text(
        re.compile("missing", re.I), timeout=COMES_BACK
    )
    ann.say(f"after {rooms}")
    expect(ann.log).to_contain_text(f"after {rooms}")
    shown = lines(ann)
    assert re.search("missing", shown[1], re.I) and shown[2] == "before", (
        "Between what was said before the restart and what was said after it, the page "
        f"should say that something may be missing. It shows {shown[:4]}."
    )
    forgive(ann)


@KINDS
def test_a_message_that_the_server_refuses_has_failed(tab, rooms):
    ann, then = tab(), f"and this on {rooms}"
    if rooms == "/chats/":

        def refuse(socket):
            server = socket.connect_to_server()

            def pass_on(frame):
                if "too much" in frame:
                    socket.close(code=4400)
                    server.close()
                else:
                    server.send(frame)

            socket.on_message(pass_on)

        ann.page.route_web_socket("**/ws", refuse)
    else:
        allowed = {"Access-Control-Allow-Origin": "*"}
        ann.page.route(
            lambda url: url.endswith(f":{ann.chat.chat_port}/"),
            lambda route: (
                route.fulfill(status=413, json={"status": 0}, headers=allowed)
                if "too+much" in (route.request.post_data or "")
                else route.continue_()
            ),
        )
    ann.join(rooms)
    ann.say("too much")
    has_state(ann, "too much", "failed")
    ann.say(then)
    expect(ann.log, "the next one is sent").to_contain_text(then, timeout=COMES_BACK)
    assert "too much" not in ann.log.inner_text()
    ann.forgive("Failed to load resource")


@pytest.mark.thorough
def test_pages_come_back_at_different_times(window):
    attempts = []
    for chance in (0.01, 0.99):
        ann = window()
        server = Refusing(ann, chance)
        ann.open()
        for _ in range(20):
            ann.page.clock.run_for(10)
            ann.page.evaluate("new Promise((done) => queueMicrotask(done))")
        attempts.append(server.attempts)
    assert max(attempts) > 2 >= min(attempts), (
        "After a restart all pages come back, and should spread over the whole wait, "
        "from nothing to all of it. With the smallest and the largest random number, "
        f"the page tried {attempts} times in the first fifth of a second."
    )
