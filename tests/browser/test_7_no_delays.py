"""Exercise 2 in a real browser: the page shows its own delay, and a quiet poll ends."""

from __future__ import annotations

import re

import psutil
import pytest
from playwright.sync_api import expect

from tests.support.pages import (
    SHORT_WAITS,
    answer_with_nothing,
    is_greeting,
    is_poll,
)

SINCE_STAGE = 7
KINDS = pytest.mark.parametrize(
    "rooms", ["/chats/", "/chats/long_poll/"], ids=["socket", "polling"]
)
DELAY = re.compile(r"(\d+) ms")


@KINDS
def test_the_page_shows_how_long_its_own_message_took(tab, rooms):
    ann, bob = tab().join(rooms), tab().join(rooms)
    main = ann.page.locator("main")
    expect(main, "nothing was sent yet").not_to_contain_text(DELAY)
    delays = []
    # No other test says the same: from exercise 3 on, the room remembers.
    texts = [f"{number} by {rooms}" for number in ("one", "two", "three")]
    for text in texts:
        ann.say(text)
        expect(ann.log).to_contain_text(text)
        expect(main, "the page says how many ms it took").to_contain_text(DELAY)
        delays.append(int(DELAY.search(main.inner_text())[1]))
    assert min(delays) < 500, f"Nobody waits for a sweep. The page shows {delays} ms."
    expect(bob.log).to_contain_text(texts[-1])
    others = bob.page.locator("main")
    expect(others, "what others send is not Bob's").not_to_contain_text(DELAY)


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
    says = "Ann's text was lost, and this one is Bob's"
    expect(ann.page.locator("main"), says).not_to_contain_text(DELAY)
    ann.forgive("WebSocket connection")


def test_the_page_hears_a_socket_at_once(tab):
    paul, ann = tab().join("/chats/long_poll/"), tab().join()
    for text in ("uno", "due", "tre"):
        ann.say(text)
        expect(paul.log, "it waits for no sweep").to_contain_text(text, timeout=900)


def test_a_batch_is_shown_line_by_line_and_once(tab):
    paul, ann = tab(), tab().join()
    for text in ("one", "two", "three"):
        ann.say(text)
        expect(ann.log).to_contain_text(text)
    paul.join("/chats/long_poll/")
    expect(paul.log).to_contain_text("three")
    lines = [line for line in paul.log.inner_text().splitlines() if line.strip()]
    assert lines[:3] == ["three", "two", "one"], f"The window shows {lines}."
    assert lines.count("one") == lines.count("three"), f"The window shows {lines}."


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
    assert len({*polls[:3]}) == 1, f"The cursor stays where it was. It asked {polls}."


def test_a_server_that_hangs_is_noticed(tab):
    paul, asked = tab(), []

    def answer_three(route):
        url = route.request.url
        if not is_greeting(url):
            asked.append(url)
        if is_greeting(url) or len(asked) > 3:
            route.continue_()
        else:
            answer_with_nothing(paul.chat, route)

    paul.page.add_init_script(SHORT_WAITS)
    paul.page.route(is_poll, answer_three)
    paul.join("/chats/long_poll/")
    server = psutil.Process(paul.chat.twisted.process.pid)
    server.suspend()
    try:
        expect(paul.status, "the page notices a server that hangs").not_to_have_text(
            paul.joined
        )
        assert len(asked) > 3, "A quiet room is no error: three polls were answered."
    finally:
        server.resume()
    paul.forgive("Failed to load resource")
