"""Stage 3 in a real browser: a socket's window and a poller's in one conversation."""

from __future__ import annotations

import re

import psutil
import pytest
from playwright.sync_api import expect

from tests.support.pages import COMES_BACK, SHORT_WAITS, is_greeting, is_poll
from tests.support.servers import wait_until

SINCE_STAGE = 3


def join_by_polling(window):
    """Show the first room by long polling, and wait until it is connected."""
    return window.join(rooms="/chats/long_poll/")


def test_a_socket_and_a_poller_talk_to_each_other(tab):
    ann, paul = tab().join(), join_by_polling(tab())
    ann.say("hello Paul")
    expect(paul.log, "the poller sees the socket's words").to_contain_text("hello Paul")
    paul.say("hello Ann")
    expect(ann.log, "the socket sees the poller's words").to_contain_text("hello Ann")
    expect(paul.log, "the poller sees its own words").to_contain_text("hello Ann")
    expect(paul.box, "the input box is empty again after sending").to_have_value("")


@pytest.mark.stages(3, 7)
def test_a_poller_that_comes_late_sees_all_that_was_said(tab):
    ann = tab().join()
    ann.chat.twisted.stop()
    expect(ann.status).not_to_have_text(ann.joined)
    ann.chat.twisted.start(ann.chat.chat_port)
    expect(ann.status).to_have_text(ann.joined, timeout=COMES_BACK)
    for text in ("one", "two", "three"):
        ann.say(text)
    expect(ann.log).to_contain_text("three")
    paul = join_by_polling(tab())
    expect(paul.log, "each of three messages, once").to_contain_text("three")
    lines = [line for line in paul.log.inner_text().splitlines() if line.strip()]
    assert lines == ["three", "two", "one", "connected..."], (
        f"The newest message stands first, each once. The window shows {lines}."
    )
    ann.forgive("WebSocket connection")


def test_markup_in_a_message_is_shown_as_text_by_polling_too(tab):
    paul = join_by_polling(tab())
    text = "<img src=x onerror=\"document.title='broken in'\">"
    paul.say(text)
    expect(paul.log).to_contain_text(text)
    assert "broken in" not in paul.page.title(), f"The page ran what {text!r} says."


def test_the_polling_page_comes_back_when_the_server_does(tab):
    paul = join_by_polling(tab())
    server = paul.chat.twisted
    server.kill()
    try:
        expect(
            paul.status, "the page says in words that it is not connected"
        ).not_to_have_text(paul.joined)
    finally:
        server.start(paul.chat.chat_port)
    expect(paul.status, "the page connects again by itself").to_have_text(
        paul.joined, timeout=COMES_BACK
    )
    paul.say("here again")
    expect(paul.log).to_contain_text("here again")
    paul.forgive("Failed to load resource")


@pytest.mark.stages(3, 7)
def test_a_text_that_could_not_be_sent_stays_in_the_box(tab):
    paul = join_by_polling(tab())
    hold, held = True, []

    def refuse(route):
        if route.request.method != "POST":
            route.continue_()
        elif hold:
            held.append(route)
        else:
            route.abort()

    paul.page.route("**/*", refuse)
    paul.say("one")
    written = ["one"]
    # Some pages let nobody write on while a text is on its way.
    if paul.box.is_editable() and not paul.box.input_value():
        paul.say("two")
        paul.box.fill("three")
        written += ["two", "three"]
    until_held(paul, held, 1)
    hold = False  # A page may send the second when the first has failed.
    for route in held:
        route.abort()
    for text in written:
        expect(paul.box, "no text is lost").to_have_value(re.compile(text))
    expect(paul.status, "the page says so").not_to_have_text(paul.joined)
    paul.page.unroute_all()
    paul.say("again")
    expect(paul.log).to_contain_text("again")
    expect(paul.status, "all is well again, and it says so").to_have_text(paul.joined)
    paul.forgive("Failed to load resource")


def until_held(window, held: list, count: int) -> None:
    """Let the browser go on until so many requests are held."""

    def are_held() -> bool:
        window.page.evaluate("0")
        return len(held) >= count

    wait_until(are_held, lambda: f"the page should have sent {count} POST")


@pytest.mark.thorough
@pytest.mark.parametrize("greets", [False, True], ids=["all-fails", "only-greets"])
def test_an_error_is_not_answered_with_a_storm_of_requests(window, greets):
    paul = window()
    asked = []

    def refuse(route):
        asked.append(route.request.url)
        allowed = {"Access-Control-Allow-Origin": "*"}
        data = paul.chat.data("connected...")
        greeting = {"status": 1, "timestamp": 0.0, "data": data}
        if paul.chat.has_history:
            greeting = paul.chat.nothing_missed
        if greets and is_greeting(asked[-1]):
            route.fulfill(json=greeting, headers=allowed)
        else:
            route.fulfill(status=503, body="{}", headers=allowed)

    paul.page.route(is_poll, refuse)
    paul.page.route("**/round-trip", lambda route: route.fulfill(body=""))
    paul.page.clock.install()
    paul.open(rooms="/chats/long_poll/")
    for _ in range(60):
        paul.page.clock.run_for(1000)
        paul.page.evaluate("fetch('/round-trip').then(() => 0)")
    assert 2 < len(asked) < 25, (
        f"In a minute of errors the page asked {len(asked)} times. "
        "It should try again, and wait longer after each error."
    )
    paul.forgive("Failed to load resource")


@pytest.mark.stages(3, 6)
def test_a_quiet_room_is_no_error_and_a_server_that_hangs_is_one(tab):
    paul = tab()
    paul.page.add_init_script(SHORT_WAITS)
    join_by_polling(paul)
    for _ in range(3):  # as two of them run out of time
        with paul.page.expect_request(re.compile("lastupdate=[0-9]"), timeout=5_000):
            pass
    greetings = paul.log.get_by_text("connected...")
    expect(greetings, "a quiet room is no error to connect anew for").to_have_count(1)
    expect(paul.status, "a quiet room is no error").to_have_text(paul.joined)
    server = psutil.Process(paul.chat.twisted.process.pid)
    server.suspend()
    try:
        expect(paul.status, "the page notices a server that hangs").not_to_have_text(
            paul.joined
        )
    finally:
        server.resume()
    expect(paul.status, "it comes back").to_have_text(paul.joined, timeout=COMES_BACK)
    paul.forgive("Failed to load resource")
